"""An account's own sender of e-mails: its address and key, the DNS records of its domain, and their proof by DNS."""
