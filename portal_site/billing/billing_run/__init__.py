"""What time brings about: renewals, ends of trials, pauses and subscriptions, and collecting what is due."""
