"""Pausing a subscription and going on with it, by the customer's own hand; pauses that end by themselves are a billing run's."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.models import Event, PlanChange, Subscription
from portal_site.billing.operations import agreements, attempts, lookups, pending_updates
from portal_site.billing.operations.agreed import CHANGED, Agreed, hashed, terms_of
from portal_site.billing.operations.books import Books
from portal_site.billing.rules import pauses
from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.lifecycle import ChangeOutcome, SubscriptionStatus
from portal_site.billing.rules.pauses import Pause, Span
from portal_site.billing.rules.plan_change import Quote
from portal_site.billing.rules.portal_features import SubscriptionPause
from portal_site.billing.words import N_
from portal_site.db import reading, transaction


@dataclass(frozen=True)
class Situation:
    """A subscription before a pause, and why it cannot be paused, if so."""

    agreement: Agreement
    refusal: BillingError | None


def situation(customer_id: str, subscription_id: str, at: int) -> Situation:
    """What there is to pause. Raises NotFound."""
    with reading() as reader:
        row, customer = agreements.rows(reader, customer_id, subscription_id)
        agreement = agreements.whole(reader, row, customer, at)
        return Situation(agreement, pauses.refusal(agreement, row.pending_update is not None, at))


def fingerprint(pause: Pause) -> str:
    """What a customer agrees to: how long, and the credit that is kept. The end moves with the second of the quote."""
    lines = [(line.item_id, line.total, line.period_end) for line in pause.waiting]
    return hashed([None if pause.resumes_at is None else pause.resumes_at - pause.at, lines])


def pause(
    customer_id: str,
    subscription_id: str,
    features: SubscriptionPause,
    span: Span,
    agreed: Agreed,
    at: int,
    attempt_id: str = "",
) -> Subscription:
    """Pause as it was shown, or raise StateChanged. A second call finds the first.

    `attempt_id` names the attempt to cancel in which the pause was offered.
    """
    if span not in pauses.spans(features):
        raise BillingError(N_("Choose one of the times on this page."), "span_not_offered", "span")
    with transaction() as session:
        customer = lookups.locked_customer(session, customer_id)
        subscription = lookups.own(session, Subscription, customer_id, subscription_id, lock=True)
        if lookups.change_made(session, customer_id, agreed.key) is not None:
            if subscription.status == SubscriptionStatus.PAUSED:  # a second click
                return subscription
            raise StateChanged(CHANGED, "quote_changed")  # and went on since: a yes counts once
        agreed.check_time(at)
        agreement = agreements.whole(session, subscription, customer, agreed.at)
        refusal = pauses.refusal(agreement, subscription.pending_update is not None, at)
        if refusal is not None:
            raise StateChanged(refusal.message, refusal.code)
        wanted = pauses.pause(agreement, span, agreed.at)
        agreed.check(fingerprint(wanted))
        _begin(session, subscription, wanted, at)
        made = PlanChange.of(subscription, agreed.key, at)
        made.outcome = ChangeOutcome.APPLIED
        session.add(made)
        attempts.took_pause(session, subscription, attempt_id, at)
    return subscription


def _begin(session: Session, subscription: Subscription, wanted: Pause, at: int) -> None:
    books = Books(session)
    books.pending(subscription, wanted.waiting, at)
    books.write()
    previous: dict[str, Any] = {"status": subscription.status}
    subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.PAUSED)
    details = {"type": "subscription", "transitioned_at": at, "subscription": {"type": "pause_requested"}}
    subscription.status_details = {"paused": {**details, "resumes_at": wanted.resumes_at}}
    items = pending_updates.items_of(session, subscription)
    pending_updates.reschedule(session, subscription, items, at)
    session.flush()
    told = pending_updates.item_list(items)
    session.add(Event.of("customer.subscription.paused", subscription, at, previous, items=told))


def resumption(customer_id: str, subscription_id: str, at: int) -> Quote:
    """What going on would cost now. Raises NotFound, and BillingError when it is not paused."""
    with reading() as reader:
        row, customer = agreements.rows(reader, customer_id, subscription_id)
        return _resumption(agreements.whole(reader, row, customer, at), row, at)


def _resumption(agreement: Agreement, row: Any, at: int) -> Quote:
    if agreement.status != SubscriptionStatus.PAUSED:
        raise StateChanged(N_("This subscription is not paused."), "not_paused")
    if row.pending_update is not None:
        raise StateChanged(N_("It goes on as soon as its invoice is paid."), "resumption_pending")
    if agreement.due_at is not None and agreement.due_at <= at:  # a new price, say, that has not been noted yet
        raise StateChanged(N_("Your renewal is being prepared. Please try again in a few minutes."), "not_up_to_date")
    return pauses.resumption(agreement, at)


def resume(customer_id: str, subscription_id: str, agreed: Agreed, at: int) -> PlanChange:
    """Go on as it was shown, or raise StateChanged. What costs something waits for its payment."""
    with transaction() as session:
        customer = lookups.locked_customer(session, customer_id)
        made = lookups.change_made(session, customer_id, agreed.key)
        if made is not None:
            return made
        subscription = lookups.own(session, Subscription, customer_id, subscription_id, lock=True)
        agreed.check_time(at)
        agreement = agreements.whole(session, subscription, customer, agreed.at)
        quote = _resumption(agreement, subscription, agreed.at)
        agreed.check(terms_of(quote))
        return pending_updates.carry_out(session, customer, subscription, quote, None, agreed.key, at)


def resume_collection(customer_id: str, subscription_id: str, at: int) -> None:
    """End a pause of collection, which the field had before: periods ran on, so nothing is due now. Raises StateChanged."""
    with transaction() as session:
        lookups.locked_customer(session, customer_id)
        subscription = lookups.own(session, Subscription, customer_id, subscription_id, lock=True)
        if subscription.pause_collection is None:
            raise StateChanged(N_("This subscription is not paused."), "not_paused")
        previous = {"pause_collection": subscription.pause_collection}
        subscription.pause_collection = None
        items = pending_updates.items_of(session, subscription)
        pending_updates.reschedule(session, subscription, items, at)
        session.flush()
        told = pending_updates.item_list(items)
        session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=told))
