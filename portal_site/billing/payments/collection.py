"""Collecting an invoice: the attempt is written down, the gateway is called outside any transaction, the outcome is written down.

So a crash or a lost answer leaves an attempt under way, which is settled by asking the gateway; nothing is charged twice.
"""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable, StateChanged
from portal_site.billing.gateways import Charge, Gateway
from portal_site.billing.invoicing import payment_events
from portal_site.billing.loading import ownership, payment_state
from portal_site.billing.models import (
    Account,
    Customer,
    Event,
    Invoice,
    PaymentAttempt,
    PaymentMethod,
    PlanChange,
    Subscription,
)
from portal_site.billing.rules.subscriptions import dunning
from portal_site.billing.rules.subscriptions.statuses import (
    AttemptStatus,
    ChangeOutcome,
    InvoiceStatus,
    SubscriptionStatus,
)
from portal_site.billing.subscriptions import due_dates, pending_updates, subscription_items, termination
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id


def pay_invoice(
    gateway: Gateway, customer_id: str, invoice_id: str, method_id: str, amount: int, at: int, return_url: str
) -> PaymentAttempt:
    """Pay what is left of an open invoice: exactly `amount` minor units, or nothing (StateChanged).

    The attempt that comes back says how it went; an earlier one that is still under way is settled first, and if that one
    took the money, it is the answer.
    """
    earlier = _unsettled(customer_id, invoice_id)
    if earlier is not None:
        settled = _resolve(gateway, earlier, at, return_url, give_up=True)
        if settled.status != AttemptStatus.DECLINED:
            return settled
    attempt, reference = _begin(customer_id, invoice_id, method_id, amount, at)
    try:
        charge = gateway.charge(reference, amount, attempt.currency, attempt.idempotency_key, return_url)
    except GatewayUnavailable:
        return _record(attempt, None, at)
    return _record(attempt, charge, at)


def resolve_payment(
    gateway: Gateway, customer_id: str, invoice_id: str, at: int, return_url: str
) -> PaymentAttempt | None:
    """Find out what became of the attempt under way, if there is one; the customer came back or time has passed."""
    attempt = _unsettled(customer_id, invoice_id)
    return _resolve(gateway, attempt, at, return_url, give_up=False) if attempt else None


def cancel_awaiting_payment(
    gateway: Gateway, customer_id: str, invoice_id: str, at: int, return_url: str
) -> PaymentAttempt | None:
    """Let go of a payment that waits for the customer at the bank. One that was confirmed meanwhile counts; others stay."""
    attempt = _unsettled(customer_id, invoice_id)
    if attempt is None or attempt.status != AttemptStatus.REQUIRES_ACTION:
        return None
    return _resolve(gateway, attempt, at, return_url, give_up=True)


def cancel_awaiting_payments(
    gateway: Gateway, customer_id: str, subscription_id: str, at: int, return_url: str
) -> None:
    """The same of what a change of this subscription waits for, or its beginning, so that it can be taken back."""
    with transaction() as session:
        invoice_id = payment_state.blocking_invoice(
            ownership.get_owned(session, Subscription, customer_id, subscription_id)
        )
    if invoice_id is not None:
        cancel_awaiting_payment(gateway, customer_id, invoice_id, at, return_url)


def collect(gateway: Gateway, customer_id: str, invoice_id: str, at: int, return_url: str) -> PaymentAttempt | None:
    """Charge an open invoice to what its subscription is paid with; None when there is nothing left to collect.

    Without a payment method it counts as a try that failed.
    """
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        if invoice.status != InvoiceStatus.OPEN or invoice.amount_remaining <= 0:
            invoice.next_payment_attempt = None
            return None
        method_id = _method(session, customer, invoice)
        if method_id is None:
            _note_failed_try(session, invoice, at, automatic=True)
            return None
        amount = invoice.amount_remaining
    return pay_invoice(gateway, customer_id, invoice_id, method_id, amount, at, return_url)


def _method(session: Session, customer: Customer, invoice: Invoice) -> str | None:
    """The subscription's own payment method, else the customer's default, if it is still attached."""
    chosen = select(Subscription.default_payment_method_id).where(
        Subscription.customer_id == customer.id, Subscription.id == invoice.subscription_id
    )
    wanted = session.scalar(chosen) or customer.default_payment_method_id
    attached = PaymentMethod.customer_id == customer.id, PaymentMethod.detached_at.is_(None)
    return session.scalar(select(PaymentMethod.id).where(PaymentMethod.id == wanted, *attached))


def _unsettled(customer_id: str, invoice_id: str) -> PaymentAttempt | None:
    with transaction() as session:
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id)
        return payment_state.unsettled_attempt(session, customer_id, invoice.id)


def _begin(customer_id: str, invoice_id: str, method_id: str, amount: int, at: int) -> tuple[PaymentAttempt, str]:
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        if not InvoiceStatus(invoice.status).payable:
            raise StateChanged(N_("This invoice can no longer be paid."), "invoice_not_open")
        if invoice.amount_remaining != amount:
            raise StateChanged(N_("The amount of this invoice has changed. Please check it again."), "amount_changed")
        if payment_state.unsettled_attempt(session, customer_id, invoice.id) is not None:
            raise StateChanged(
                N_("A payment for this invoice is already in progress. Please check it again."), "payment_under_way"
            )
        method = ownership.get_owned(session, PaymentMethod, customer_id, method_id)
        if method.detached_at is not None:
            raise BillingError(N_("Choose one of your payment methods."), "resource_missing", "payment_method")
        attempt = PaymentAttempt(
            id=new_id("payatt"),
            account_id=invoice.account_id,
            customer_id=customer_id,
            invoice_id=invoice.id,
            payment_method_id=method.id,
            livemode=invoice.livemode,
            created=at,
            amount=amount,
            currency=invoice.currency,
            status=AttemptStatus.PROCESSING,
            idempotency_key=new_id("charge"),
            automatic=invoice.next_payment_attempt is not None and invoice.next_payment_attempt <= at,
        )
        session.add(attempt)
        payment_events.emit_created(session, invoice, attempt, at)
    return attempt, method.gateway_reference or method.id


def _resolve(gateway: Gateway, attempt: PaymentAttempt, at: int, return_url: str, give_up: bool) -> PaymentAttempt:
    try:
        charge = gateway.find_charge(attempt.idempotency_key)
        if charge is None:
            # The gateway never heard of it. Asking again under the same key is safe even if the first call is only late.
            with transaction() as session:
                method = ownership.get_owned(session, PaymentMethod, attempt.customer_id, attempt.payment_method_id)
            reference = method.gateway_reference or method.id
            charge = gateway.charge(reference, attempt.amount, attempt.currency, attempt.idempotency_key, return_url)
        if give_up and charge.status == AttemptStatus.REQUIRES_ACTION:
            charge = gateway.cancel_charge(attempt.idempotency_key)
    except GatewayUnavailable:
        charge = None
    return _record(attempt, charge, at, given_up=give_up)


def _record(attempt: PaymentAttempt, charge: Charge | None, at: int, given_up: bool = False) -> PaymentAttempt:
    """Write down the outcome; None: the gateway did not answer. What is settled already stays as it is."""
    with transaction() as session:
        ownership.lock_customer(session, attempt.customer_id)
        invoice = ownership.get_owned(session, Invoice, attempt.customer_id, attempt.invoice_id, lock=True)
        row = ownership.get_owned(session, PaymentAttempt, attempt.customer_id, attempt.id, lock=True)
        if row.settled_at is not None:
            return row
        row.checked_at = at
        if charge is None:
            # What the customer was asked for stays asked for: no answer is no news, unless we wanted to take the question back.
            if given_up or row.status != AttemptStatus.REQUIRES_ACTION:
                row.status = AttemptStatus.UNKNOWN
            return row
        # Whatever was lost in between, a question counts as one try.
        asked_before = row.status == AttemptStatus.REQUIRES_ACTION or row.next_action_url is not None
        row.status = AttemptStatus(charge.status)
        row.gateway_reference = charge.reference
        row.decline_code, row.next_action_url = charge.decline_code, charge.next_action_url
        if row.status == AttemptStatus.REQUIRES_ACTION:
            if not asked_before:
                payment_events.emit_requires_action(session, invoice, row, at)
                session.add(Event.of("invoice.payment_action_required", invoice, at))
                _note_failed_try(session, invoice, at, row.automatic)
            return row
        row.settled_at = at
        payment_events.emit_outcome(session, invoice, row, at)
        _forget_failures(session, invoice)
        if row.status == AttemptStatus.SUCCEEDED:
            _mark_paid(session, invoice, row.amount, at)
        elif not asked_before:
            _note_failed_try(session, invoice, at, row.automatic)
    return row


def _forget_failures(session: Session, invoice: Invoice) -> None:
    """The provider answered: tries that failed for another reason count no more."""
    subscription = _subscription_of(session, invoice)
    if subscription is not None and subscription.due_at is not None:
        subscription.billing_failures, subscription.billing_error = 0, None


def _note_failed_try(session: Session, invoice: Invoice, at: int, automatic: bool) -> None:
    """A try brought no money: decide when the next one is, or what becomes of the subscription when there is none.

    As in the field, only the first try and automatic ones count; what the customer tries in between moves nothing.
    """
    counts = automatic or invoice.attempt_count == 0
    invoice.attempt_count += counts
    session.flush()
    session.add(Event.of("invoice.payment_failed", invoice, at))
    subscription = _subscription_of(session, invoice)
    if not counts or subscription is None:
        return
    beginning = subscription.status == SubscriptionStatus.INCOMPLETE
    if beginning or _is_for_a_change(subscription, invoice) or invoice.collection_method == "send_invoice":
        invoice.next_payment_attempt = None  # the customer's turn: the old plan stays in force
        return
    document = session.scalar(select(Account.dunning).where(Account.id == invoice.account_id))
    policy = dunning.DunningPolicy.of(document or {})
    invoice.next_payment_attempt = policy.next_try(invoice.attempt_count, at)
    status = SubscriptionStatus.PAST_DUE if invoice.next_payment_attempt is not None else policy.end
    if invoice.next_payment_attempt is None and policy.write_off:
        invoice.status, invoice.marked_uncollectible_at = InvoiceStatus.UNCOLLECTIBLE, at
        session.flush()
        session.add(Event.of("invoice.marked_uncollectible", invoice, at))
    if SubscriptionStatus(subscription.status).renews:
        _change_status(session, subscription, status, at)


def _change_status(session: Session, subscription: Subscription, status: SubscriptionStatus, at: int) -> None:
    """Bring a subscription into another state, with what follows from it."""
    if subscription.status == status:
        return
    if status == SubscriptionStatus.CANCELED:
        subscription.cancellation_details = {**(subscription.cancellation_details or {}), "reason": "payment_failed"}
        termination.end(session, subscription, at, at)
        subscription.due_at = None
        return
    previous: dict[str, Any] = {"status": subscription.status}
    subscription.status = SubscriptionStatus(subscription.status).become(status)
    items = subscription_items.load_items(session, subscription)
    over = [item for item in items if item.current_period_end <= at]
    if previous["status"] == SubscriptionStatus.UNPAID and over:
        previous["items"] = subscription_items.items_object(items)
        # Nothing was delivered since: what comes now is a new period, not a bill for the time between.
        termination.reset_periods(over, at)
        if len(over) == len(items):
            subscription.billing_cycle_anchor = at
    due_dates.recompute_due_at(session, subscription, items, at)
    session.flush()
    told = subscription_items.items_object(items)
    session.add(Event.of("customer.subscription.updated", subscription, at, previous, items=told))


def _subscription_of(session: Session, invoice: Invoice) -> Subscription | None:
    if invoice.subscription_id is None:
        return None
    return ownership.get_owned(session, Subscription, invoice.customer_id, invoice.subscription_id, lock=True)


def _is_for_a_change(subscription: Subscription, invoice: Invoice) -> bool:
    return (subscription.pending_update or {}).get("invoice") == invoice.id


def _mark_paid(session: Session, invoice: Invoice, amount: int, at: int) -> None:
    invoice.amount_paid += amount
    invoice.amount_remaining -= amount
    invoice.attempt_count = max(1, invoice.attempt_count)
    invoice.status, invoice.paid_at, invoice.next_payment_attempt = InvoiceStatus.PAID, at, None
    session.flush()
    session.add_all([Event.of("invoice.paid", invoice, at), Event.of("invoice.payment_succeeded", invoice, at)])
    payment_events.emit_paid(session, invoice, amount, at)
    subscription = _subscription_of(session, invoice)
    if subscription is None:
        return
    if _is_for_a_change(subscription, invoice):
        _complete_change(session, subscription, invoice, at)
    else:
        _restore_subscription(session, subscription, invoice, at)


def _complete_change(session: Session, subscription: Subscription, invoice: Invoice, at: int) -> None:
    """The change that waited for this payment takes effect with it, in the same transaction."""
    pending_updates.apply(session, subscription, subscription.pending_update or {}, at)
    mine = PlanChange.customer_id == invoice.customer_id, PlanChange.invoice_id == invoice.id
    session.execute(update(PlanChange).where(*mine).values(outcome=ChangeOutcome.APPLIED))
    session.add(Event.of("customer.subscription.pending_update_applied", subscription, at))


def _restore_subscription(session: Session, subscription: Subscription, invoice: Invoice, at: int) -> None:
    """A subscription whose last debt, or whose first invoice, was just paid is in force."""
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
            mine = PlanChange.customer_id == invoice.customer_id, PlanChange.invoice_id == invoice.id
            session.execute(update(PlanChange).where(*mine).values(outcome=ChangeOutcome.APPLIED))
