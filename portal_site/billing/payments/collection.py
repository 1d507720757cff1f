"""Collecting an invoice: the attempt is written down, the gateway is called outside any transaction, the outcome is written down.

So a crash or a lost answer leaves an attempt under way, which is settled by asking the gateway; nothing is charged twice.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable, StateChanged
from portal_site.billing.gateways import Charge, ChargeRequest
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.invoicing import payment_events
from portal_site.billing.loading import ownership, payment_state
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, PaymentMethod, ProviderCustomer, Subscription
from portal_site.billing.payments import outcomes
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

log = logging.getLogger("portal.billing")
NOT_HERE = "payment_method_unactivated"  # the decline code of a method whose provider the program does not work with


@dataclass(frozen=True)
class _Terms:
    """What a provider is told of a try to collect, besides the try itself."""

    method: PaymentMethod
    invoice: Invoice
    payer: str | None

    @classmethod
    def load(cls, session: Session, attempt: PaymentAttempt, method: PaymentMethod, invoice: Invoice) -> "_Terms":
        """With the provider's own name for the customer."""
        known = select(ProviderCustomer.reference).where(
            ProviderCustomer.customer_id == attempt.customer_id, ProviderCustomer.gateway == method.gateway
        )
        return cls(method, invoice, session.scalar(known))

    def request(self, attempt: PaymentAttempt, return_url: str, off_session: bool) -> ChargeRequest:
        """What is asked of the provider."""
        return ChargeRequest(
            payment_method=self.method.gateway_reference or self.method.id,
            customer=self.payer,
            amount=attempt.amount,
            currency=attempt.currency,
            idempotency_key=attempt.idempotency_key,
            created=attempt.created,
            livemode=attempt.livemode,
            return_url=return_url,
            off_session=off_session,
            description=self.invoice.number or self.invoice.id,
            metadata={"invoice": self.invoice.id, "customer": attempt.customer_id, "attempt": attempt.id},
            reference=attempt.gateway_reference,
        )


def pay_invoice(
    gateways: Gateways,
    customer_id: str,
    invoice_id: str,
    method_id: str,
    amount: int,
    at: int,
    return_url: str,
    *,
    off_session: bool = False,
) -> PaymentAttempt:
    """Pay what is left of an open invoice: exactly `amount` minor units, or nothing (StateChanged).

    The attempt that comes back says how it went; an earlier one that is still under way is settled first, and if that one
    took the money, or the bank is carrying it out, it is the answer. `off_session` says that the customer is not there.
    """
    earlier = _unsettled(customer_id, invoice_id)
    if earlier is not None:
        settled = _resolve(gateways, earlier, at, return_url, give_up=True, off_session=off_session)
        if settled.status != AttemptStatus.DECLINED:
            return settled
    attempt, terms = _begin(customer_id, invoice_id, method_id, amount, at)
    gateway = gateways.for_method(terms.method)
    if gateway is None:
        return outcomes.record(attempt, Charge("declined", attempt.id, NOT_HERE), at)
    request = terms.request(attempt, return_url, off_session)
    return outcomes.record(attempt, _answer(lambda: gateway.charge(request), attempt.id), at)


def resolve_payment(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str, *, off_session: bool = False
) -> PaymentAttempt | None:
    """Find out what became of the attempt under way, if there is one; the customer came back or time has passed."""
    attempt = _unsettled(customer_id, invoice_id)
    if attempt is None:
        return None
    return _resolve(gateways, attempt, at, return_url, give_up=False, off_session=off_session)


def cancel_awaiting_payment(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str
) -> PaymentAttempt | None:
    """Let go of a payment that waits for the customer at the bank. One that was confirmed meanwhile counts; others stay."""
    attempt = _unsettled(customer_id, invoice_id)
    if attempt is None or attempt.status != AttemptStatus.REQUIRES_ACTION:
        return None
    return _resolve(gateways, attempt, at, return_url, give_up=True, off_session=True)


def cancel_awaiting_payments(
    gateways: Gateways, customer_id: str, subscription_id: str, at: int, return_url: str
) -> None:
    """The same of what a change of this subscription waits for, or its beginning, so that it can be taken back."""
    with transaction() as session:
        invoice_id = payment_state.blocking_invoice(
            ownership.get_owned(session, Subscription, customer_id, subscription_id)
        )
    if invoice_id is not None:
        cancel_awaiting_payment(gateways, customer_id, invoice_id, at, return_url)


def collect(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str, *, off_session: bool = False
) -> PaymentAttempt | None:
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
        if method_id is None and payment_state.unsettled_attempt(session, customer_id, invoice_id) is None:
            outcomes.note_failed_try(session, invoice, at, automatic=True)
            return None
        amount = invoice.amount_remaining
    if method_id is None:  # what it is being paid with was removed since
        return resolve_payment(gateways, customer_id, invoice_id, at, return_url, off_session=off_session)
    return pay_invoice(gateways, customer_id, invoice_id, method_id, amount, at, return_url, off_session=off_session)


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


def _begin(customer_id: str, invoice_id: str, method_id: str, amount: int, at: int) -> tuple[PaymentAttempt, _Terms]:
    """Store the attempt and return it with what the provider is told."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        _check_payable(session, invoice, amount)
        method = ownership.get_owned(session, PaymentMethod, customer_id, method_id)
        if method.detached_at is not None:
            raise BillingError(N_("Choose one of your payment methods."), "resource_missing", "payment_method")
        attempt = _new_attempt(invoice, method, at)
        session.add(attempt)
        payment_events.emit_created(session, invoice, attempt, at)
        terms = _Terms.load(session, attempt, method, invoice)
    return attempt, terms


def _check_payable(session: Session, invoice: Invoice, amount: int) -> None:
    """Raise StateChanged unless exactly `amount` can be paid now."""
    if not InvoiceStatus(invoice.status).payable:
        raise StateChanged(N_("This invoice can no longer be paid."), "invoice_not_open")
    if invoice.amount_remaining != amount:
        raise StateChanged(N_("The amount of this invoice has changed. Please check it again."), "amount_changed")
    if payment_state.unsettled_attempt(session, invoice.customer_id, invoice.id) is not None:
        raise StateChanged(
            N_("A payment for this invoice is already in progress. Please check it again."), "payment_under_way"
        )


def _new_attempt(invoice: Invoice, method: PaymentMethod, at: int) -> PaymentAttempt:
    """An attempt to collect what is left of the invoice, not yet sent to the provider."""
    return PaymentAttempt(
        id=new_id("payatt"),
        account_id=invoice.account_id,
        customer_id=invoice.customer_id,
        invoice_id=invoice.id,
        payment_method_id=method.id,
        livemode=invoice.livemode,
        created=at,
        amount=invoice.amount_remaining,
        currency=invoice.currency,
        status=AttemptStatus.SUBMITTING,
        idempotency_key=new_id("charge"),
        automatic=invoice.next_payment_attempt is not None and invoice.next_payment_attempt <= at,
    )


def _resolve(
    gateways: Gateways, attempt: PaymentAttempt, at: int, return_url: str, *, give_up: bool, off_session: bool
) -> PaymentAttempt:
    with transaction() as session:
        method = ownership.get_owned(session, PaymentMethod, attempt.customer_id, attempt.payment_method_id)
        invoice = ownership.get_owned(session, Invoice, attempt.customer_id, attempt.invoice_id)
        terms = _Terms.load(session, attempt, method, invoice)
    gateway = gateways.for_method(method)
    if gateway is None:  # nobody is there to be asked; `portal check` tells the operator
        return outcomes.record(attempt, None, at, given_up=give_up)
    request = terms.request(attempt, return_url, off_session)

    def ask() -> Charge | None:
        # None: the gateway never heard of it. Asking again under the same key is safe even if the first call is only late.
        charge = gateway.find_charge(request, at) or gateway.charge(request)
        if give_up and charge.status == AttemptStatus.REQUIRES_ACTION:
            return gateway.cancel_charge(replace(request, reference=charge.reference))
        return charge

    return outcomes.record(attempt, _answer(ask, attempt.id), at, given_up=give_up)


def _answer(ask: Callable[[], Charge | None], reference: str) -> Charge | None:
    """What a provider answers. None if it does not, or if its library raises anything instead: the outcome is unknown."""
    try:
        return ask()
    except GatewayUnavailable:
        return None
    except SQLAlchemyError:  # the sandbox keeps its charges in the portal's database
        raise
    except BillingError as error:  # it takes no such payment at all, such as the sandbox in live mode
        log.error("a payment provider refuses: %s", error)
        return Charge("declined", reference, NOT_HERE)
    except Exception:
        log.exception("a payment provider failed")
        return None
