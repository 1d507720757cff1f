"""The servers: their limits, and the access log."""
