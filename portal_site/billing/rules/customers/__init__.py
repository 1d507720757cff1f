"""Rules for tax ids and payment methods."""
