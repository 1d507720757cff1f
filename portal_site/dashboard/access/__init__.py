"""How staff get into the dashboard: the set-up of a new portal, signing in, invitations."""
