"""Stores what an import found: new rows, what changed since the last import, and which subscriptions are billed here."""
