"""Finds the objects in what people have: JSON, JSON lines, answers of the `stripe` command line, CSV; files and folders."""
