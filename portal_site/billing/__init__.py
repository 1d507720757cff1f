"""The engine: what is owed, what is stored and what can be done. It knows no HTTP."""
