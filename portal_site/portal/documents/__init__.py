"""Invoices, receipts and credit notes as files: what they say, keeping them, and the pages that hand them out."""
