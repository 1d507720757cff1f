"""Cancelling a subscription, and the offers made to customers who are about to."""
