"""The end of a subscription, whatever brings it about."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.invoicing import voiding
from portal_site.billing.models import Customer, Invoice, PlanChange, Subscription, SubscriptionItem
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import schedule_phases
from portal_site.billing.subscriptions.subscription_update import subscription_update


def expire(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> None:
    """End a subscription that waits for its first payment: it never began, and nothing of it is owed."""
    mine = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    for invoice in session.scalars(select(Invoice).where(*mine, Invoice.status == InvoiceStatus.OPEN)).all():
        voiding.void_invoice(session, customer, invoice, at)
    with subscription_update(session, subscription, at):
        subscription.status = SubscriptionStatus.INCOMPLETE.become(SubscriptionStatus.INCOMPLETE_EXPIRED)
        subscription.ended_at = moment
    changes = PlanChange.customer_id == customer.id, PlanChange.subscription_id == subscription.id
    session.execute(update(PlanChange).where(*changes).values(outcome=ChangeOutcome.EXPIRED))


def reset_periods(items: Sequence[SubscriptionItem], moment: int) -> None:
    """Nothing counts of these items' periods: the next ones begin at `moment`, and a billing run bills them."""
    for item in items:
        item.current_period_start = item.current_period_end = moment
        item.billing_cycle_anchor = None


def end(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """End the subscription: nothing renews any more."""
    with subscription_update(session, subscription, at, "customer.subscription.deleted"):
        subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.CANCELED)
        subscription.ended_at = moment
        subscription.canceled_at = subscription.canceled_at or moment
        session.flush()
        schedule_phases.cancel_schedules(session, subscription, at)
        _stop_collecting(session, subscription, at)


def _stop_collecting(session: Session, subscription: Subscription, at: int) -> None:
    """What is open stays owed, and can be paid; nobody's card is tried for it any more."""
    still_open = (
        Invoice.customer_id == subscription.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == InvoiceStatus.OPEN,
        Invoice.created < at,
    )
    for invoice in session.scalars(select(Invoice).where(*still_open)).all():
        invoice.next_payment_attempt = None
