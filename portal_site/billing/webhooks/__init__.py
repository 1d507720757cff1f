"""Webhook endpoints: making and changing them, and the queue of what each has to be sent."""
