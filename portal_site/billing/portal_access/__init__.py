"""Portal sessions: opening a portal, following its link, and leaving it."""
