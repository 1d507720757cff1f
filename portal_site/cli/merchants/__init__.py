"""Commands about a merchant: its account and team, its API keys, its domain."""
