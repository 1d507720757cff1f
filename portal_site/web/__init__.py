"""What the HTML doors share: security, errors, languages, filters, forms, assets and themes; no page of its own."""
