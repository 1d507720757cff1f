"""What changes a subscription, inside the transaction of whichever operation needs it."""
