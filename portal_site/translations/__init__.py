"""The customer's words in other languages: one catalogue for each, English being the key."""
