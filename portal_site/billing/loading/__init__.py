"""What every operation begins with: whose row it is, what the rules need to know, what was confirmed."""
