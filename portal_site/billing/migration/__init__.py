"""Moving over from Stripe Billing: reading the account, comparing the next invoices, taking over subscription by subscription.

`stripe_api` asks Stripe, at the pace that it allows. `reading` reads the account into a folder, which the importer reads.
`local_subscriptions` and `stripe_previews` know the next invoice here and there, `comparison` tells their differences, and
`comparing` does so for all.
`candidates` and `checks` decide what can be taken over, `positions` says what Stripe's subscription has come to, `take_over`
stops Stripe and starts here, `undoing` is the way back, and `rows` keeps what was done.
"""
