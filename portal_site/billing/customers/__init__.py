"""What customers say about themselves, and how they pay."""
