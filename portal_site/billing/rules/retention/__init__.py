"""Rules of retention offers, and the statistics of their effect."""
