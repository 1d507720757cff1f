"""How customers get in and out: links, sessions and what is read of the visitor for each request."""
