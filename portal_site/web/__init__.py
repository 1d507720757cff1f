"""Shared parts of the HTML interfaces: security, errors, languages, filters, forms, assets and themes. It has no pages."""
