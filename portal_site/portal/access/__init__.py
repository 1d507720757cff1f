"""Portal links, sessions, and what is read of the visitor on each request."""
