"""Ending a subscription: cancellation, expiry without a first payment, and the restart of periods."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.invoicing import credit_notes, voiding
from portal_site.billing.loading import snapshots
from portal_site.billing.models import Account, Customer, Invoice, PlanChange, Subscription, SubscriptionItem
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.billing.rules.subscriptions import cancellation
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts, promotion_codes, schedule_phases
from portal_site.billing.subscriptions.subscription_update import subscription_update


def expire(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> None:
    """Expire an incomplete subscription: it never started, so its open invoices are voided and nothing is owed.

    What was redeemed for it can be used again.
    """
    of_subscription = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    for invoice in session.scalars(select(Invoice).where(*of_subscription, Invoice.status == InvoiceStatus.OPEN)).all():
        voiding.void_invoice(session, customer, invoice, at)
    promotion_codes.return_codes(session, subscription, at)
    with subscription_update(session, subscription, at):
        subscription.status = SubscriptionStatus.INCOMPLETE.become(SubscriptionStatus.INCOMPLETE_EXPIRED)
        subscription.ended_at = moment
    changes = PlanChange.customer_id == customer.id, PlanChange.subscription_id == subscription.id
    session.execute(update(PlanChange).where(*changes).values(outcome=ChangeOutcome.EXPIRED))


def reset_periods(items: Sequence[SubscriptionItem], moment: int) -> None:
    """Restart the items' periods: the next ones begin at `moment`, and a billing run bills them."""
    for item in items:
        item.current_period_start = item.current_period_end = moment
        item.billing_cycle_anchor = None


def reduce_owed(
    session: Session, customer: Customer, subscription: Subscription, moment: int, at: int
) -> frozenset[str]:
    """Reduce the unpaid invoices to the time until `moment`, unless the account's dunning policy says `full`.

    What is owed is for time that was there. Returns the ids of the items whose current period is reduced.
    """
    document = session.scalar(select(Account.dunning).where(Account.id == subscription.account_id))
    if DunningPolicy.of(document or {}).amount_owed == "full":
        return frozenset()
    reductions = cancellation.to_used_time(snapshots.load_for_quote(session, subscription, customer, moment), moment)
    credit_notes.reduce_invoices(session, customer, reductions, at)
    return frozenset(line.item_id for reduction in reductions for line in reduction.lines)


def end(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """End the subscription at `moment`: it is canceled, with its schedules, and does not renew."""
    applied_discounts.resume_discounts(session, subscription, moment, at)
    with subscription_update(session, subscription, at, "customer.subscription.deleted"):
        subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.CANCELED)
        subscription.ended_at = moment
        subscription.canceled_at = subscription.canceled_at or moment
        session.flush()
        schedule_phases.cancel_schedules(session, subscription, at)
        _stop_collecting(session, subscription, at)


def _stop_collecting(session: Session, subscription: Subscription, at: int) -> None:
    """Stop automatic collection of the open invoices. They remain payable; an invoice written at `at` is still collected."""
    is_open = (
        Invoice.customer_id == subscription.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == InvoiceStatus.OPEN,
        Invoice.created < at,
    )
    for invoice in session.scalars(select(Invoice).where(*is_open)).all():
        invoice.next_payment_attempt = None
