"""Payments that a merchant's program makes itself, in test mode: methods, setups, Checkout sessions, intents and refunds."""
