"""The billing rules as pure functions: the result depends on the arguments only. No database, no clock, no HTTP."""
