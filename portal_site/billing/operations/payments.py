"""Collecting an invoice: the attempt is written down, the gateway is called outside any transaction, the outcome is written down.

So a crash or a lost answer leaves an attempt under way, which is settled by asking the gateway; nothing is charged twice.
"""

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable, StateChanged
from portal_site.billing.gateways import Charge, Gateway
from portal_site.billing.models import Event, Invoice, PaymentAttempt, PaymentMethod, Subscription
from portal_site.billing.operations import lookups
from portal_site.billing.rules.lifecycle import AttemptStatus, InvoiceStatus, SubscriptionStatus
from portal_site.billing.words import N_
from portal_site.db import new_id, transaction


def pay_invoice(
    gateway: Gateway, customer_id: str, invoice_id: str, method_id: str, amount: int, at: int, return_url: str
) -> PaymentAttempt:
    """Pay what is left of an open invoice: exactly `amount` minor units, or nothing (StateChanged).

    The attempt that comes back says how it went; an earlier one that is still under way is settled first, and if that one
    took the money, it is the answer.
    """
    earlier = _under_way(customer_id, invoice_id)
    if earlier is not None:
        settled = _settle(gateway, earlier, at, return_url, give_up=True)
        if settled.status != AttemptStatus.DECLINED:
            return settled
    attempt, reference = _begin(customer_id, invoice_id, method_id, amount, at)
    try:
        charge = gateway.charge(reference, amount, attempt.currency, attempt.idempotency_key, return_url)
    except GatewayUnavailable:
        return _record(attempt, None, at)
    return _record(attempt, charge, at)


def settle_payment(
    gateway: Gateway, customer_id: str, invoice_id: str, at: int, return_url: str
) -> PaymentAttempt | None:
    """Find out what became of the attempt under way, if there is one; the customer came back or time has passed."""
    attempt = _under_way(customer_id, invoice_id)
    return _settle(gateway, attempt, at, return_url, give_up=False) if attempt else None


def _under_way(customer_id: str, invoice_id: str) -> PaymentAttempt | None:
    with transaction() as session:
        invoice = lookups.own(session, Invoice, customer_id, invoice_id)
        return session.scalar(_under_way_of(invoice))


def _under_way_of(invoice: Invoice) -> Select[PaymentAttempt]:
    return select(PaymentAttempt).where(
        PaymentAttempt.customer_id == invoice.customer_id,
        PaymentAttempt.invoice_id == invoice.id,
        PaymentAttempt.settled_at.is_(None),
    )


def _begin(customer_id: str, invoice_id: str, method_id: str, amount: int, at: int) -> tuple[PaymentAttempt, str]:
    with transaction() as session:
        lookups.locked_customer(session, customer_id)
        invoice = lookups.own(session, Invoice, customer_id, invoice_id, lock=True)
        if not InvoiceStatus(invoice.status).payable:
            raise StateChanged(N_("This invoice is not open for payment any more."), "invoice_not_open")
        if invoice.amount_remaining != amount:
            raise StateChanged(N_("The amount of this invoice has changed. Please look at it again."), "amount_changed")
        if session.scalar(_under_way_of(invoice)) is not None:
            raise StateChanged(N_("This invoice is being paid already. Please look at it again."), "payment_under_way")
        method = lookups.own(session, PaymentMethod, customer_id, method_id)
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
        )
        session.add(attempt)
    return attempt, method.gateway_reference or method.id


def _settle(gateway: Gateway, attempt: PaymentAttempt, at: int, return_url: str, give_up: bool) -> PaymentAttempt:
    try:
        charge = gateway.find_charge(attempt.idempotency_key)
        if charge is None:
            # The gateway never heard of it. Asking again under the same key is safe even if the first call is only late.
            with transaction() as session:
                method = lookups.own(session, PaymentMethod, attempt.customer_id, attempt.payment_method_id)
            reference = method.gateway_reference or method.id
            charge = gateway.charge(reference, attempt.amount, attempt.currency, attempt.idempotency_key, return_url)
        if give_up and charge.status == AttemptStatus.REQUIRES_ACTION:
            charge = gateway.cancel_charge(attempt.idempotency_key)
    except GatewayUnavailable:
        charge = None
    return _record(attempt, charge, at)


def _record(attempt: PaymentAttempt, charge: Charge | None, at: int) -> PaymentAttempt:
    """Write down the outcome; None: the gateway did not answer. What is settled already stays as it is."""
    with transaction() as session:
        invoice = lookups.own(session, Invoice, attempt.customer_id, attempt.invoice_id, lock=True)
        row = lookups.own(session, PaymentAttempt, attempt.customer_id, attempt.id, lock=True)
        if row.settled_at is not None:
            return row
        if charge is None:
            row.status = AttemptStatus.UNKNOWN
            return row
        row.status = AttemptStatus(charge.status)
        row.gateway_reference = charge.reference
        row.decline_code, row.next_action_url = charge.decline_code, charge.next_action_url
        if row.status == AttemptStatus.REQUIRES_ACTION:
            return row
        row.settled_at = at
        invoice.attempt_count += 1
        if row.status == AttemptStatus.SUCCEEDED:
            _mark_paid(session, invoice, row.amount, at)
        else:
            session.add(Event.of("invoice.payment_failed", invoice, at))
    return row


def _mark_paid(session: Session, invoice: Invoice, amount: int, at: int) -> None:
    invoice.amount_paid += amount
    invoice.amount_remaining -= amount
    invoice.status, invoice.paid_at = InvoiceStatus.PAID, at
    session.flush()
    session.add_all([Event.of("invoice.paid", invoice, at), Event.of("invoice.payment_succeeded", invoice, at)])
    if invoice.subscription_id:
        _recover(session, invoice, at)


def _recover(session: Session, invoice: Invoice, at: int) -> None:
    """A subscription whose last debt was just paid is in force again."""
    subscription = lookups.own(session, Subscription, invoice.customer_id, invoice.subscription_id or "", lock=True)
    still_open = select(Invoice.id).where(
        Invoice.customer_id == invoice.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == InvoiceStatus.OPEN,
    )
    behind = (SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID)
    if subscription.status in behind and session.scalar(still_open.limit(1)) is None:
        previous = {"status": subscription.status}
        subscription.status = SubscriptionStatus.ACTIVE
        session.add(Event.of("customer.subscription.updated", subscription, at, previous))
