"""What an account is connected to: its own domain, its payment provider, and the sender of its e-mails."""
