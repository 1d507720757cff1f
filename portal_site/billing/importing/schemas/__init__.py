"""Schemas of exported objects in the newest shape that this program knows; `adapters` brings older ones into it."""
