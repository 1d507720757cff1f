"""Import of Stripe API objects from an export file."""
