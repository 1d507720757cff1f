"""Rules for subscriptions: statuses, snapshot, forecast, plan changes, pauses, dunning, cancellation, reactivation."""
