"""What happens to a subscription at an instant that was set before: a phase begins, a pause or the subscription itself ends.

Not verbs: a billing run takes these steps, inside its own transaction, before it renews what goes on.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.models import (
    Customer,
    Event,
    Invoice,
    PlanChange,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.operations import agreements, lookups, pending_updates, phases
from portal_site.billing.rules import pauses, periods
from portal_site.billing.rules.lifecycle import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.rules.plan_change import PENDING_LIFE

LONGEST_WAIT = 24 * 60 * 60  # seconds that a phase waits to know whether what was billed before it is paid
PATIENCE = 60  # seconds until a change that is being paid at this moment is looked at again


def is_special(row: Any) -> bool:
    """Whether any of these steps may be due for a subscription's row; most only ever renew."""
    leaving = row.cancel_at is not None or row.cancel_at_period_end
    paused = row.pause_collection or row.status == SubscriptionStatus.PAUSED
    beginning = row.status == SubscriptionStatus.INCOMPLETE
    return bool(row.pending_update or paused or leaving or beginning or row.schedule_id)


class Outcome(StrEnum):
    """Whether the steps of a subscription were taken, or wait: until later, or until what was billed just now is collected."""

    TAKEN = "taken"
    LATER = "later"
    AFTER_PAYMENT = "after payment"


def pass_by(session: Session, customer: Customer, subscription_id: str, at: int) -> Outcome:
    """Take the steps of one subscription that are due at `at`, or say that it has to wait; then nothing is billed yet."""
    subscription = lookups.own(session, Subscription, customer.id, subscription_id, lock=True)
    moment = subscription.due_at or at
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        taken = _give_up_beginning(session, customer, subscription, moment, at)
        return Outcome.TAKEN if taken else Outcome.LATER
    waiting = subscription.pending_update
    if waiting:
        if lookups.payment_under_way(session, customer.id, waiting.get("invoice")):
            subscription.due_at = at + PATIENCE
            return Outcome.LATER
        if waiting.get("expires_at", 0) <= at or _period_end(session, subscription) <= moment:
            pending_updates.drop(session, customer, subscription, at, expired=True)
    resumes_at = pauses.resumes_at(subscription.status_details, subscription.pause_collection)
    if resumes_at is not None and resumes_at <= moment:
        if subscription.pending_update and subscription.status == SubscriptionStatus.PAUSED:
            pending_updates.drop(session, customer, subscription, at, expired=True)  # it goes on without it
        _end_pause(session, subscription, resumes_at, at)
    waits = _waits_for_payment(session, subscription, moment, at)
    if waits is not None:
        return waits
    if phases.advance(session, customer, subscription, moment, at) or _ends(session, subscription, moment):
        end(session, subscription, moment, at)
    session.flush()
    return Outcome.TAKEN


def _waits_for_payment(session: Session, subscription: Subscription, moment: int, at: int) -> Outcome | None:
    """What a phase credits depends on what is paid, so it waits for a payment that is under way, or just ahead."""
    if not phases.has_begun(session, subscription, moment - LONGEST_WAIT, moment):
        return None
    if lookups.is_being_paid(session, subscription):
        subscription.due_at = at + PATIENCE
        return Outcome.LATER
    return Outcome.AFTER_PAYMENT if lookups.is_about_to_be_paid(session, subscription, at) else None


def _give_up_beginning(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> bool:
    """A subscription whose first payment never came is over before it began, unless that is being paid at this moment."""
    if subscription.created + PENDING_LIFE > moment:
        return True
    mine = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    unpaid = session.scalars(select(Invoice).where(*mine, Invoice.status == InvoiceStatus.OPEN)).all()
    if any(lookups.payment_under_way(session, customer.id, invoice.id) for invoice in unpaid):
        subscription.due_at = at + PATIENCE
        return False
    expire(session, customer, subscription, moment, at)
    return True


def expire(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> None:
    """End a subscription that waits for its first payment: it never began, and nothing of it is owed."""
    mine = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    for invoice in session.scalars(select(Invoice).where(*mine, Invoice.status == InvoiceStatus.OPEN)).all():
        pending_updates.void(session, customer, invoice, at)
    previous = {"status": subscription.status}
    subscription.status = SubscriptionStatus.INCOMPLETE.become(SubscriptionStatus.INCOMPLETE_EXPIRED)
    subscription.ended_at = moment
    changes = PlanChange.customer_id == customer.id, PlanChange.subscription_id == subscription.id
    session.execute(update(PlanChange).where(*changes).values(outcome=ChangeOutcome.EXPIRED))
    session.flush()
    session.add(Event.of("customer.subscription.updated", subscription, at, previous))


def _end_pause(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """A pause is over. One in which nothing was delivered is followed by periods from now on; the run bills the first."""
    if subscription.status != SubscriptionStatus.PAUSED:
        told = {"pause_collection": subscription.pause_collection}
        subscription.pause_collection = None
        session.flush()
        session.add(Event.of("customer.subscription.updated", subscription, at, told))
        return
    items = pending_updates.items_of(session, subscription)
    previous = {
        "status": subscription.status,
        "billing_cycle_anchor": subscription.billing_cycle_anchor,
        "items": pending_updates.item_list(items),
    }
    subscription.billing_cycle_anchor = moment
    begin_anew(items, moment)
    offers = agreements.offers(session, subscription.account_id, [item.price_id for item in items])
    lengths = [(offer.interval, offer.interval_count) for offer in offers.values()]
    first_end = min(periods.boundary(moment, interval, count) for interval, count in lengths)
    pending_updates.go_on(session, subscription, first_end, at, previous)


def begin_anew(items: Sequence[SubscriptionItem], moment: int) -> None:
    """Nothing counts of these items' periods: the next ones begin at `moment`, and a billing run bills them."""
    for item in items:
        item.current_period_start = item.current_period_end = moment
        item.billing_cycle_anchor = None


def _period_end(session: Session, subscription: Subscription) -> int:
    return min(item.current_period_end for item in pending_updates.items_of(session, subscription))


def _ends(session: Session, subscription: Subscription, moment: int) -> bool:
    if SubscriptionStatus(subscription.status).ended:
        return False
    if subscription.cancel_at is not None:
        return subscription.cancel_at <= moment
    return subscription.cancel_at_period_end and _period_end(session, subscription) <= moment


def end(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """End the subscription: nothing renews any more."""
    previous = {"status": subscription.status}
    subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.CANCELED)
    subscription.ended_at = moment
    subscription.canceled_at = subscription.canceled_at or moment
    session.flush()
    phases.cancel(session, subscription, at)
    _stop_collecting(session, subscription, at)
    items = pending_updates.item_list(pending_updates.items_of(session, subscription))
    session.add(Event.of("customer.subscription.deleted", subscription, at, previous, items=items))


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
