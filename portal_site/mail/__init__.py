"""E-mail to the merchants' customers: composing, the outbox, and delivery."""
