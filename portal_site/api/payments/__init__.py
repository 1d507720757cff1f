"""The routes with which a program makes payments in test mode, on the books of the sandbox."""
