"""Sending events to webhook endpoints: where to, over which connection, by how many threads, and who is told of an end."""
