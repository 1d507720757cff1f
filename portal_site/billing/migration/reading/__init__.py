"""Reading an account at Stripe: its lists, page by page, into a folder that the importer reads."""
