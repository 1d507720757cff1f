"""A merchant's look: its colours made accessible, its logo made harmless. Pure; every door uses it."""
