"""What a customer confirms: another plan or quantity, a pause, a resumption, a reactivation. One transaction each."""
