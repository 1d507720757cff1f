"""Offers to customers who are about to cancel, and what they brought."""
