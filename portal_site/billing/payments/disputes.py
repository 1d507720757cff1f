"""Disputes: payments that customers want back from their bank. The provider is asked what is so, and that is stored.

While the bank has the money it counts as taken back of the invoice, which stays paid, as at Stripe: no credit is given for it.
What happens to the subscription is for the account to say.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import DisputeDetails
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, Customer, Dispute, Invoice, PaymentAttempt, Subscription
from portal_site.billing.payments import refunds
from portal_site.billing.payments.gateway_events import time_of
from portal_site.billing.rules.payments.dunning import DunningPolicy
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import due_dates, subscription_items, termination
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

INQUIRY = "warning_"  # how the statuses begin of what is only asked, before any money is taken
CLOSED = ("won", "lost", "prevented", "warning_closed")
REASON = "payment_disputed"  # of a cancellation, as at Stripe


def record(account_id: str, details: DisputeDetails, real: int) -> Dispute | None:
    """Store how a dispute stands, with its events; None if it is about no payment of the account's.

    What is known already changes nothing, so it may be called again for each event.
    """
    with transaction() as session:
        mine = PaymentAttempt.account_id == account_id, PaymentAttempt.id == (details.attempt_id or "")
        attempt = session.scalar(select(PaymentAttempt).where(*mine))
        if attempt is None:
            return None
        customer = refunds.lock_customer(session, attempt.customer_id)
        at = time_of(session, customer.id, real)
        known = Dispute.account_id == account_id, Dispute.gateway_reference == details.reference
        row = session.scalar(select(Dispute).where(*known))
        was_formal = row is not None and is_formal(row.status)
        if row is None:
            row = _open(session, attempt, details, at)
        else:
            _update(session, row, details, at)
        invoice = ownership.get_owned(session, Invoice, row.customer_id, row.invoice_id, lock=True)
        _move_money(session, row, invoice, details.is_withdrawn, at)
        if is_formal(row.status) and not was_formal:
            _apply_policy(session, customer, invoice, at)
        return row


def is_formal(status: str) -> bool:
    """Whether it is more than a question of the bank."""
    return not status.startswith(INQUIRY)


def _open(session: Session, attempt: PaymentAttempt, details: DisputeDetails, at: int) -> Dispute:
    row = Dispute(
        id=new_id("du"), account_id=attempt.account_id, customer_id=attempt.customer_id, invoice_id=attempt.invoice_id,
        payment_attempt_id=attempt.id, livemode=attempt.livemode, created=at, amount=details.amount,
        currency=details.currency, reason=details.reason, status=details.status, is_withdrawn=False,
        evidence_due_by=details.evidence_due_by, gateway_reference=details.reference,
        closed_at=at if details.status in CLOSED else None,
    )  # fmt: skip
    session.add(row)
    session.flush()
    emit(session, "charge.dispute.created", row, at)
    return row


def _update(session: Session, row: Dispute, details: DisputeDetails, at: int) -> None:
    before = {"status": row.status, "reason": row.reason, "amount": row.amount}
    row.status, row.reason, row.evidence_due_by = details.status, details.reason, details.evidence_due_by
    row.closed_at = (row.closed_at or at) if row.status in CLOSED else None
    if not row.is_withdrawn:
        row.amount = details.amount
    after = {"status": row.status, "reason": row.reason, "amount": row.amount}
    previous = {name: value for name, value in before.items() if value != after[name]}
    session.flush()
    if previous:
        is_closed = row.status in CLOSED and "status" in previous
        kind = "charge.dispute.closed" if is_closed else "charge.dispute.updated"
        emit(session, kind, row, at, previous=previous)


def _move_money(session: Session, row: Dispute, invoice: Invoice, is_withdrawn: bool, at: int) -> None:
    if row.is_withdrawn is is_withdrawn:
        return
    row.is_withdrawn = is_withdrawn
    invoice.amount_disputed += row.amount if is_withdrawn else -row.amount
    session.flush()
    emit(session, "charge.dispute.funds_withdrawn" if is_withdrawn else "charge.dispute.funds_reinstated", row, at)
    emit(session, "invoice.updated", invoice, at)


def _apply_policy(session: Session, customer: Customer, invoice: Invoice, at: int) -> None:
    """What the account has configured happens to the subscription of a disputed invoice."""
    document = session.scalar(select(Account.dunning).where(Account.id == invoice.account_id))
    disputed = DunningPolicy.of(document or {}).disputed
    if disputed == "keep" or invoice.subscription_id is None:
        return
    subscription = ownership.get_owned(session, Subscription, customer.id, invoice.subscription_id, lock=True)
    if SubscriptionStatus(subscription.status).ended or subscription.status == SubscriptionStatus.INCOMPLETE:
        return
    subscription.cancellation_details = {**(subscription.cancellation_details or {}), "reason": REASON}
    items = subscription_items.load_items(session, subscription)
    if disputed == "cancel":
        termination.reduce_owed(session, customer, subscription, at, at)
        termination.end(session, subscription, at, at)
    else:
        ends_at = min(item.current_period_end for item in items)
        if subscription.cancel_at is None or subscription.cancel_at > ends_at:
            with subscription_update(session, subscription, at):
                # Not `cancel_at_period_end`, which the customer could undo.
                subscription.cancel_at, subscription.cancel_at_period_end = ends_at, False
                subscription.canceled_at = at
    due_dates.recompute_due_at(session, subscription, items, at)
