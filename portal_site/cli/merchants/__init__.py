"""Commands about a merchant: its account and team, its API keys and webhook endpoints, its domain."""
