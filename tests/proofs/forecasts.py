"""What the portal says the next invoices will be, and whether a billing run then billed exactly that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from portal_site.billing.loading import snapshots
from portal_site.billing.models import Customer, Invoice, Subscription
from portal_site.billing.rules.subscriptions import forecast
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.db import db
from portal_site.portal.reads import overview
from portal_site.portal.reads.subscriptions import CustomerBalance
from tests.world import reading


@dataclass
class Forecasts:
    """What was shown for each subscription, if no change is paid for that awaits its payment: the invoices `awaited`."""

    invoices: Mapping[str, NextInvoice] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)


def shown(customer_id: str, at: int) -> Forecasts:
    """The next invoices on the overview, by subscription; a quote's loader finds the same ones."""
    db.session.remove()
    with reading() as reader:
        row = reader.execute(select(Customer.__table__).where(Customer.id == customer_id)).one()
        ids = list(reader.scalars(select(Subscription.id).where(Subscription.customer_id == customer_id)))
    scope = {"account_id": row.account_id, "customer_id": row.id, "on_behalf_of": None}
    payer = CustomerBalance(row.balance, row.currency, row.tax_exempt)
    method = row.default_payment_method_id
    visitor: Any = SimpleNamespace(scope=scope, payer=payer, default_payment_method_id=method, on_behalf_of=None)
    views = overview.find(visitor, at).subscriptions
    found = {view.id: view.next_invoice for view in views if view.next_invoice is not None}
    with reading() as reader:
        for subscription_id in ids:
            loaded = snapshots.load_for_quote(
                reader, *snapshots.load_owned_rows(reader, customer_id, subscription_id), at
            )
            if subscription_id in found:
                assert forecast.next_invoice(loaded) == found[subscription_id], "two loaders disagree"
    awaited = {view.pending_update.invoice_id for view in views if view.pending_update}
    return Forecasts(found, awaited)


def numbers(customer_id: str) -> set[str]:
    """The ids of all invoices so far."""
    db.session.remove()
    with reading() as reader:
        return set(reader.scalars(select(Invoice.id).where(Invoice.customer_id == customer_id)))


def check(customer_id: str, expected: Forecasts, before: set[str]) -> None:
    """Assert that the first renewal of each subscription among the invoices since `before` is what was expected."""
    db.session.remove()
    with reading() as reader:
        renewals = (
            select(Invoice.__table__)
            .where(Invoice.customer_id == customer_id, Invoice.cycle_at.is_not(None))
            .order_by(Invoice.cycle_at)
        )
        paid = select(Invoice.id).where(Invoice.customer_id == customer_id, Invoice.status == "paid")
        if expected.awaited & set(reader.scalars(paid)):
            return
        billed: dict[str, Any] = {}
        for invoice in reader.execute(renewals):
            if invoice.id not in before and invoice.status != "draft":
                billed.setdefault(invoice.subscription_id, invoice)
    for subscription_id, invoice in billed.items():
        promised = expected.invoices.get(subscription_id)
        if promised is not None:
            said = promised.date, promised.subtotal - promised.discount + promised.tax, promised.amount_due
            done = invoice.cycle_at, invoice.total, invoice.amount_due
            assert done == said, f"the portal said {said}, and {done} was billed"
