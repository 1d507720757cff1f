"""What the portal says the next invoices will be, and whether a billing run then billed exactly that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from portal_site.billing.loading import snapshots
from portal_site.billing.models import Customer, Invoice, Subscription
from portal_site.billing.rules.subscriptions import forecast
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.db import db
from portal_site.portal.reads import overview
from portal_site.portal.reads.subscriptions import CustomerBalance
from tests.world import reading


@dataclass
class Forecasts:
    """What was shown for each subscription, if no change is paid for that awaits its payment: the invoices `awaited`.

    With `prorates`, a phase is to come that credits what is paid by then: nothing, while one of the invoices `owed` is open.
    These are by id, with what credit notes brought to the balance of what it had paid of them.
    """

    invoices: Mapping[str, NextInvoice] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    prorates: bool = False
    owed: Mapping[str, int] = field(default_factory=dict)


def shown(customer_id: str, at: int) -> Forecasts:
    """The next invoices on the overview, by subscription; a quote's loader finds the same ones."""
    db.session.remove()
    with reading() as reader:
        row = reader.execute(select(Customer.__table__).where(Customer.id == customer_id)).one()
        ids = list(reader.scalars(select(Subscription.id).where(Subscription.customer_id == customer_id)))
    scope = {"account_id": row.account_id, "customer_id": row.id, "on_behalf_of": None}
    payer = CustomerBalance(row.balance, row.currency, row.tax_exempt, row.other_balances)
    method = row.default_payment_method_id
    visitor: Any = SimpleNamespace(scope=scope, payer=payer, default_payment_method_id=method, on_behalf_of=None)
    views = overview.find(visitor, at).subscriptions
    found = {view.id: view.next_invoice for view in views if view.next_invoice is not None}
    for subscription_id in ids:
        loaded = _loaded(customer_id, subscription_id, visitor, at)
        if subscription_id in found:
            assert forecast.next_invoice(loaded) == found[subscription_id], "two loaders disagree"
    awaited = {view.pending_update.invoice_id for view in views if view.pending_update}
    with reading() as reader:
        unpaid = Invoice.customer_id == customer_id, Invoice.status.in_(("open", "uncollectible", "draft"))
        columns = Invoice.id, Invoice.post_payment_credit_notes_amount
        owed = {row[0]: row[1] for row in reader.execute(select(*columns).where(*unpaid))}
    return Forecasts(found, awaited, any(view.snapshot.has_prorated_phases for view in views), owed)


def _loaded(customer_id: str, subscription_id: str, visitor: Any, at: int) -> SubscriptionSnapshot:
    """The snapshot from which a change is charged. The page of a change quotes from the one that it has read itself."""
    with reading() as reader:
        rows = snapshots.load_owned_rows(reader, customer_id, subscription_id)
        loaded = snapshots.load_for_quote(reader, *rows, at)
    page = overview.find_subscription(visitor, subscription_id, at)
    assert page is not None
    assert page[0].has_all_siblings
    with reading() as reader:
        quoted = snapshots.with_charges(reader, page[0].snapshot, at)
    assert replace(quoted, managed_by_merchant_schedule=False) == loaded, (
        "page and operation quote from other snapshots"
    )
    return loaded


def numbers(customer_id: str) -> set[str]:
    """The ids of all invoices so far."""
    db.session.remove()
    with reading() as reader:
        return set(reader.scalars(select(Invoice.id).where(Invoice.customer_id == customer_id)))


def check(customer_id: str, expected: Forecasts, before: set[str]) -> None:
    """Assert that the first invoice of each subscription among those since `before` is what was expected.

    The forecast takes what is owed to stay so, and what is billed on the way to be paid. Where a phase prorates, an invoice
    counts until a payment went otherwise.
    """
    db.session.remove()
    with reading() as reader:
        own = Invoice.customer_id == customer_id
        written = reader.execute(select(Invoice.__table__).where(own, Invoice.number.is_not(None)))
        in_order = sorted(written, key=lambda invoice: int(invoice.number[-4:]))
    paid = {invoice.id for invoice in in_order if invoice.status == "paid"}
    if expected.awaited & paid or (expected.prorates and expected.owed.keys() & paid):
        return
    credited = {invoice.id: invoice.post_payment_credit_notes_amount for invoice in in_order}
    if any(credited[name] > before_run for name, before_run in expected.owed.items() if name in credited):
        return  # a subscription ended before an invoice that the balance had paid in part was paid: it has credit again
    seen: set[str] = set()
    for invoice in in_order:
        if invoice.id in before:
            continue
        promised = expected.invoices.get(invoice.subscription_id)
        if promised is not None and invoice.subscription_id not in seen:
            said = promised.date, promised.subtotal - promised.discount + promised.tax, promised.amount_due
            # The invoice of a phase is dated when it is written.
            assert promised.renews == (invoice.cycle_at is not None), f"the portal said {promised}"
            done = invoice.cycle_at or promised.date, invoice.total, invoice.amount_due + _credited_since(invoice)
            assert done == said, f"the portal said {said}, and {done} was billed"
        seen.add(invoice.subscription_id)
        if expected.prorates and invoice.status != "paid":
            return


def _credited_since(invoice: Any) -> int:
    """What credit notes took off an invoice after it was written, because its subscription ended unpaid."""
    return int(invoice.pre_payment_credit_notes_amount)
