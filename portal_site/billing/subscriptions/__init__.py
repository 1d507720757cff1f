"""Changes of a subscription that several operations share. All run inside the caller's transaction, except where noted."""
