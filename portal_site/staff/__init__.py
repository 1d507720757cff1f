"""The people who work for a merchant: who they are, what each may do, and how they sign in. Knows no HTTP."""
