"""Changes that somebody confirms: start, plan or quantity, pause, resumption, reactivation. Each is one transaction."""
