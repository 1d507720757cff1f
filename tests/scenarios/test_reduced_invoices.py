"""What is owed when a subscription ends, or becomes unpaid, in a period that is not paid: the time that was there."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Account, CreditNote, Invoice
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import History
from tests.world import reading

VAT = ({"id": "txr_vat", "display_name": "VAT", "percentage": "20", "inclusive": False},)


def _debtor(app: Flask, dunning: dict[str, Any] | None = None, **options: Any) -> History:
    """A customer whose card fails for May: €10.00, owed since 1 May."""
    history = History.start(app, **options)
    if dunning is not None:
        with transaction() as session:
            of_shop = update(Account).where(Account.id == history.shop.customer.account_id)
            session.execute(of_shop.values(dunning=dunning))
    history.add_card(world.FAILS)
    return history.advance_to("2026-05-02")


def _owed(history: History) -> list[tuple[str, int, int]]:
    """Status, what is left to pay and what was paid of each invoice after the first month's."""
    db.session.remove()
    columns = (Invoice.status, Invoice.amount_remaining, Invoice.amount_paid)
    query = select(*columns).where(Invoice.customer_id == history.shop.customer.id).order_by(Invoice.number)
    with reading() as reader:
        return [tuple(row) for row in reader.execute(query)][1:]


def _notes(history: History) -> list[tuple[int, int]]:
    query = select(CreditNote.pre_payment_amount, CreditNote.post_payment_amount)
    with reading() as reader:
        return [tuple(row) for row in reader.execute(query.where(CreditNote.customer_id == history.shop.customer.id))]


@pytest.mark.both_databases
def test_an_unpaid_and_a_paid_cancellation_cost_the_same(app: Flask) -> None:
    debtor = _debtor(app).advance_to("2026-05-11")
    debtor.cancel(mode="immediately", proration_behavior="always_invoice")
    assert (_owed(debtor), debtor.balance) == ([("open", 323, 0)], 0)
    payer = History.start(app, name="Other").advance_to("2026-05-11")
    payer.cancel(mode="immediately", proration_behavior="always_invoice")
    assert payer.balance == -677
    debtor.add_card()
    debtor.pay()
    assert _owed(debtor) == [("paid", 0, 323)]
    assert debtor.events.count("credit_note.created") == 1
    for history in (debtor, payer):
        ledger.audit(history.shop.customer.account_id)


def test_without_proration_an_unpaid_invoice_is_not_reduced(app: Flask) -> None:
    history = _debtor(app).advance_to("2026-05-11")
    history.cancel(mode="immediately", proration_behavior="none")
    assert (_owed(history), _notes(history)) == ([("open", 1000, 0)], [])


def test_a_reduction_includes_tax_and_discount(app: Flask) -> None:
    history = History.start(app, tax=VAT)
    history.add_discount(percent_off="50")
    history.add_card(world.FAILS)
    history.advance_to("2026-05-11")
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    assert _owed(history) == [("open", 600 - 407, 0)]  # of €5.00 and €1.00 of tax, 21 of 31 days
    ledger.audit(history.shop.customer.account_id)


def test_a_reduction_returns_what_the_balance_paid(app: Flask) -> None:
    history = History.start(app, customer={"balance": -800, "currency": "eur"})
    history.add_card(world.FAILS)
    history.advance_to("2026-05-11")
    assert _owed(history) == [("open", 200, 0)]
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    assert (_owed(history), _notes(history), history.balance) == ([("paid", 0, 0)], [(200, 477)], -477)
    ledger.audit(history.shop.customer.account_id, -800)


@pytest.mark.parametrize(("owed", "left"), [("used_time", 65), ("full", 1000)])
@pytest.mark.both_databases
def test_dunning_that_ends_a_subscription_bills_only_the_used_time(app: Flask, owed: str, left: int) -> None:
    """The last try is on 3 May: two of 31 days."""
    history = _debtor(app, {"retry_days": [2], "then": "cancel", "amount_owed": owed}).advance_to("2026-05-20")
    assert history.subscription.status == "canceled"
    assert _owed(history) == [("open", left, 0)]
    history.add_card()
    history.pay()
    assert _owed(history) == [("paid", 0, left)]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_reactivating_within_the_period_bills_no_day_twice(app: Flask) -> None:
    history = _debtor(app, {"retry_days": [2], "then": "unpaid"}).advance_to("2026-05-20")
    assert (history.subscription.status, _owed(history)) == ("unpaid", [("open", 65, 0)])
    history.add_card()
    history.pay()
    history.advance_to_instant(history.now + 60)
    assert (history.subscription.status, history.period) == ("active", ("2026-05-20", "2026-06-20"))
    assert _owed(history) == [("paid", 0, 65), ("paid", 0, 1000)]
    ledger.audit(history.shop.customer.account_id)
    ledger.no_time_is_billed_twice(history.shop.customer.account_id)


def test_a_fully_owed_period_is_used_to_its_end(app: Flask) -> None:
    history = _debtor(app, {"retry_days": [2], "then": "unpaid", "amount_owed": "full"}).advance_to("2026-05-20")
    history.add_card()
    history.pay()
    assert (history.period, _owed(history)) == (("2026-05-01", "2026-06-01"), [("paid", 0, 1000)])
    history.advance_to("2026-06-02")
    assert history.invoices()[-1].startswith("2026-06-01")


def test_a_paid_item_keeps_its_period_when_another_is_unpaid(app: Flask) -> None:
    history = History.start(app, add_ons=True).advance_to_instant(world.START + 60)
    history.change_items(history.add_on_order(storage_year=1))
    with transaction() as session:
        of_shop = update(Account).where(Account.id == history.shop.customer.account_id)
        session.execute(of_shop.values(dunning={"retry_days": [2], "then": "unpaid"}))
    history.add_card(world.FAILS)
    history.advance_to("2026-05-20")
    history.add_card()
    history.pay()
    history.advance_to_instant(history.now + 60)
    assert history.invoices()[-1] == "2026-05-20 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00"
    assert history.period == ("2026-05-20", "2026-06-20")
    ledger.no_time_is_billed_twice(history.shop.customer.account_id)


def test_a_merchants_end_date_reduces_an_unpaid_invoice(app: Flask) -> None:
    history = _debtor(app, {"retry_days": [30], "then": "past_due"})
    history.set_members(cancel_at=at("2026-05-11"), due_at=at("2026-05-11"))
    history.advance_to("2026-05-12")
    assert (history.subscription.status, _owed(history)) == ("canceled", [("open", 323, 0)])
    ledger.audit(history.shop.customer.account_id)


def test_a_processing_debit_of_a_reduced_invoice_becomes_credit(app: Flask) -> None:
    """Two of 31 days."""
    history = History.start(app)
    history.add_card(world.SLOW)
    history.advance_to_instant(at("2026-05-01 01:00:00"))
    history.set_members(cancel_at=at("2026-05-03"), due_at=at("2026-05-03"))
    history.advance_to_instant(at("2026-05-03 01:00:00"))
    assert (history.subscription.status, _owed(history)) == ("canceled", [("open", 65, 0)])
    history.settle_debits()
    history.advance_to("2026-05-04")
    assert (_owed(history), _notes(history), history.balance) == ([("paid", 0, 1000)], [(0, 935)], -935)
    ledger.audit(history.shop.customer.account_id)


def test_the_time_of_a_reduced_invoice_is_not_credited_again(app: Flask) -> None:
    history = _debtor(app, {"retry_days": [2], "then": "unpaid"}).advance_to("2026-05-20")
    history.add_card()
    history.pay()
    history.advance_to_instant(history.now + 60)
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    assert -history.balance == 1000
    ledger.audit(history.shop.customer.account_id)


def test_an_uncollectible_invoice_is_reduced_too(app: Flask) -> None:
    history = _debtor(app, {"retry_days": [2], "then": "cancel", "write_off": True}).advance_to("2026-05-20")
    assert _owed(history) == [("uncollectible", 65, 0)]
    ledger.audit(history.shop.customer.account_id)
