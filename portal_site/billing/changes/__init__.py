"""Changes that a customer confirms: plan or quantity, pause, resumption, reactivation. Each is one transaction."""
