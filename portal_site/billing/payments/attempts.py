"""Payment attempts as they are stored before a provider is called, and the request that it is then called with.

Everything here is for several invoices at a time, since a billing run begins many payments in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.gateways import ChargeRequest
from portal_site.billing.invoicing import payment_events
from portal_site.billing.loading import payment_state
from portal_site.billing.models import (
    Account,
    Customer,
    Invoice,
    PaymentAttempt,
    PaymentMethod,
    ProviderCustomer,
    Subscription,
)
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.ids import new_id


@dataclass(frozen=True)
class Terms:
    """The parts of a charge request besides the attempt itself."""

    method: PaymentMethod
    invoice: Invoice
    payer: str | None
    on_behalf_of: str | None

    def request(self, attempt: PaymentAttempt, return_url: str, off_session: bool) -> ChargeRequest:
        """The request to the provider."""
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
            type=self.method.type,
            description=self.invoice.number or self.invoice.id,
            metadata={"invoice": self.invoice.id, "customer": attempt.customer_id, "attempt": attempt.id},
            reference=attempt.gateway_reference,
            on_behalf_of=self.on_behalf_of,
        )


def terms_of(session: Session, payments: Sequence[tuple[Invoice, PaymentMethod]]) -> list[Terms]:
    """The terms on which each invoice is paid by a payment method, with the provider's ids of payer and connected account."""
    payers = _payers(session, {invoice.customer_id for invoice, _ in payments})
    sellers = _sellers(session, [invoice for invoice, _ in payments])
    return [
        Terms(
            method, invoice, payers.get((invoice.customer_id, method.gateway)), sellers.get(invoice.on_behalf_of or "")
        )
        for invoice, method in payments
    ]


def _payers(session: Session, customer_ids: set[str]) -> dict[tuple[str, str], str]:
    known = select(ProviderCustomer.customer_id, ProviderCustomer.gateway, ProviderCustomer.reference)
    rows = session.execute(known.where(ProviderCustomer.customer_id.in_(customer_ids)))
    return {(customer_id, gateway): reference for customer_id, gateway, reference in rows}


def _sellers(session: Session, invoices: Sequence[Invoice]) -> dict[str, str | None]:
    """The provider's account of each connected account for which one of these invoices was written, if that gets the money."""
    wanted = {invoice.on_behalf_of for invoice in invoices if invoice.on_behalf_of is not None}
    if not wanted:
        return {}
    mine = Account.platform_id.in_({invoice.account_id for invoice in invoices}), Account.id.in_(wanted)
    return {row.id: row.provider_account for row in session.scalars(select(Account).where(*mine))}


def methods_of(session: Session, invoices: Sequence[Invoice]) -> dict[str, PaymentMethod]:
    """The payment method to which each invoice is charged, by the invoice's id, if there is one.

    It is the subscription's own, else the customer's default, if it is still attached.
    """
    chosen = func.coalesce(Subscription.default_payment_method_id, Customer.default_payment_method_id)
    query = (
        select(Invoice.id, PaymentMethod)
        .join(Customer, Customer.id == Invoice.customer_id)
        .outerjoin(
            Subscription,
            (Subscription.id == Invoice.subscription_id) & (Subscription.customer_id == Invoice.customer_id),
        )
        .join(PaymentMethod, (PaymentMethod.id == chosen) & (PaymentMethod.customer_id == Invoice.customer_id))
        .where(
            Invoice.customer_id.in_({invoice.customer_id for invoice in invoices}),
            Invoice.id.in_([invoice.id for invoice in invoices]),
            PaymentMethod.detached_at.is_(None),
        )
    )
    return dict(session.execute(query).all())


def store(session: Session, payments: Sequence[tuple[Invoice, PaymentMethod]], at: int) -> list[PaymentAttempt]:
    """Store an attempt to collect what is left of each invoice, which is not yet sent to the provider."""
    earlier = payment_state.attempts_of(session, [invoice for invoice, _ in payments])
    made = []
    for invoice, method in payments:
        attempt = _new(invoice, method, at)
        session.add(attempt)
        if not earlier[invoice.id]:
            payment_events.emit_created(session, invoice, attempt, at)
        made.append(attempt)
    return made


def _new(invoice: Invoice, method: PaymentMethod, at: int) -> PaymentAttempt:
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
