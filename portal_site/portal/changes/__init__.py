"""Pages that change a subscription: each shows a quote and makes the change that the customer confirms."""
