"""The tables of payments that a merchant's program makes itself, without an invoice."""
