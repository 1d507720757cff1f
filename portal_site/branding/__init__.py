"""A merchant's branding: accessible colours from two brand colours, and sanitized logos. Pure functions."""
