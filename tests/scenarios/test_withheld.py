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
from tests.scenarios.life import BACK, Life
from tests.world import reading

TEAM = "1 seats × Team (at €10.00 / month) 10.00 = 10.00"


def _drafts(life: Life) -> list[Any]:
    db.session.remove()
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id, Invoice.status == "draft"
        return list(reader.execute(select(Invoice.__table__).where(*mine).order_by(Invoice.created)))


def _numbers(life: Life) -> list[str | None]:
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id
        query = select(Invoice.number).where(mine, Invoice.number.is_not(None)).order_by(Invoice.number)
        return [number and number[-4:] for number in reader.scalars(query)]


def _paused(app: Flask, behavior: str, **options: Any) -> Life:
    """May and June pass while nothing is collected; then the customer, or the merchant, goes on."""
    life = Life.begins(app, pause_collection={"behavior": behavior}, **options)
    life.goes_to("2026-06-15")
    assert life.subscription.status == "active"
    assert life.period == ("2026-06-01", "2026-07-01")
    life.has(pause_collection=None)
    return life


def test_what_is_void_was_never_billed(app: Flask) -> None:
    life = _paused(app, "void", customer={"balance": -300, "currency": "eur"}).goes_to("2026-07-02")
    assert life.bills() == [f"2026-07-01 paid: {TEAM}, due 7.00"]
    ledger.audit(life.shop.customer.account_id, -300)


@pytest.mark.both_databases
def test_drafts_move_nothing_until_the_merchant_sends_them(app: Flask) -> None:
    life = _paused(app, "keep_as_draft", customer={"balance": -300, "currency": "eur"})
    may, june = _drafts(life)
    assert (may.total, may.amount_due, may.number, life.balance) == (1000, 1000, None, -300)
    life.goes_to("2026-07-02")
    assert _numbers(life) == ["0001", "0002"]  # April and July: drafts leave no gaps
    ledger.audit(life.shop.customer.account_id, -300)
    sent = drafts.finalize(may.id, 0)
    assert (sent.number, sent.status, sent.created, sent.finalized_at) == (
        f"{sent.number[:-4]}0003", "open", may.created, life.now
    )  # fmt: skip
    drafts.discard(june.id, 0)
    life.goes_to("2026-07-03")
    assert (_drafts(life), _numbers(life)) == ([], ["0001", "0002", "0003"])
    # July came first, and used the credit.
    assert life.bills() == [f"2026-07-01 paid: {TEAM}, due 7.00", f"2026-05-01 paid: {TEAM}"]
    ledger.audit(life.shop.customer.account_id, -300)
    assert [kind for kind in life.events if kind.startswith("invoice.deleted")] == ["invoice.deleted"]


def test_a_draft_that_credit_pays_for_is_paid_as_soon_as_it_is_sent(app: Flask) -> None:
    life = _paused(app, "keep_as_draft")
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == life.shop.customer.id)).one()
        customer.balance, customer.currency = -5000, "eur"
    life.first_balance = -5000
    sent = drafts.finalize(_drafts(life)[0].id, 0)
    assert (sent.status, sent.amount_due, life.balance) == ("paid", 0, -4000)
    with reading() as reader:
        told = select(Event.type, Event.data).where(Event.account_id == life.shop.customer.account_id)
        of_it = [row for row in reader.execute(told.order_by(Event.id)) if row.data["object"]["id"] == sent.id]
    assert [(row.type, row.data["object"]["status"]) for row in of_it] == [
        ("invoice.created", "draft"),
        ("invoice.finalized", "open"),
        ("invoice.paid", "paid"),
        ("invoice.payment_succeeded", "paid"),
    ]
    ledger.audit(life.shop.customer.account_id, -5000)


@pytest.mark.both_databases
def test_what_waited_for_a_draft_waits_again_when_it_is_thrown_away(app: Flask) -> None:
    life = Life.begins(app, policy={"proration_behavior": "create_prorations"}).goes_to("2026-04-16")
    life.changes(quantity=2)
    life.has(pause_collection={"behavior": "keep_as_draft"})
    life.goes_to("2026-05-02")
    (may,) = _drafts(life)
    assert may.total == -500 + 1000 + 2000
    drafts.discard(may.id, 0)
    with reading() as reader:
        mine = InvoiceLineItem.customer_id == life.shop.customer.id, InvoiceLineItem.invoice_id.is_(None)
        waiting = reader.scalars(select(InvoiceLineItem.amount).where(*mine).order_by(InvoiceLineItem.amount)).all()
    assert waiting == [-500, 1000]
    life.has(pause_collection=None)
    life.goes_to("2026-06-02")
    assert life.bills()[-1].endswith("2 seats × Team (at €10.00 / month) 20.00 = 25.00")
    ledger.audit(life.shop.customer.account_id)


def test_what_is_written_off_can_still_be_paid(app: Flask) -> None:
    life = _paused(app, "mark_uncollectible")
    assert "invoice.marked_uncollectible" in life.events
    assert not any(kind.startswith("payment_intent") for kind in life.events)
    life.goes_to("2026-07-02")
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id, Invoice.status == "uncollectible"
        written_off = reader.scalars(select(Invoice.id).where(*mine).order_by(Invoice.created)).all()
    with life._context() as gateway:
        paid = life.shop.customer.id, written_off[1], life.default_method, 1000
        collection.pay_invoice(gateway, *paid, life.now, BACK)
    assert life.bills() == [
        f"2026-05-01 uncollectible: {TEAM}", f"2026-06-01 paid: {TEAM}", f"2026-07-01 paid: {TEAM}"
    ]  # fmt: skip
    ledger.audit(life.shop.customer.account_id)


def test_only_drafts_are_sent_or_thrown_away(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-05-02")
    with reading() as reader:
        paid = reader.scalar(select(Invoice.id).where(Invoice.customer_id == life.shop.customer.id).limit(1)) or ""
    for verb in (drafts.finalize, drafts.discard):
        with pytest.raises(BillingError, match="no draft any more"):
            verb(paid, 0)
        with pytest.raises(NotFound, match="No such invoice: 'in_none'"):
            verb("in_none", 0)
    ledger.audit(life.shop.customer.account_id)


def test_a_draft_of_what_has_ended_is_owed_and_not_collected(app: Flask) -> None:
    life = _paused(app, "keep_as_draft")
    life.cancels(mode="immediately")
    sent = drafts.finalize(_drafts(life)[0].id, 0)
    assert (sent.status, sent.next_payment_attempt) == ("open", None)
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_the_oldest_drafts_are_listed(app: Flask) -> None:
    life = _paused(app, "keep_as_draft")
    found = drafts.drafts(life.shop.customer.account_id)
    assert [(one.customer, one.total, one.currency) for one in found] == [("hedda@acme.example", 1000, "eur")] * 2
    assert found[0].created < found[1].created
    assert found[0].created > world.START
