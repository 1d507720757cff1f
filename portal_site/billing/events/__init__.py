"""Events: who acts, the emission of events with a transaction, and reading them in the order of their commits."""
