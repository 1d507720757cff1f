"""Billing information and payment methods of customers."""
