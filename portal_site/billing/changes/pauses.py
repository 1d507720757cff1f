"""Pausing and resuming a subscription by the customer. Pauses that end automatically are ended by the billing run."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter
from portal_site.billing.loading import confirmations, ownership, snapshots
from portal_site.billing.loading.confirmations import CHANGED, Confirmation, hash_terms, quote_fingerprint
from portal_site.billing.models import PlanChange, Subscription
from portal_site.billing.rules.portal.portal_features import SubscriptionPause
from portal_site.billing.rules.subscriptions import pauses
from portal_site.billing.rules.subscriptions.pauses import Pause, PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, SubscriptionStatus
from portal_site.billing.subscriptions import accepted_offers, applied_discounts, pending_updates
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class PausePreview:
    """A subscription before a pause. `refusal` says why it cannot be paused, if so."""

    snapshot: SubscriptionSnapshot
    refusal: BillingError | None


def preview(customer_id: str, subscription_id: str, at: int) -> PausePreview:
    """The subscription, and whether it can be paused now. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        snapshot = snapshots.load_for_quote(reader, row, customer, at)
        return PausePreview(snapshot, pauses.why_not_pausable(snapshot, row.pending_update is not None, at))


def pause_fingerprint(pause: Pause) -> str:
    """A fingerprint of the terms that the customer confirms: the length of the pause, and the credit.

    It has the length instead of the end, which depends on the time of the quote.
    """
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
    """Pause the subscription on the confirmed terms. A second call with the same confirmation changes nothing.

    `attempt_id` is the cancellation attempt in which the pause was offered, if any. Raises NotFound, BillingError for a length
    that is not offered, and StateChanged if the terms have changed or the subscription cannot be paused any more.
    """
    if span not in pauses.pause_lengths(features):
        raise BillingError(N_("Choose one of the lengths of time on this page."), "span_not_offered", "span")
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if confirmations.find_by_confirmation_key(session, customer_id, confirmation.key) is not None:
            if subscription.status == SubscriptionStatus.PAUSED:  # a second click
                return subscription
            # It was resumed since; the same confirmation must not pause it again.
            raise StateChanged(CHANGED, "quote_changed")
        confirmation.check_time(at)
        snapshot = snapshots.load_for_quote(session, subscription, customer, confirmation.at)
        refusal = pauses.why_not_pausable(snapshot, subscription.pending_update is not None, at)
        if refusal is not None:
            raise StateChanged(refusal.message, refusal.code)
        quoted = pauses.pause(snapshot, span, confirmation.at)
        confirmation.check(pause_fingerprint(quoted))
        _begin_pause(session, subscription, quoted, at)
        change = PlanChange.of(subscription, confirmation.key, at)
        change.outcome = ChangeOutcome.APPLIED
        session.add(change)
        accepted_offers.accept_pause_offer(session, subscription, attempt_id, at)
    return subscription


def _begin_pause(session: Session, subscription: Subscription, quoted: Pause, at: int) -> None:
    writer = InvoiceWriter(session)
    writer.add_pending(subscription, quoted.deferred_lines, at)
    writer.write()
    with subscription_update(session, subscription, at, "customer.subscription.paused"):
        subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.PAUSED)
        details = {"type": "subscription", "transitioned_at": at, "subscription": {"type": "pause_requested"}}
        ends = applied_discounts.suspend_discounts(session, subscription, at)
        paused = {**details, "resumes_at": quoted.resumes_at, "discount_ends": ends}
        subscription.status_details = {"paused": paused}


def resumption(customer_id: str, subscription_id: str, at: int) -> Quote:
    """The quote for resuming now. Raises NotFound, and StateChanged if the subscription cannot be resumed."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _quote_resumption(snapshots.load_for_quote(reader, row, customer, at), row, at)


def _quote_resumption(snapshot: SubscriptionSnapshot, row: Subscription, at: int) -> Quote:
    if snapshot.status != SubscriptionStatus.PAUSED:
        raise StateChanged(N_("This subscription is not paused."), "not_paused")
    if row.pending_update is not None:
        raise StateChanged(N_("It will resume as soon as its invoice is paid."), "resumption_pending")
    if snapshot.due_at is not None and snapshot.due_at <= at:  # a due transition, such as a phase with a new price
        raise StateChanged(N_("Your renewal is being processed. Please try again in a few minutes."), "not_up_to_date")
    return pauses.resumption(snapshot, at)


def resume(customer_id: str, subscription_id: str, confirmation: Confirmation, at: int) -> PlanChange:
    """Resume on the confirmed terms; if an amount is due, as a pending update. A second call returns the same change.

    Raises NotFound, and StateChanged if the terms have changed or the subscription cannot be resumed.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        existing = confirmations.find_by_confirmation_key(session, customer_id, confirmation.key)
        if existing is not None:
            return existing
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        confirmation.check_time(at)
        snapshot = snapshots.load_for_quote(session, subscription, customer, confirmation.at)
        quote = _quote_resumption(snapshot, subscription, confirmation.at)
        confirmation.check(quote_fingerprint(quote))
        update = pending_updates.pending_update(snapshot, quote, None, at)
        return pending_updates.apply_or_await_payment(
            session, customer, subscription, quote, update, confirmation.key, at
        )


def resume_collection(customer_id: str, subscription_id: str, at: int) -> None:
    """End a pause of collection (`pause_collection`, Stripe's older form of pause). Periods continued, so nothing is due.

    Raises NotFound, and StateChanged if collection is not paused.
    """
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if subscription.pause_collection is None:
            raise StateChanged(N_("This subscription is not paused."), "not_paused")
        with subscription_update(session, subscription, at):
            subscription.pause_collection = None
