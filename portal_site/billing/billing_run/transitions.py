"""Transitions: due steps that are not renewals. Pending updates expire, pauses end, phases begin, subscriptions end."""

from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.billing_run.due_subscriptions import DueSubscription
from portal_site.billing.loading import ownership, payment_state, plans
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.amounts import periods
from portal_site.billing.rules.payments.payment_times import DAY, HOUR, LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import (
    due_dates,
    pending_updates,
    resumption,
    schedule_phases,
    subscription_items,
)
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.billing.subscriptions.termination import end, expire, reduce_owed, reset_periods

LONGEST_WAIT = DAY  # seconds that a phase waits for the payment of earlier invoices, unless a debit is processing
RECHECK = 60  # seconds until a subscription whose payment is in progress is checked again
RECHECK_DEBIT = HOUR  # the same for a debit, which takes days


def may_have_transition(row: DueSubscription) -> bool:
    """Whether a transition may be due for a subscription's row. Most subscriptions only renew, and skip the lookup."""
    is_ending = row.cancel_at is not None or row.cancel_at_period_end
    is_paused = row.pause_collection or row.status == SubscriptionStatus.PAUSED
    is_incomplete = row.status == SubscriptionStatus.INCOMPLETE
    return bool(row.pending_update or is_paused or is_ending or is_incomplete or row.schedule_id)


class Outcome(StrEnum):
    """The result: the transitions were applied, or wait until the new due date (LATER) or the collection of a new invoice."""

    TAKEN = "taken"
    LATER = "later"
    AFTER_PAYMENT = "after payment"


def apply_due_transitions(session: Session, customer: Customer, subscription_id: str, at: int) -> Outcome:
    """Apply the transitions of a subscription that are due at `at`. If they have to wait, it is not renewed either."""
    subscription = ownership.get_owned(session, Subscription, customer.id, subscription_id, lock=True)
    moment = subscription.step_at or at
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        is_done = _expire_if_overdue(session, customer, subscription, moment, at)
        return Outcome.TAKEN if is_done else Outcome.LATER
    if not _discard_overdue_update(session, customer, subscription, moment, at):
        return Outcome.LATER
    resumes_at = pauses.resumes_at(subscription.status_details, subscription.pause_collection)
    if resumes_at is not None and resumes_at <= moment:
        if subscription.pending_update and subscription.status == SubscriptionStatus.PAUSED:
            # The pause ends automatically; the customer's unpaid resumption is discarded.
            pending_updates.discard(session, customer, subscription, at, expired=True)
        _end_pause(session, subscription, resumes_at, at)
    waiting = _waits_for_payment(session, subscription, moment, at)
    if waiting is not None:
        return waiting
    if schedule_phases.apply_due_phases(session, customer, subscription, moment, at) or _ends(
        session, subscription, moment
    ):
        reduce_owed(session, customer, subscription, moment, at)
        end(session, subscription, moment, at)
    session.flush()
    return Outcome.TAKEN


def _discard_overdue_update(
    session: Session, customer: Customer, subscription: Subscription, moment: int, at: int
) -> bool:
    """Discard a pending update past its deadline or its period. Returns False if a payment in progress delays that."""
    pending_update = subscription.pending_update
    if not pending_update:
        return True
    attempt = payment_state.unsettled_attempt(session, customer.id, pending_update.invoice_id)
    if attempt:
        # The next invoice depends on whether the change is paid, so even a renewal waits for the outcome.
        due_dates.put_off(subscription, at + _recheck_delay(attempt))
        return False
    if pending_update.expires_at <= at or _period_end(session, subscription) <= moment:
        pending_updates.discard(session, customer, subscription, at, expired=True)
    return True


def _recheck_delay(attempt: PaymentAttempt) -> int:
    return RECHECK_DEBIT if attempt.status == AttemptStatus.PROCESSING else RECHECK


def _waits_for_payment(session: Session, subscription: Subscription, moment: int, at: int) -> Outcome | None:
    """How a due phase has to wait for a payment, or None. Its credit depends on whether current invoices are paid."""
    look = subscription.due_at or at  # it moves on while the phase waits, and is the phase's own instant at first
    if not schedule_phases.phase_has_begun(session, subscription, look - LONGEST_PROCESSING, moment):
        return None
    debit = payment_state.has_processing_payment(session, subscription)
    if not debit and not schedule_phases.phase_has_begun(session, subscription, look - LONGEST_WAIT, moment):
        return None
    if payment_state.has_unknown_payment(session, subscription):
        due_dates.put_off(subscription, at + (RECHECK_DEBIT if debit else RECHECK))
        return Outcome.LATER
    return Outcome.AFTER_PAYMENT if payment_state.is_about_to_be_collected(session, subscription, at) else None


def _expire_if_overdue(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> bool:
    """Expire an incomplete subscription past its deadline. Returns False if a payment in progress delays that."""
    if payment_state.first_payment_deadline(session, subscription) > moment:
        return True
    of_subscription = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    unpaid = session.scalars(select(Invoice).where(*of_subscription, Invoice.status == InvoiceStatus.OPEN)).all()
    attempts = [payment_state.unsettled_attempt(session, customer.id, invoice.id) for invoice in unpaid]
    in_progress = [attempt for attempt in attempts if attempt is not None]
    if in_progress:
        due_dates.put_off(subscription, at + min(map(_recheck_delay, in_progress)))
        return False
    expire(session, customer, subscription, moment, at)
    return True


def _end_pause(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """End a pause at `moment`. After status `paused`, new periods start then, and this run bills the first of them."""
    if subscription.status != SubscriptionStatus.PAUSED:
        with subscription_update(session, subscription, at):
            subscription.pause_collection = None
        return
    with subscription_update(session, subscription, at, "customer.subscription.resumed") as update:
        subscription.billing_cycle_anchor = moment
        reset_periods(update.items, moment)
        offers = plans.load_plans(session, subscription.account_id, [item.price_id for item in update.items])
        lengths = [(offer.interval, offer.interval_count) for offer in offers.values()]
        first_end = min(periods.boundary(moment, interval, count) for interval, count in lengths)
        resumption.resume(session, subscription, moment, first_end, at)


def _period_end(session: Session, subscription: Subscription) -> int:
    return min(item.current_period_end for item in subscription_items.load_items(session, subscription))


def _ends(session: Session, subscription: Subscription, moment: int) -> bool:
    if SubscriptionStatus(subscription.status).ended:
        return False
    if subscription.cancel_at is not None:
        return subscription.cancel_at <= moment
    return subscription.cancel_at_period_end and _period_end(session, subscription) <= moment
