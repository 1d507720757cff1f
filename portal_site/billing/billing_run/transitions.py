"""The steps of a subscription that are not renewals: changes that expire, pauses that end, phases, and the end."""

from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.loading import ownership, payment_state, plans
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.amounts import periods
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.payment_times import DAY, HOUR, LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus, SubscriptionStatus
from portal_site.billing.subscriptions import pending_updates, resumption, schedule_phases, subscription_items
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.billing.subscriptions.termination import end, expire, reset_periods

LONGEST_WAIT = DAY  # seconds that a phase waits to know whether what was billed before it is paid, unless a debit runs
LOOK_AGAIN = 60  # seconds until a change that is being paid at this moment is looked at again
LOOK_AGAIN_AT_DEBIT = HOUR  # and one that a bank takes days to pay


def may_have_transition(row: Any) -> bool:
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


def apply_due_transitions(session: Session, customer: Customer, subscription_id: str, at: int) -> Outcome:
    """Take the steps of one subscription that are due at `at`, or say that it has to wait; then nothing is billed yet."""
    subscription = ownership.get_owned(session, Subscription, customer.id, subscription_id, lock=True)
    moment = subscription.due_at or at
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        taken = _give_up_beginning(session, customer, subscription, moment, at)
        return Outcome.TAKEN if taken else Outcome.LATER
    waiting = subscription.pending_update
    if waiting:
        attempt = payment_state.unsettled_attempt(session, customer.id, waiting.get("invoice"))
        if attempt:
            # What is billed next depends on whether the change is paid, so even a renewal waits for the bank's answer.
            subscription.due_at = at + _look_again(attempt)
            return Outcome.LATER
        if waiting.get("expires_at", 0) <= at or _period_end(session, subscription) <= moment:
            pending_updates.discard(session, customer, subscription, at, expired=True)
    resumes_at = pauses.resumes_at(subscription.status_details, subscription.pause_collection)
    if resumes_at is not None and resumes_at <= moment:
        if subscription.pending_update and subscription.status == SubscriptionStatus.PAUSED:
            pending_updates.discard(session, customer, subscription, at, expired=True)  # it goes on without it
        _end_pause(session, subscription, resumes_at, at)
    waits = _waits_for_payment(session, subscription, moment, at)
    if waits is not None:
        return waits
    if schedule_phases.apply_due_phases(session, customer, subscription, moment, at) or _ends(
        session, subscription, moment
    ):
        end(session, subscription, moment, at)
    session.flush()
    return Outcome.TAKEN


def _look_again(attempt: PaymentAttempt) -> int:
    return LOOK_AGAIN_AT_DEBIT if attempt.status == AttemptStatus.PROCESSING else LOOK_AGAIN


def _waits_for_payment(session: Session, subscription: Subscription, moment: int, at: int) -> Outcome | None:
    """What a phase credits depends on what is paid, so it waits for a payment that is under way, or just ahead."""
    if not schedule_phases.phase_has_begun(session, subscription, moment - LONGEST_PROCESSING, moment):
        return None
    debit = payment_state.has_processing_payment(session, subscription)
    if not debit and not schedule_phases.phase_has_begun(session, subscription, moment - LONGEST_WAIT, moment):
        return None
    if payment_state.has_unknown_payment(session, subscription):
        subscription.due_at = at + (LOOK_AGAIN_AT_DEBIT if debit else LOOK_AGAIN)
        return Outcome.LATER
    return Outcome.AFTER_PAYMENT if payment_state.is_about_to_be_collected(session, subscription, at) else None


def _give_up_beginning(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> bool:
    """A subscription whose first payment never came is over before it began, unless that is being paid at this moment."""
    if payment_state.first_payment_deadline(session, subscription) > moment:
        return True
    mine = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    unpaid = session.scalars(select(Invoice).where(*mine, Invoice.status == InvoiceStatus.OPEN)).all()
    attempts = [payment_state.unsettled_attempt(session, customer.id, invoice.id) for invoice in unpaid]
    under_way = [attempt for attempt in attempts if attempt is not None]
    if under_way:
        subscription.due_at = at + min(map(_look_again, under_way))
        return False
    expire(session, customer, subscription, moment, at)
    return True


def _end_pause(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """A pause is over. One in which nothing was delivered is followed by periods from now on; the run bills the first."""
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
        resumption.resume(session, subscription, first_end)


def _period_end(session: Session, subscription: Subscription) -> int:
    return min(item.current_period_end for item in subscription_items.load_items(session, subscription))


def _ends(session: Session, subscription: Subscription, moment: int) -> bool:
    if SubscriptionStatus(subscription.status).ended:
        return False
    if subscription.cancel_at is not None:
        return subscription.cancel_at <= moment
    return subscription.cancel_at_period_end and _period_end(session, subscription) <= moment
