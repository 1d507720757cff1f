"""Rules for what customers enter and keep: tax IDs, payment methods."""
