"""Portal sessions and visits."""
