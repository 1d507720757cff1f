"""Collecting an invoice: the attempt is stored, the gateway is called outside any transaction, and the outcome is stored.

A crash or a lost answer leaves an unsettled attempt, which is resolved by asking the gateway; nothing is charged twice.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable, StateChanged
from portal_site.billing.gateways import Charge
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.loading import ownership, payment_state
from portal_site.billing.models import Invoice, PaymentAttempt, PaymentMethod, Subscription
from portal_site.billing.payments import attempts, outcomes
from portal_site.billing.payments.attempts import Terms
from portal_site.billing.payments.outcomes import AttemptKey
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction

log = logging.getLogger("portal.billing")
NOT_HERE = "payment_method_unactivated"  # the decline code if the method's provider is not installed


@dataclass(frozen=True)
class Begun:
    """A payment whose attempt is stored, before its call to the provider, which any thread may make if that `is_remote`.

    It holds no row: those belong to the thread that began it, whose next rollback makes the session read them again.
    """

    attempt: AttemptKey
    at: int
    is_remote: bool
    call: Callable[[], Charge | None]
    give_up: bool = False

    def ask(self) -> Charge | None:
        """Call the provider. None: there was no answer, and the outcome is unknown."""
        return _answer(self.call, self.attempt.id)

    def record(self, charge: Charge | None) -> PaymentAttempt:
        """Store the outcome."""
        return outcomes.record(self.attempt, charge, self.at, self.give_up)


def _finished(begun: "Begun | PaymentAttempt") -> PaymentAttempt:
    return begun.record(begun.ask()) if isinstance(begun, Begun) else begun


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
    """Pay what is left of an open invoice. Raises StateChanged unless that is exactly `amount` minor units.

    Returns the attempt with its outcome. An earlier unsettled attempt is resolved first, and returned unless it was
    declined. With `off_session` the customer is not present.
    """
    return _finished(
        _begin_payment(gateways, customer_id, invoice_id, method_id, amount, at, return_url, off_session=off_session)
    )


def _begin_payment(
    gateways: Gateways,
    customer_id: str,
    invoice_id: str,
    method_id: str,
    amount: int,
    at: int,
    return_url: str,
    *,
    off_session: bool,
) -> Begun | PaymentAttempt:
    """The payment up to the call to the provider; an attempt that has its outcome without one."""
    earlier = _unsettled(customer_id, invoice_id)
    if earlier is not None:
        settled = _finished(_inquiry(gateways, earlier, at, return_url, give_up=True, off_session=off_session))
        if settled.status != AttemptStatus.DECLINED:
            return settled
    attempt, terms = _begin(customer_id, invoice_id, method_id, amount, at)
    return _ready(gateways, attempt, terms, at, return_url, off_session=off_session)


def _ready(
    gateways: Gateways, attempt: PaymentAttempt, terms: Terms, at: int, return_url: str, *, off_session: bool
) -> Begun | PaymentAttempt:
    """The payment of a stored attempt; the attempt, declined, if its provider is not installed."""
    gateway = gateways.for_method(terms.method)
    if gateway is None:
        return outcomes.record(attempt, Charge("declined", attempt.id, NOT_HERE), at)
    is_remote = gateways.connector(gateway.name) is not None
    return Begun(_key(attempt), at, is_remote, partial(gateway.charge, terms.request(attempt, return_url, off_session)))


def _key(attempt: PaymentAttempt) -> AttemptKey:
    return AttemptKey(attempt.id, attempt.account_id, attempt.customer_id, attempt.invoice_id)


def resolve_payment(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str, *, off_session: bool = False
) -> PaymentAttempt | None:
    """Ask the provider for the outcome of the invoice's unsettled attempt, if there is one."""
    begun = begin_inquiry(gateways, customer_id, invoice_id, at, return_url, off_session=off_session)
    return _finished(begun) if begun is not None else None


def begin_inquiry(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str, *, off_session: bool = False
) -> Begun | PaymentAttempt | None:
    """The same up to the call to the provider, for callers that make several at once."""
    attempt = _unsettled(customer_id, invoice_id)
    if attempt is None:
        return None
    return _inquiry(gateways, attempt, at, return_url, give_up=False, off_session=off_session)


def cancel_awaiting_payment(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str
) -> PaymentAttempt | None:
    """Cancel a payment that awaits authentication, unless it was authenticated meanwhile. Other payments are not affected."""
    attempt = _unsettled(customer_id, invoice_id)
    if attempt is None or attempt.status != AttemptStatus.REQUIRES_ACTION:
        return None
    return _finished(_inquiry(gateways, attempt, at, return_url, give_up=True, off_session=True))


def cancel_awaiting_payments(
    gateways: Gateways, customer_id: str, subscription_id: str, at: int, return_url: str
) -> None:
    """The same for the payment that a pending update, or the start, of this subscription awaits, so that it can be undone."""
    with transaction() as session:
        invoice_id = payment_state.blocking_invoice(
            ownership.get_owned(session, Subscription, customer_id, subscription_id)
        )
    if invoice_id is not None:
        cancel_awaiting_payment(gateways, customer_id, invoice_id, at, return_url)


def collect(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str, *, off_session: bool = False
) -> PaymentAttempt | None:
    """Charge an open invoice to the payment method of its subscription. Returns None if there is nothing to collect.

    Without a payment method this counts as a failed attempt.
    """
    begun = begin_collection(gateways, customer_id, invoice_id, at, return_url, off_session=off_session)
    return _finished(begun) if begun is not None else None


def begin_collection(
    gateways: Gateways, customer_id: str, invoice_id: str, at: int, return_url: str, *, off_session: bool = False
) -> Begun | PaymentAttempt | None:
    """The same up to the call to the provider, for callers that make several at once. What needs no such call is done."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        if not _is_due(invoice):
            invoice.next_payment_attempt = None
            return None
        method = attempts.methods_of(session, [invoice]).get(invoice_id)
        is_new = payment_state.unsettled_attempt(session, customer_id, invoice_id) is None
        if method is None and is_new:
            outcomes.note_failed_try(session, invoice, at, automatic=True)
            return None
        amount = invoice.amount_remaining
        begun = _store(session, [(invoice, method)], at)[0] if method is not None and is_new else None
    if begun is not None:
        return _ready(gateways, *begun, at, return_url, off_session=off_session)
    if method is None:  # the payment method of the unsettled attempt was removed since
        return resolve_payment(gateways, customer_id, invoice_id, at, return_url, off_session=off_session)
    return _begin_payment(gateways, customer_id, invoice_id, method.id, amount, at, return_url, off_session=off_session)


def begin_collections(
    gateways: Gateways, due: Sequence[tuple[str, str]], at: int, return_url: Callable[[str], str]
) -> tuple[list[Begun | PaymentAttempt], list[tuple[str, str]]]:
    """Begin to collect these invoices, (customer id, invoice id), in one transaction, off-session.

    Returns what `begin_collection` would for each, and the invoices that were left out, because more has to be done for them
    than to charge a payment method at a provider outside of this program: they are to be collected one by one.
    """
    with transaction() as session:
        customer_ids, invoice_ids = {customer_id for customer_id, _ in due}, [invoice_id for _, invoice_id in due]
        ownership.lock_customers(session, customer_ids)
        invoices = ownership.lock_all(session, Invoice, customer_ids, invoice_ids)
        methods = attempts.methods_of(session, invoices)
        unsettled = {
            name
            for name, earlier in payment_state.attempts_of(session, invoices).items()
            if any(attempt.settled_at is None for attempt in earlier)
        }
        payments = [
            (invoice, methods[invoice.id])
            for invoice in invoices
            if _is_due(invoice)
            and invoice.id not in unsettled
            and invoice.id in methods
            and gateways.connector(methods[invoice.id].gateway) is not None
        ]
        stored = _store(session, payments, at)
    begun = [
        _ready(gateways, attempt, terms, at, return_url(attempt.invoice_id), off_session=True)
        for attempt, terms in stored
    ]
    taken = {attempt.invoice_id for attempt, _ in stored}
    return begun, [one for one in due if one[1] not in taken]


def _is_due(invoice: Invoice) -> bool:
    return invoice.status == InvoiceStatus.OPEN and invoice.amount_remaining > 0


def _unsettled(customer_id: str, invoice_id: str) -> PaymentAttempt | None:
    with transaction() as session:
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id)
        return payment_state.unsettled_attempt(session, customer_id, invoice.id)


def _begin(customer_id: str, invoice_id: str, method_id: str, amount: int, at: int) -> tuple[PaymentAttempt, Terms]:
    """Store the attempt, and return it with the terms of its request."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        invoice = ownership.get_owned(session, Invoice, customer_id, invoice_id, lock=True)
        _check_payable(session, invoice, amount)
        method = ownership.get_owned(session, PaymentMethod, customer_id, method_id)
        if method.detached_at is not None:
            raise BillingError(N_("Choose one of your payment methods."), "resource_missing", "payment_method")
        return _store(session, [(invoice, method)], at)[0]


def _store(
    session: Session, payments: Sequence[tuple[Invoice, PaymentMethod]], at: int
) -> list[tuple[PaymentAttempt, Terms]]:
    return list(zip(attempts.store(session, payments, at), attempts.terms_of(session, payments), strict=True))


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


def _inquiry(
    gateways: Gateways, attempt: PaymentAttempt, at: int, return_url: str, *, give_up: bool, off_session: bool
) -> Begun | PaymentAttempt:
    """The question what became of an attempt; with `give_up` it is canceled if it waits for the customer.

    It is the attempt if its provider is not installed, which `portal check` reports.
    """
    with transaction() as session:
        method = ownership.get_owned(session, PaymentMethod, attempt.customer_id, attempt.payment_method_id)
        invoice = ownership.get_owned(session, Invoice, attempt.customer_id, attempt.invoice_id)
        terms = attempts.terms_of(session, [(invoice, method)])[0]
    gateway = gateways.for_method(method)
    if gateway is None:
        return outcomes.record(attempt, None, at, give_up)
    request = terms.request(attempt, return_url, off_session)

    def ask() -> Charge | None:
        # None: the gateway never received it. A second call with the same key is safe even if the first is only late.
        charge = gateway.find_charge(request, at) or gateway.charge(request)
        if give_up and charge.status == AttemptStatus.REQUIRES_ACTION:
            return gateway.cancel_charge(replace(request, reference=charge.reference))
        return charge

    return Begun(_key(attempt), at, gateways.connector(gateway.name) is not None, ask, give_up)


def _answer(ask: Callable[[], Charge | None], reference: str) -> Charge | None:
    """The provider's answer, or None if it does not answer or its library raises anything: the outcome is unknown."""
    try:
        return ask()
    except GatewayUnavailable:
        return None
    except SQLAlchemyError:  # the sandbox keeps its charges in the portal's database
        raise
    except BillingError as error:  # the provider refuses such payments, as the sandbox does in live mode
        log.error("a payment provider refuses: %s", error)
        return Charge("declined", reference, NOT_HERE)
    except Exception:
        log.exception("a payment provider failed")
        return None
