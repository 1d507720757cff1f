"""Pure functions: the same arguments always give the same answer. No database, no clock, no HTTP."""
