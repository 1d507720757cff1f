"""Stripe as payment provider: each account connects its own, and customers enter cards on Stripe's pages.

Amounts, proration and invoices are the engine's; Stripe stores payment methods and moves money. `connections` has the keys,
`gateway` the calls, `answers` what they mean, `rights` what a key has to be allowed.
"""
