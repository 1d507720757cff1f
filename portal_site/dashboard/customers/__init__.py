"""Customers in the dashboard: the list with its search, new ones, one customer, links for it, and its portal as it sees it."""
