"""Loading for operations: owned rows and locks, snapshots for the rules, payment state, and the check of a confirmation."""
