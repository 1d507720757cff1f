"""Rules for subscriptions: statuses, snapshot, forecast, plan changes, pauses, cancellation, starts."""
