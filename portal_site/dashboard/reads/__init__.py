"""The selects that the dashboard's pages show."""
