"""What a merchant decides: the account itself, and what customers may do (portal configurations)."""
