"""Writing invoices with their lines and events; finalizing, discarding and voiding them; payment events."""
