"""The effect of a gateway's answer on the attempt, its invoice and its subscription, in one transaction.

It is the same for an immediate answer, for one that the worker asked for, and for one that an event announced.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import Charge
from portal_site.billing.invoicing import credit_notes, payment_events
from portal_site.billing.loading import ownership
from portal_site.billing.models import (
    Account,
    Customer,
    Invoice,
    PaymentAttempt,
    PlanChange,
    Subscription,
)
from portal_site.billing.rules.payments import dunning
from portal_site.billing.rules.payments.payment_times import LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME
from portal_site.billing.rules.subscriptions.statuses import (
    AttemptStatus,
    ChangeOutcome,
    InvoiceStatus,
    SubscriptionStatus,
)
from portal_site.billing.subscriptions import (
    applied_discounts,
    due_dates,
    pending_updates,
    subscription_items,
    termination,
)
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.db.transactions import transaction


class AttemptKey(NamedTuple):
    """Where a payment attempt is found."""

    id: str
    account_id: str
    customer_id: str
    invoice_id: str


def record(
    attempt: AttemptKey | PaymentAttempt, charge: Charge | None, at: int, given_up: bool = False
) -> PaymentAttempt:
    """Store the outcome; None means that the gateway did not answer. A settled attempt is not changed."""
    return record_all([(attempt, charge)], at, given_up)[0]


def record_all(
    answers: Sequence[tuple[AttemptKey | PaymentAttempt, Charge | None]], at: int, given_up: bool = False
) -> list[PaymentAttempt]:
    """Store the outcomes of several attempts in one transaction."""
    with transaction() as session:
        customer_ids = {attempt.customer_id for attempt, _ in answers}
        ownership.lock_customers(session, customer_ids)
        invoices = ownership.lock_all(session, Invoice, customer_ids, {attempt.invoice_id for attempt, _ in answers})
        ownership.lock_all(session, PaymentAttempt, customer_ids, {attempt.id for attempt, _ in answers})
        subscription_ids = {invoice.subscription_id for invoice in invoices if invoice.subscription_id is not None}
        if subscription_ids:
            ownership.lock_all(session, Subscription, customer_ids, subscription_ids)
        return [_record(session, attempt, charge, at, given_up) for attempt, charge in answers]


def _record(
    session: Session, attempt: AttemptKey | PaymentAttempt, charge: Charge | None, at: int, given_up: bool
) -> PaymentAttempt:
    invoice = ownership.get_owned(session, Invoice, attempt.customer_id, attempt.invoice_id, lock=True)
    row = ownership.get_owned(session, PaymentAttempt, attempt.customer_id, attempt.id, lock=True)
    if row.settled_at is not None:
        return row
    row.checked_at = at
    if charge is None:
        _note_silence(row, given_up)
    elif charge.status == AttemptStatus.REQUIRES_ACTION:
        _note_question(session, invoice, row, charge, at)
    elif charge.status == AttemptStatus.PROCESSING:
        _note_processing(session, invoice, row, charge, at)
    elif charge.status == AttemptStatus.SUCCEEDED:
        _note_success(session, invoice, row, charge, at)
    else:
        _note_decline(session, invoice, row, charge, at)
    return row


def _note_silence(row: PaymentAttempt, given_up: bool) -> None:
    """The gateway did not answer. Its last answer still holds, unless we tried to cancel a payment that awaits 3-D Secure."""
    asked = row.status == AttemptStatus.REQUIRES_ACTION and not given_up
    if not asked and not _is_processing(row):
        row.status = AttemptStatus.UNKNOWN


def _is_processing(row: PaymentAttempt) -> bool:
    # Earlier versions used this status for calls without an answer, which have no reference.
    return row.status == AttemptStatus.PROCESSING and row.gateway_reference is not None


def _was_asked(row: PaymentAttempt) -> bool:
    # The URL is kept when an answer is lost or the debit continues: an authentication counts as one failed attempt, once.
    return row.status == AttemptStatus.REQUIRES_ACTION or row.next_action_url is not None


def _note_question(session: Session, invoice: Invoice, row: PaymentAttempt, charge: Charge, at: int) -> None:
    """The customer has to authenticate the payment. Until then it counts as a failed attempt."""
    asked_before = _was_asked(row)
    row.status, row.gateway_reference = AttemptStatus.REQUIRES_ACTION, charge.reference
    row.next_action_url = charge.next_action_url
    if not asked_before:
        payment_events.emit_requires_action(session, invoice, row, at)
        emit(session, "invoice.payment_action_required", invoice, at)
        note_failed_try(session, invoice, at, row.automatic)


def _note_processing(session: Session, invoice: Invoice, row: PaymentAttempt, charge: Charge, at: int) -> None:
    """The bank is processing the payment, which takes days. It has neither failed nor succeeded yet."""
    known = _is_processing(row)
    row.status, row.gateway_reference = AttemptStatus.PROCESSING, charge.reference
    if known:
        return
    payment_events.emit_processing(session, invoice, row, at)
    _forget_failures(session, invoice)
    subscription = _subscription_of(session, invoice)
    if subscription is not None and _is_for_a_change(subscription, invoice):
        pending_updates.extend(session, subscription, at + LONGEST_PROCESSING, at)


def _settle(session: Session, invoice: Invoice, row: PaymentAttempt, charge: Charge, at: int) -> None:
    """Close the attempt with its outcome."""
    row.status, row.gateway_reference = AttemptStatus(charge.status), charge.reference
    row.next_action_url, row.settled_at = None, at
    if row.status == AttemptStatus.DECLINED:
        row.decline_code = charge.decline_code or "generic_decline"
    payment_events.emit_outcome(session, invoice, row, at)
    _forget_failures(session, invoice)


def _note_success(session: Session, invoice: Invoice, row: PaymentAttempt, charge: Charge, at: int) -> None:
    """The invoice is paid: a change that waited for that is applied, or the subscription is active again."""
    _settle(session, invoice, row, charge, at)
    subscription = _mark_paid(session, invoice, row.amount, at)
    if subscription is None:
        return
    if _is_for_a_change(subscription, invoice):
        assert subscription.pending_update is not None
        with subscription_update(session, subscription, at):
            pending_updates.apply(session, subscription, subscription.pending_update, at)
        pending_updates.note_applied(session, subscription, invoice.id, at)
    else:
        _restore_subscription(session, subscription, invoice, at)


def _note_decline(session: Session, invoice: Invoice, row: PaymentAttempt, charge: Charge, at: int) -> None:
    asked, debited = _was_asked(row), _is_processing(row)
    _settle(session, invoice, row, charge, at)
    # A debit that was processing when an automatic attempt fell due replaces that.
    stood_in = debited and invoice.next_payment_attempt is not None and invoice.next_payment_attempt <= at
    if not asked or stood_in:
        note_failed_try(session, invoice, at, row.automatic or stood_in)
    if debited:
        _let_pay_otherwise(session, invoice, at)


def _let_pay_otherwise(session: Session, invoice: Invoice, at: int) -> None:
    """A debit has failed, which the customer learns only now: start the deadline of what awaits the invoice again."""
    subscription = _subscription_of(session, invoice)
    if subscription is None or subscription.due_at is None:
        return
    if _is_for_a_change(subscription, invoice):
        leaving = subscription.cancel_at is not None or subscription.cancel_at_period_end
        pending_updates.extend(session, subscription, at if leaving else at + PENDING_UPDATE_LIFETIME, at)
        subscription.due_at = min(subscription.due_at, at)  # the next run takes the steps that waited for the answer
    elif subscription.status == SubscriptionStatus.INCOMPLETE:
        items = subscription_items.load_items(session, subscription)
        due_dates.recompute_due_at(session, subscription, items, at)


def _forget_failures(session: Session, invoice: Invoice) -> None:
    """Reset the failures of earlier runs, because the provider has answered."""
    subscription = _subscription_of(session, invoice)
    if subscription is not None and subscription.due_at is not None and subscription.billing_failures:
        subscription.billing_failures, subscription.billing_error = 0, None


def note_failed_try(session: Session, invoice: Invoice, at: int, automatic: bool) -> None:
    """Count a failed attempt, and schedule the next one, or apply the end of dunning to the subscription.

    As at Stripe, only the first attempt and automatic ones count; other attempts of the customer change nothing.
    """
    counts = automatic or invoice.attempt_count == 0
    invoice.attempt_count += counts
    session.flush()
    emit(session, "invoice.payment_failed", invoice, at)
    subscription = _subscription_of(session, invoice)
    if not counts or subscription is None:
        return
    if SubscriptionStatus(subscription.status).ended and invoice.next_payment_attempt is None:
        return  # it ended meanwhile: the invoice stays open, and is not collected automatically
    beginning = subscription.status == SubscriptionStatus.INCOMPLETE
    if beginning or _is_for_a_change(subscription, invoice) or invoice.collection_method == "send_invoice":
        invoice.next_payment_attempt = None  # the customer has to act; the old plan stays in force
        return
    _schedule_retry(session, invoice, subscription, at)


def _schedule_retry(session: Session, invoice: Invoice, subscription: Subscription, at: int) -> None:
    """Set the next automatic attempt by the account's dunning policy, or apply the policy's end to the subscription."""
    document = session.scalar(select(Account.dunning).where(Account.id == invoice.account_id))
    policy = dunning.DunningPolicy.of(document or {})
    invoice.next_payment_attempt = policy.next_try(invoice.attempt_count, at)
    status = SubscriptionStatus.PAST_DUE if invoice.next_payment_attempt is not None else policy.end
    if invoice.next_payment_attempt is None and policy.write_off:
        invoice.status, invoice.marked_uncollectible_at = InvoiceStatus.UNCOLLECTIBLE, at
        session.flush()
        emit(session, "invoice.marked_uncollectible", invoice, at)
    if SubscriptionStatus(subscription.status).renews:
        _change_status(session, subscription, status, at)


def _change_status(session: Session, subscription: Subscription, status: SubscriptionStatus, at: int) -> None:
    """Change the status of a subscription, with the effects on its periods and invoices."""
    if subscription.status == status:
        return
    if status == SubscriptionStatus.CANCELED:
        subscription.cancellation_details = {**(subscription.cancellation_details or {}), "reason": "payment_failed"}
        _reduce_owed(session, subscription, at)
        termination.end(session, subscription, at, at)
        return
    with subscription_update(session, subscription, at) as update:
        if status == SubscriptionStatus.UNPAID:
            reduced = _reduce_owed(session, subscription, at)
            for item in update.items:
                if (
                    item.id in reduced
                ):  # the reduced invoice is for the time until now; a new period begins when it is paid
                    item.current_period_end = at
        over = [item for item in update.items if item.current_period_end <= at]
        if subscription.status == SubscriptionStatus.UNPAID and over:
            # Nothing was delivered meanwhile, so a new period begins now, and the time in between is not billed.
            termination.reset_periods(over, at)
            if len(over) == len(update.items):
                subscription.billing_cycle_anchor = at
        subscription.status = SubscriptionStatus(subscription.status).become(status)


def _reduce_owed(session: Session, subscription: Subscription, at: int) -> frozenset[str]:
    customer = _lock_customer(session, subscription.customer_id)
    return termination.reduce_owed(session, customer, subscription, at, at)


def _lock_customer(session: Session, customer_id: str) -> Customer:
    """The customer, locked, even if it is deleted: its invoices can still be paid."""
    return session.scalars(select(Customer).where(Customer.id == customer_id).with_for_update()).one()


def _subscription_of(session: Session, invoice: Invoice) -> Subscription | None:
    if invoice.subscription_id is None:
        return None
    return ownership.get_owned(session, Subscription, invoice.customer_id, invoice.subscription_id, lock=True)


def _is_for_a_change(subscription: Subscription, invoice: Invoice) -> bool:
    return subscription.pending_update is not None and subscription.pending_update.invoice_id == invoice.id


def _mark_paid(session: Session, invoice: Invoice, amount: int, at: int) -> Subscription | None:
    """The invoice is paid. Returns its subscription, if it has one."""
    invoice.amount_paid += amount
    invoice.amount_remaining -= amount
    if invoice.amount_remaining < 0:
        customer = _lock_customer(session, invoice.customer_id)
        credit_notes.return_overpayment(session, customer, invoice, at)
    invoice.attempt_count = max(1, invoice.attempt_count)
    invoice.status, invoice.paid_at, invoice.next_payment_attempt = InvoiceStatus.PAID, at, None
    emit(session, "invoice.paid", invoice, at)
    emit(session, "invoice.payment_succeeded", invoice, at)
    payment_events.emit_paid(session, invoice, amount, at)
    return _subscription_of(session, invoice)


def _restore_subscription(session: Session, subscription: Subscription, invoice: Invoice, at: int) -> None:
    """Activate a subscription whose last open invoice, or whose first one, was just paid."""
    still_open = select(Invoice.id).where(
        Invoice.customer_id == invoice.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == InvoiceStatus.OPEN,
    )
    behind = (SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID, SubscriptionStatus.INCOMPLETE)
    if subscription.status in behind and session.scalar(still_open.limit(1)) is None:
        begins = subscription.status == SubscriptionStatus.INCOMPLETE
        _change_status(session, subscription, SubscriptionStatus.ACTIVE, at)
        if begins:
            applied_discounts.resume_shared_discounts(session, subscription, subscription.created, at)
            mine = PlanChange.customer_id == invoice.customer_id, PlanChange.invoice_id == invoice.id
            session.execute(update(PlanChange).where(*mine).values(outcome=ChangeOutcome.APPLIED))
