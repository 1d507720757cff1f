"""What happens to a subscription: its statuses, its next invoice, changes, pauses and its end."""
