"""Typesetting of documents as PDF. It is given finished texts and knows nothing of invoices, of requests or of the database."""
