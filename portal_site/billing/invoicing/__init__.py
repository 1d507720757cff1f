"""Writing invoices, their lines and events; voiding and finalizing them."""
