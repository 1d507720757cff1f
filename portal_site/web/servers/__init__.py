"""What belongs to the program's servers: their bounds, and their log."""
