"""Leaving, and staying after all: why a customer goes, what that brings about, and the way back until the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal_site.billing.cancellation import retention
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.loading import ownership, payment_state, snapshots
from portal_site.billing.loading.confirmations import CHANGED, Confirmation, hash_terms
from portal_site.billing.models import (
    CancellationAttempt,
    Customer,
    Event,
    FeedbackOption,
    InvoiceLineItem,
    Subscription,
)
from portal_site.billing.rules.portal.portal_features import CancellationReason, Features, SubscriptionCancel
from portal_site.billing.rules.retention.offer_rules import OFFER_LIFETIME
from portal_site.billing.rules.subscriptions import cancellation
from portal_site.billing.rules.subscriptions.cancellation import CancellationQuote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import due_dates, pending_updates, subscription_items, termination
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class Reason:
    """Why a customer leaves: one of the standard reasons, or one of the merchant's own by its id, and a comment."""

    feedback: str | None = None
    option_id: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class CancellationResult:
    """What a cancellation did; `invoice_id` is that of an invoice that has to be collected now."""

    ends_at: int
    immediate: bool
    invoice_id: str | None = None


@dataclass(frozen=True)
class CancellationPreview:
    """A subscription before its cancellation; `ending` is None where `refusal` says why it cannot be cancelled."""

    snapshot: SubscriptionSnapshot
    refusal: BillingError | None
    ending: CancellationQuote | None


def preview(customer_id: str, subscription_id: str, features: SubscriptionCancel, at: int) -> CancellationPreview:
    """What cancelling now would bring about. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _preview(reader, row, customer, features, at)


def _preview(reader: Any, row: Any, customer: Any, features: SubscriptionCancel, at: int) -> CancellationPreview:
    snapshot = snapshots.load_for_quote(reader, row, customer, at)
    refusal = cancellation.why_not_cancelable(snapshot)
    if refusal is not None:
        return CancellationPreview(snapshot, refusal, None)
    waiting = row.pending_update is not None
    ending = cancellation.quote(snapshot, features.mode, features.proration_behavior, waiting, at)
    return CancellationPreview(snapshot, None, ending)


def cancellation_fingerprint(ending: CancellationQuote) -> str:
    """What a customer agrees to when it accepts this end: its day, and what is settled."""
    # At the period's end the second of the click changes nothing; at once it does.
    moment = None if ending.immediate else ending.ends_at
    lines = [(line.item_id, line.total) for line in ending.invoice.lines]
    terms = [
        moment,
        ending.immediate,
        ending.drops,
        ending.lost,
        ending.invoice.amount_due,
        ending.invoice.ending_balance,
        lines,
    ]
    return hash_terms(terms)


def feedback_options(account_id: str, wanted: Sequence[str]) -> dict[str, str]:
    """The merchant's own reasons by id, in the configuration's order; those that are no longer in use are left out."""
    if not wanted:
        return {}
    query = select(FeedbackOption.id, FeedbackOption.description).where(
        FeedbackOption.account_id == account_id, FeedbackOption.id.in_(wanted), FeedbackOption.status == "active"
    )
    with reading() as reader:
        found = {row[0]: row[1] for row in reader.execute(query)}
    return {name: found[name] for name in wanted if name in found}


def start_attempt(
    customer_id: str, subscription_id: str, features: Features, reason: Reason, at: int
) -> CancellationAttempt:
    """Note why a customer wants to leave, and which offer fits. Raises BillingError for a reason that is not asked for.

    Who comes back within a day goes on with the same attempt, so that nobody is made two offers on one way out.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id)
        _check(session, customer, features.subscription_cancel.cancellation_reason, reason)
        attempt = _going_on(session, subscription, at)
        if attempt is None:
            attempt = CancellationAttempt.of(subscription, at)
            session.add(attempt)
        attempt.feedback, attempt.feedback_option_id = reason.feedback, reason.option_id
        attempt.comment = reason.comment
        if attempt.offer is None:
            retention.make_offer(session, customer, subscription, attempt, features, at)
    return attempt


def _going_on(session: Session, subscription: Subscription, at: int) -> CancellationAttempt | None:
    mine = (
        CancellationAttempt.customer_id == subscription.customer_id,
        CancellationAttempt.subscription_id == subscription.id,
        CancellationAttempt.closed_at.is_(None),
        CancellationAttempt.created > at - OFFER_LIFETIME,
    )
    return session.scalar(
        select(CancellationAttempt).where(*mine).order_by(CancellationAttempt.created.desc()).limit(1)
    )


def _check(session: Session, customer: Customer, features: CancellationReason, reason: Reason) -> None:
    unknown = BillingError(N_("Choose one of the reasons, or none."), "reason_not_offered", "reason")
    if reason.feedback is not None and reason.feedback not in features.options:
        raise unknown
    if len(reason.comment or "") > cancellation.LONGEST_COMMENT:
        raise BillingError(N_("Use at most 500 characters."), "comment_too_long", "comment")
    if reason.option_id is None:
        return
    mine = FeedbackOption.account_id == customer.account_id, FeedbackOption.status == "active"
    found = session.scalar(select(FeedbackOption.id).where(FeedbackOption.id == reason.option_id, *mine))
    if found is None or reason.option_id not in features.feedback_options:
        raise unknown


def cancel(
    customer_id: str,
    subscription_id: str,
    features: SubscriptionCancel,
    confirmation: Confirmation,
    at: int,
    attempt_id: str = "",
) -> CancellationResult:
    """Cancel as it was shown, or raise StateChanged when that is not what it would be any more."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        own_id = f"cxl_{confirmation.key}"  # of an attempt that this yes makes where none is open
        used = _known(session, subscription, own_id)
        attempt = used or _known(session, subscription, attempt_id)
        ends_at = subscription.ended_at or subscription.cancel_at
        if attempt is not None and attempt.outcome == "canceled" and ends_at is not None:  # a second click
            return CancellationResult(ends_at, subscription.ended_at is not None)
        if used is not None:  # and taken back since: a yes counts once
            raise StateChanged(CHANGED, "quote_changed")
        found = _preview(session, subscription, customer, features, confirmation.at)
        if found.ending is None:
            assert found.refusal
            raise StateChanged(found.refusal.message, found.refusal.code)
        confirmation.check_time(at)
        confirmation.check(cancellation_fingerprint(found.ending))
        if attempt is None or attempt.closed_at is not None:  # no reason was given, or an offer was taken before
            attempt = CancellationAttempt.of(subscription, at, id=own_id)
            session.add(attempt)
        attempt.cancel(at)
        if found.ending.immediate:
            invoice_id = _end(session, customer, subscription, found.ending, attempt, at)
            return CancellationResult(at, True, invoice_id)
        _drop_change(session, customer, subscription, at)
        # Both signs for those who watch only one of them; the day is fixed, whatever the subscription's billing mode.
        _update(session, subscription, at, cancel_at=found.ending.ends_at, cancel_at_period_end=True, canceled_at=at,
                 cancellation_details=attempt.details)  # fmt: skip
        return CancellationResult(found.ending.ends_at, False)


def _known(session: Session, subscription: Subscription, attempt_id: str) -> CancellationAttempt | None:
    mine = CancellationAttempt.customer_id == subscription.customer_id, CancellationAttempt.id == attempt_id
    return session.scalar(
        select(CancellationAttempt).where(*mine, CancellationAttempt.subscription_id == subscription.id)
    )


def _end(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    ending: CancellationQuote,
    attempt: CancellationAttempt,
    at: int,
) -> str | None:
    _drop_change(session, customer, subscription, at)
    invoice_id = None
    if ending.invoice.lines:
        writer = InvoiceWriter(session)
        invoice_id = add_open_invoice(writer, customer, subscription, ending.invoice, at)
        writer.write()
    _drop_pending(session, subscription)
    subscription.cancellation_details = attempt.details
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        termination.expire(session, customer, subscription, at, at)
    else:
        termination.end(session, subscription, at, at)
    due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
    return invoice_id if ending.invoice.amount_due else None


def _drop_change(session: Session, customer: Customer, subscription: Subscription, at: int) -> None:
    """Whoever leaves does not want another plan, and least of all to pay for it later."""
    if payment_state.unsettled_attempt(session, customer.id, payment_state.blocking_invoice(subscription)):
        raise StateChanged(
            N_("A payment for a change is in progress. Please try again in a moment."), "payment_under_way"
        )
    if subscription.pending_update:
        pending_updates.discard(session, customer, subscription, at)


def _drop_pending(session: Session, subscription: Subscription) -> None:
    """Lines that waited for an invoice that will not come."""
    waiting = InvoiceLineItem.customer_id == subscription.customer_id, InvoiceLineItem.invoice_id.is_(None)
    session.execute(delete(InvoiceLineItem).where(*waiting, InvoiceLineItem.subscription_id == subscription.id))


def keep(customer_id: str, subscription_id: str, at: int) -> None:
    """Take a cancellation back before it comes. Raises StateChanged when there is none, or it is the merchant's."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not cancellation.can_be_kept(
            subscription.status, subscription.cancel_at, subscription.cancel_at_period_end,
            subscription.cancellation_details,
        ):  # fmt: skip
            raise StateChanged(N_("There is no cancellation left to undo."), "not_canceled")
        _update(session, subscription, at, cancel_at=None, cancel_at_period_end=False, canceled_at=None,
                 cancellation_details={})  # fmt: skip


def _update(session: Session, subscription: Subscription, at: int, **members: Any) -> None:
    """Change these members, and tell of those that were different."""
    before = {name: getattr(subscription, name) for name in members}
    for name, value in members.items():
        setattr(subscription, name, value)
    items = subscription_items.load_items(session, subscription)
    due_dates.recompute_due_at(session, subscription, items, at)
    session.flush()
    previous = {name: value for name, value in before.items() if value != members[name]}
    told = subscription_items.items_object(items)
    session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=told))
