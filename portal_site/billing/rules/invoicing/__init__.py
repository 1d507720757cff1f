"""The lines of an invoice and what they add up to."""
