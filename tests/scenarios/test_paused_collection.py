"""Paused collection (pause_collection): invoices are kept as drafts, marked uncollectible, or voided."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.invoicing import drafts
from portal_site.billing.models import Customer, Event, Invoice, InvoiceLineItem
from portal_site.billing.payments import collection
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.proofs import ledger
from tests.scenarios.history import BACK, History
from tests.world import reading

TEAM = "1 seats × Team (at €10.00 / month) 10.00 = 10.00"


def _drafts(history: History) -> list[Any]:
    db.session.remove()
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.status == "draft"
        return list(reader.execute(select(Invoice.__table__).where(*mine).order_by(Invoice.created)))


def _numbers(history: History) -> list[str | None]:
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id
        query = select(Invoice.number).where(mine, Invoice.number.is_not(None)).order_by(Invoice.number)
        return [number and number[-4:] for number in reader.scalars(query)]


def _paused(app: Flask, behavior: str, **options: Any) -> History:
    """May and June pass while nothing is collected; then the customer, or the merchant, goes on."""
    history = History.start(app, pause_collection={"behavior": behavior}, **options)
    history.advance_to("2026-06-15")
    assert history.subscription.status == "active"
    assert history.period == ("2026-06-01", "2026-07-01")
    history.set_members(pause_collection=None)
    return history


def test_void_collection_bills_nothing(app: Flask) -> None:
    history = _paused(app, "void", customer={"balance": -300, "currency": "eur"}).advance_to("2026-07-02")
    assert history.invoices() == [f"2026-07-01 paid: {TEAM}, due 7.00"]
    ledger.audit(history.shop.customer.account_id, -300)


@pytest.mark.both_databases
def test_drafts_change_no_balance_until_they_are_finalized(app: Flask) -> None:
    history = _paused(app, "keep_as_draft", customer={"balance": -300, "currency": "eur"})
    may, june = _drafts(history)
    assert (may.total, may.amount_due, may.number, history.balance) == (1000, 1000, None, -300)
    history.advance_to("2026-07-02")
    assert _numbers(history) == ["0001", "0002"]  # April and July: drafts leave no gaps
    ledger.audit(history.shop.customer.account_id, -300)
    sent = drafts.finalize(may.id, 0)
    assert (sent.number, sent.status, sent.created, sent.finalized_at) == (
        f"{sent.number[:-4]}0003", "open", may.created, history.now
    )  # fmt: skip
    drafts.discard(june.id, 0)
    history.advance_to("2026-07-03")
    assert (_drafts(history), _numbers(history)) == ([], ["0001", "0002", "0003"])
    # July came first, and used the credit.
    assert history.invoices() == [f"2026-07-01 paid: {TEAM}, due 7.00", f"2026-05-01 paid: {TEAM}"]
    ledger.audit(history.shop.customer.account_id, -300)
    assert [kind for kind in history.events if kind.startswith("invoice.deleted")] == ["invoice.deleted"]


def test_a_draft_covered_by_credit_is_paid_when_finalized(app: Flask) -> None:
    history = _paused(app, "keep_as_draft")
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one()
        customer.balance, customer.currency = -5000, "eur"
    history.first_balance = -5000
    sent = drafts.finalize(_drafts(history)[0].id, 0)
    assert (sent.status, sent.amount_due, history.balance) == ("paid", 0, -4000)
    with reading() as reader:
        told = select(Event.type, Event.data).where(Event.account_id == history.shop.customer.account_id)
        of_it = [row for row in reader.execute(told.order_by(Event.id)) if row.data["object"]["id"] == sent.id]
    assert [(row.type, row.data["object"]["status"]) for row in of_it] == [
        ("invoice.created", "draft"),
        ("invoice.finalized", "open"),
        ("invoice.paid", "paid"),
        ("invoice.payment_succeeded", "paid"),
    ]
    ledger.audit(history.shop.customer.account_id, -5000)


@pytest.mark.both_databases
def test_pending_lines_return_when_a_draft_is_discarded(app: Flask) -> None:
    history = History.start(app, policy={"proration_behavior": "create_prorations"}).advance_to("2026-04-16")
    history.change_plan(quantity=2)
    history.set_members(pause_collection={"behavior": "keep_as_draft"})
    history.advance_to("2026-05-02")
    (may,) = _drafts(history)
    assert may.total == -500 + 1000 + 2000
    drafts.discard(may.id, 0)
    with reading() as reader:
        mine = InvoiceLineItem.customer_id == history.shop.customer.id, InvoiceLineItem.invoice_id.is_(None)
        waiting = reader.scalars(select(InvoiceLineItem.amount).where(*mine).order_by(InvoiceLineItem.amount)).all()
    assert waiting == [-500, 1000]
    history.set_members(pause_collection=None)
    history.advance_to("2026-06-02")
    assert history.invoices()[-1].endswith("2 seats × Team (at €10.00 / month) 20.00 = 25.00")
    ledger.audit(history.shop.customer.account_id)


def test_an_uncollectible_invoice_can_still_be_paid(app: Flask) -> None:
    history = _paused(app, "mark_uncollectible")
    assert "invoice.marked_uncollectible" in history.events
    assert not any(kind.startswith("payment_intent") for kind in history.events)
    history.advance_to("2026-07-02")
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.status == "uncollectible"
        written_off = reader.scalars(select(Invoice.id).where(*mine).order_by(Invoice.created)).all()
    with history.gateways() as gateway:
        paid = history.shop.customer.id, written_off[1], history.default_method, 1000
        collection.pay_invoice(gateway, *paid, history.now, BACK)
    assert history.invoices() == [
        f"2026-05-01 uncollectible: {TEAM}", f"2026-06-01 paid: {TEAM}", f"2026-07-01 paid: {TEAM}"
    ]  # fmt: skip
    ledger.audit(history.shop.customer.account_id)


def test_only_drafts_are_finalized_or_discarded(app: Flask) -> None:
    history = History.start(app).advance_to("2026-05-02")
    with reading() as reader:
        paid = reader.scalar(select(Invoice.id).where(Invoice.customer_id == history.shop.customer.id).limit(1)) or ""
    for verb in (drafts.finalize, drafts.discard):
        with pytest.raises(BillingError, match="no draft any more"):
            verb(paid, 0)
        with pytest.raises(NotFound, match="No such invoice: 'in_none'"):
            verb("in_none", 0)
    ledger.audit(history.shop.customer.account_id)


def test_a_finalized_draft_of_an_ended_subscription_is_not_collected(app: Flask) -> None:
    history = _paused(app, "keep_as_draft")
    history.cancel(mode="immediately")
    sent = drafts.finalize(_drafts(history)[0].id, 0)
    assert (sent.status, sent.next_payment_attempt) == ("open", None)
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_the_oldest_drafts_are_listed(app: Flask) -> None:
    history = _paused(app, "keep_as_draft")
    found = drafts.drafts(history.shop.customer.account_id)
    assert [(one.customer, one.total, one.currency) for one in found] == [("hedda@acme.example", 1000, "eur")] * 2
    assert found[0].created < found[1].created
    assert found[0].created > world.START
