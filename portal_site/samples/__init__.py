"""Made-up customers: what the demo is built with, and what previews show where no real customer is in a state."""
