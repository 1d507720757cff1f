"""Cancelling a subscription: preview, cancellation attempt, cancellation, and undoing a scheduled cancellation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal_site.billing.cancellation import retention
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.invoicing import credit_notes
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.loading import ownership, payment_state, snapshots
from portal_site.billing.loading.confirmations import CHANGED, Confirmation, hash_terms
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    CancellationAttempt,
    Customer,
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
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction


@dataclass(frozen=True)
class Reason:
    """A cancellation reason: a standard reason (`feedback`) or the id of one of the merchant's own, and a comment."""

    feedback: str | None = None
    option_id: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class CancellationResult:
    """The result of a cancellation. `invoice_id` is set if an invoice has to be collected now."""

    ends_at: int
    immediate: bool
    invoice_id: str | None = None


@dataclass(frozen=True)
class CancellationPreview:
    """The effect of a cancellation. If the subscription cannot be cancelled, `refusal` says why and `ending` is None."""

    snapshot: SubscriptionSnapshot
    refusal: BillingError | None
    ending: CancellationQuote | None


def preview(customer_id: str, subscription_id: str, features: SubscriptionCancel, at: int) -> CancellationPreview:
    """The effect of cancelling now. Raises NotFound."""
    with reading() as reader:
        row, customer = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        return _preview(reader, row, customer, features, at)


def _preview(
    reader: Reader, row: Subscription, customer: Customer, features: SubscriptionCancel, at: int
) -> CancellationPreview:
    snapshot = snapshots.load_for_quote(reader, row, customer, at)
    refusal = cancellation.why_not_cancelable(snapshot)
    if refusal is not None:
        return CancellationPreview(snapshot, refusal, None)
    debited = payment_state.is_being_debited(reader, customer.id, payment_state.blocking_invoice(row))
    drops_change = row.pending_update is not None and not debited
    ending = cancellation.quote(snapshot, features.mode, features.proration_behavior, drops_change, at)
    if debited and ending.immediate:
        return CancellationPreview(snapshot, _being_debited(), None)
    return CancellationPreview(snapshot, None, ending)


def _being_debited() -> BillingError:
    return BillingError(
        N_("Your bank is processing a payment for this subscription. You can end it as soon as that is done."),
        "payment_under_way",
    )


def cancellation_fingerprint(ending: CancellationQuote) -> str:
    """A fingerprint of the terms that the customer confirms: the end date, and the amounts that are settled."""
    # The end of an immediate cancellation is the time of the quote, which differs between preview and confirmation.
    moment = None if ending.immediate else ending.ends_at
    lines = [(line.item_id, line.total) for line in ending.invoice.lines]
    terms = [
        moment,
        ending.immediate,
        ending.drops,
        ending.lost,
        ending.invoice.amount_due,
        ending.invoice.ending_balance,
        [(reduction.invoice_id, reduction.owed_less, reduction.to_balance) for reduction in ending.reductions],
        lines,
    ]
    return hash_terms(terms)


def feedback_options(account_id: str, option_ids: Sequence[str]) -> dict[str, str]:
    """The descriptions of the merchant's active reasons by id, in the given order. Inactive reasons are left out."""
    if not option_ids:
        return {}
    query = select(FeedbackOption.id, FeedbackOption.description).where(
        FeedbackOption.account_id == account_id, FeedbackOption.id.in_(option_ids), FeedbackOption.status == "active"
    )
    with reading() as reader:
        descriptions = {row[0]: row[1] for row in reader.execute(query)}
    return {option_id: descriptions[option_id] for option_id in option_ids if option_id in descriptions}


def start_attempt(
    customer_id: str, subscription_id: str, features: Features, reason: Reason, at: int
) -> CancellationAttempt:
    """Record a cancellation attempt with its reason, and make a retention offer if one matches.

    An open attempt of the last day is continued, so that a customer does not get two offers for one cancellation. Another
    reason replaces an offer that was not answered by its own. Raises
    BillingError for a reason that the configuration does not offer, or a comment that is too long.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id)
        _check(session, customer, features.subscription_cancel.cancellation_reason, reason)
        attempt = _open_attempt(session, subscription, at)
        if attempt is None:
            attempt = CancellationAttempt.of(subscription, at)
            session.add(attempt)
        is_other_reason = (attempt.feedback, attempt.feedback_option_id) != (reason.feedback, reason.option_id)
        attempt.feedback, attempt.feedback_option_id = reason.feedback, reason.option_id
        attempt.comment = reason.comment
        if attempt.offer is None or (is_other_reason and attempt.offer_outcome != "declined"):
            retention.make_offer(session, customer, subscription, attempt, features, at)
    return attempt


def _open_attempt(session: Session, subscription: Subscription, at: int) -> CancellationAttempt | None:
    is_open = (
        CancellationAttempt.customer_id == subscription.customer_id,
        CancellationAttempt.subscription_id == subscription.id,
        CancellationAttempt.closed_at.is_(None),
        CancellationAttempt.created > at - OFFER_LIFETIME,
    )
    return session.scalar(
        select(CancellationAttempt).where(*is_open).order_by(CancellationAttempt.created.desc()).limit(1)
    )


def _check(session: Session, customer: Customer, features: CancellationReason, reason: Reason) -> None:
    """Raise BillingError for a reason that is not offered, or a comment that is too long."""
    unknown = BillingError(N_("Choose one of the reasons, or none."), "reason_not_offered", "reason")
    if reason.feedback is not None and reason.feedback not in features.options:
        raise unknown
    if len(reason.comment or "") > cancellation.LONGEST_COMMENT:
        raise BillingError(N_("Use at most 500 characters."), "comment_too_long", "comment")
    if reason.option_id is None:
        return
    active = FeedbackOption.account_id == customer.account_id, FeedbackOption.status == "active"
    option_id = session.scalar(select(FeedbackOption.id).where(FeedbackOption.id == reason.option_id, *active))
    if option_id is None or reason.option_id not in features.feedback_options:
        raise unknown


def cancel(
    customer_id: str,
    subscription_id: str,
    features: SubscriptionCancel,
    confirmation: Confirmation,
    at: int,
    attempt_id: str = "",
) -> CancellationResult:
    """Cancel the subscription on the confirmed terms. A second call with the same confirmation returns the same result.

    Raises StateChanged if the terms have changed since the preview, and NotFound.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        # The id of an attempt created below comes from the confirmation's key, so that the confirmation counts once.
        by_key = _find_attempt(session, subscription, f"cxl_{confirmation.key}")
        attempt = by_key or _find_attempt(session, subscription, attempt_id)
        if (earlier := _earlier_result(subscription, attempt)) is not None:
            return earlier
        if by_key is not None:  # the cancellation was undone since; the same confirmation must not repeat it
            raise StateChanged(CHANGED, "quote_changed")
        ending = _confirmed_quote(session, subscription, customer, features, confirmation, at)
        if attempt is None or attempt.closed_at is not None:  # no reason was given, or an offer was accepted before
            attempt = CancellationAttempt.of(subscription, at, id=f"cxl_{confirmation.key}")
            session.add(attempt)
        attempt.cancel(at)
        if ending.immediate:
            ending = _quote_without_change(session, subscription, customer, features, confirmation, ending, at)
            return CancellationResult(at, True, _end(session, customer, subscription, ending, attempt, at))
        _schedule_end(session, customer, subscription, ending.ends_at, attempt, at)
        return CancellationResult(ending.ends_at, False)


def _earlier_result(subscription: Subscription, attempt: CancellationAttempt | None) -> CancellationResult | None:
    """The result of this attempt if it has ended the subscription already: it is a second click."""
    ends_at = subscription.ended_at or subscription.cancel_at
    if attempt is None or attempt.outcome != "canceled" or ends_at is None:
        return None
    return CancellationResult(ends_at, subscription.ended_at is not None)


def _confirmed_quote(
    session: Session,
    subscription: Subscription,
    customer: Customer,
    features: SubscriptionCancel,
    confirmation: Confirmation,
    at: int,
) -> CancellationQuote:
    """The quote as of the confirmation, if the customer agreed to its terms. Raises StateChanged."""
    preview = _preview(session, subscription, customer, features, confirmation.at)
    if preview.ending is None:
        assert preview.refusal
        raise StateChanged(preview.refusal.message, preview.refusal.code)
    confirmation.check_time(at)
    confirmation.check(cancellation_fingerprint(preview.ending))
    return preview.ending


def _quote_without_change(
    session: Session,
    subscription: Subscription,
    customer: Customer,
    features: SubscriptionCancel,
    confirmation: Confirmation,
    confirmed: CancellationQuote,
    at: int,
) -> CancellationQuote:
    """Drop a pending update, and return the confirmed quote with the lines that its invoice returned, which have new ids."""
    waited = subscription.pending_update is not None
    _drop_change(session, customer, subscription, at)
    if not waited:
        return confirmed
    ending = _preview(session, subscription, customer, features, confirmation.at).ending
    assert ending
    confirmation.check(cancellation_fingerprint(replace(ending, drops=confirmed.drops)))
    return ending


def _find_attempt(session: Session, subscription: Subscription, attempt_id: str) -> CancellationAttempt | None:
    owned = CancellationAttempt.customer_id == subscription.customer_id, CancellationAttempt.id == attempt_id
    return session.scalar(
        select(CancellationAttempt).where(*owned, CancellationAttempt.subscription_id == subscription.id)
    )


def _end(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    ending: CancellationQuote,
    attempt: CancellationAttempt,
    at: int,
) -> str | None:
    """End the subscription now. Returns the id of the final invoice if an amount is due."""
    invoice_id = None
    if ending.invoice.lines:
        writer = InvoiceWriter(session)
        invoice_id = add_open_invoice(writer, customer, subscription, ending.invoice, at)
        writer.write()
    credit_notes.reduce_invoices(session, customer, ending.reductions, at)
    _drop_pending(session, subscription)
    subscription.cancellation_details = attempt.details
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        termination.expire(session, customer, subscription, at, at)
    else:
        termination.end(session, subscription, at, at)
    due_dates.recompute_due_at(session, subscription, subscription_items.load_items(session, subscription), at)
    return invoice_id if ending.invoice.amount_due else None


def _schedule_end(
    session: Session,
    customer: Customer,
    subscription: Subscription,
    ends_at: int,
    attempt: CancellationAttempt,
    at: int,
) -> None:
    """Let the subscription end at `ends_at`."""
    # A debit cannot be taken back: the change takes effect if it succeeds, and is dropped if it fails.
    if not payment_state.is_being_debited(session, customer.id, payment_state.blocking_invoice(subscription)):
        _drop_change(session, customer, subscription, at)
    with subscription_update(session, subscription, at):
        # Set both members, because event consumers may check only one. The date is fixed in either billing mode.
        subscription.cancel_at, subscription.cancel_at_period_end = ends_at, True
        subscription.canceled_at, subscription.cancellation_details = at, attempt.details


def _drop_change(session: Session, customer: Customer, subscription: Subscription, at: int) -> None:
    """Discard a pending update, which a cancelling customer no longer wants to pay for.

    Raises StateChanged while its payment is in progress.
    """
    if payment_state.unsettled_attempt(session, customer.id, payment_state.blocking_invoice(subscription)):
        raise StateChanged(
            N_("A payment for a change is in progress. Please try again in a moment."), "payment_under_way"
        )
    if subscription.pending_update:
        pending_updates.discard(session, customer, subscription, at)


def _drop_pending(session: Session, subscription: Subscription) -> None:
    """Delete the pending invoice items, because there will be no further invoice."""
    pending = InvoiceLineItem.customer_id == subscription.customer_id, InvoiceLineItem.invoice_id.is_(None)
    session.execute(delete(InvoiceLineItem).where(*pending, InvoiceLineItem.subscription_id == subscription.id))


def keep(customer_id: str, subscription_id: str, at: int) -> None:
    """Undo a scheduled cancellation. Raises StateChanged if there is none, or if the merchant scheduled it."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not cancellation.can_be_kept(
            subscription.status, subscription.cancel_at, subscription.cancel_at_period_end,
            subscription.cancellation_details,
        ):  # fmt: skip
            raise StateChanged(N_("There is no cancellation left to undo."), "not_canceled")
        with subscription_update(session, subscription, at):
            subscription.cancel_at, subscription.cancel_at_period_end = None, False
            subscription.canceled_at, subscription.cancellation_details = None, {}
