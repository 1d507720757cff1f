"""Pages where a subscription is changed: each shows a quote, and carries out what the customer confirms."""
