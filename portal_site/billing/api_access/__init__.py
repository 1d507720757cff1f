"""API keys: who may call the API, in which mode, and for what."""
