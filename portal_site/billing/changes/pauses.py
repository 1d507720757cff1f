"""Pausing a subscription and going on with it, by the customer's own hand; pauses that end by themselves are a billing run's."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter
from portal_site.billing.loading import confirmations, ownership, snapshots
from portal_site.billing.loading.confirmations import CHANGED, Confirmation, hash_terms, quote_fingerprint
from portal_site.billing.models import Event, PlanChange, Subscription
from portal_site.billing.rules.portal.portal_features import SubscriptionPause
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.pauses import Pause, PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, SubscriptionStatus
from portal_site.billing.subscriptions import accepted_offers, due_dates, pending_updates, subscription_items
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class PausePreview:
    """A subscription before a pause, and why it cannot be paused, if so."""

    snapshot: SubscriptionSnapshot
    refusal: BillingError | None


def preview(customer_id: str, subscription_id: str, at: int) -> PausePreview:
    """What there is to pause. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        snapshot = snapshots.load_for_quote(reader, row, customer, at)
        return PausePreview(snapshot, pauses.why_not_pausable(snapshot, row.pending_update is not None, at))


def pause_fingerprint(pause: Pause) -> str:
    """What a customer agrees to: how long, and the credit that is kept. The end moves with the second of the quote."""
    lines = [(line.item_id, line.total, line.period_end) for line in pause.deferred_lines]
    return hash_terms([None if pause.resumes_at is None else pause.resumes_at - pause.at, lines])


def pause(
    customer_id: str,
    subscription_id: str,
    features: SubscriptionPause,
    span: PauseLength,
    confirmation: Confirmation,
    at: int,
    attempt_id: str = "",
) -> Subscription:
    """Pause as it was shown, or raise StateChanged. A second call finds the first.

    `attempt_id` names the attempt to cancel in which the pause was offered.
    """
    if span not in pauses.pause_lengths(features):
        raise BillingError(N_("Choose one of the lengths of time on this page."), "span_not_offered", "span")
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if confirmations.find_by_confirmation_key(session, customer_id, confirmation.key) is not None:
            if subscription.status == SubscriptionStatus.PAUSED:  # a second click
                return subscription
            raise StateChanged(CHANGED, "quote_changed")  # and went on since: a yes counts once
        confirmation.check_time(at)
        snapshot = snapshots.load_for_quote(session, subscription, customer, confirmation.at)
        refusal = pauses.why_not_pausable(snapshot, subscription.pending_update is not None, at)
        if refusal is not None:
            raise StateChanged(refusal.message, refusal.code)
        wanted = pauses.pause(snapshot, span, confirmation.at)
        confirmation.check(pause_fingerprint(wanted))
        _begin(session, subscription, wanted, at)
        made = PlanChange.of(subscription, confirmation.key, at)
        made.outcome = ChangeOutcome.APPLIED
        session.add(made)
        accepted_offers.accept_pause_offer(session, subscription, attempt_id, at)
    return subscription


def _begin(session: Session, subscription: Subscription, wanted: Pause, at: int) -> None:
    writer = InvoiceWriter(session)
    writer.add_pending(subscription, wanted.deferred_lines, at)
    writer.write()
    previous: dict[str, Any] = {"status": subscription.status}
    subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.PAUSED)
    details = {"type": "subscription", "transitioned_at": at, "subscription": {"type": "pause_requested"}}
    subscription.status_details = {"paused": {**details, "resumes_at": wanted.resumes_at}}
    items = subscription_items.load_items(session, subscription)
    due_dates.recompute_due_at(session, subscription, items, at)
    session.flush()
    told = subscription_items.items_object(items)
    session.add(Event.of("customer.subscription.paused", subscription, at, previous, items=told))


def resumption(customer_id: str, subscription_id: str, at: int) -> Quote:
    """What going on would cost now. Raises NotFound, and BillingError when it is not paused."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _resumption(snapshots.load_for_quote(reader, row, customer, at), row, at)


def _resumption(snapshot: SubscriptionSnapshot, row: Any, at: int) -> Quote:
    if snapshot.status != SubscriptionStatus.PAUSED:
        raise StateChanged(N_("This subscription is not paused."), "not_paused")
    if row.pending_update is not None:
        raise StateChanged(N_("It will resume as soon as its invoice is paid."), "resumption_pending")
    if snapshot.due_at is not None and snapshot.due_at <= at:  # a new price, say, that has not been noted yet
        raise StateChanged(N_("Your renewal is being processed. Please try again in a few minutes."), "not_up_to_date")
    return pauses.resumption(snapshot, at)


def resume(customer_id: str, subscription_id: str, confirmation: Confirmation, at: int) -> PlanChange:
    """Go on as it was shown, or raise StateChanged. What costs something waits for its payment."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        made = confirmations.find_by_confirmation_key(session, customer_id, confirmation.key)
        if made is not None:
            return made
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        confirmation.check_time(at)
        snapshot = snapshots.load_for_quote(session, subscription, customer, confirmation.at)
        quote = _resumption(snapshot, subscription, confirmation.at)
        confirmation.check(quote_fingerprint(quote))
        return pending_updates.apply_or_await_payment(
            session, customer, subscription, quote, None, confirmation.key, at
        )


def resume_collection(customer_id: str, subscription_id: str, at: int) -> None:
    """End a pause of collection, which the field had before: periods ran on, so nothing is due now. Raises StateChanged."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if subscription.pause_collection is None:
            raise StateChanged(N_("This subscription is not paused."), "not_paused")
        previous = {"pause_collection": subscription.pause_collection}
        subscription.pause_collection = None
        items = subscription_items.load_items(session, subscription)
        due_dates.recompute_due_at(session, subscription, items, at)
        session.flush()
        told = subscription_items.items_object(items)
        session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=told))
