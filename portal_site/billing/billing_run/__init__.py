"""The billing run: transitions and renewals that are due, and the collection and settlement of payments."""
