"""Collecting invoices through a payment provider."""
