"""Rules for payments: dunning, and how long a payment may take."""
