"""Importing Stripe API objects from an export."""
