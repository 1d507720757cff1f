"""Trials that end their subscription for want of a payment method: their end is set and lifted as methods come and go."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.models import Customer, Subscription
from portal_site.billing.rules.subscriptions import cancellation
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions.subscription_update import subscription_update


def follow_payment_method(session: Session, customer: Customer, at: int) -> None:
    """Let what a locked customer tries out go on after the trial, or not, by whether there is a payment method now.

    Subscriptions that are not billed here stay as the other system has them.
    """
    mine = Subscription.customer_id == customer.id, Subscription.status == SubscriptionStatus.TRIALING
    told = Subscription.trial_settings.is_not(None), Subscription.due_at.is_not(None)
    for row in session.scalars(select(Subscription).where(*mine, *told)).all():
        end = cancellation.end_without_method(row.status, row.collection_method, row.trial_end, row.trial_settings)
        has_method = customer.default_payment_method_id is not None or row.default_payment_method_id is not None
        is_set = cancellation.is_for_want_of_method(row.status, row.trial_end, row.cancel_at, row.canceled_at)
        if end is None or has_method != is_set:
            continue
        if has_method or row.cancel_at is None:
            with subscription_update(session, row, at):
                row.cancel_at = None if has_method else end
