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
from tests.scenarios.life import Life
from tests.world import reading

VAT = ({"id": "txr_vat", "display_name": "VAT", "percentage": "20", "inclusive": False},)


def _debtor(app: Flask, dunning: dict[str, Any] | None = None, **options: Any) -> Life:
    """A customer whose card fails for May: €10.00, owed since 1 May."""
    life = Life.begins(app, **options)
    if dunning is not None:
        with transaction() as session:
            of_shop = update(Account).where(Account.id == life.shop.customer.account_id)
            session.execute(of_shop.values(dunning=dunning))
    life.gets_a_card(world.FAILS)
    return life.goes_to("2026-05-02")


def _owed(life: Life) -> list[tuple[str, int, int]]:
    """Status, what is left to pay and what was paid of each invoice after the first month's."""
    db.session.remove()
    columns = (Invoice.status, Invoice.amount_remaining, Invoice.amount_paid)
    query = select(*columns).where(Invoice.customer_id == life.shop.customer.id).order_by(Invoice.number)
    with reading() as reader:
        return [tuple(row) for row in reader.execute(query)][1:]


def _notes(life: Life) -> list[tuple[int, int]]:
    query = select(CreditNote.pre_payment_amount, CreditNote.post_payment_amount)
    with reading() as reader:
        return [tuple(row) for row in reader.execute(query.where(CreditNote.customer_id == life.shop.customer.id))]


@pytest.mark.both_databases
def test_who_could_not_pay_owes_what_who_paid_is_left_with(app: Flask) -> None:
    debtor = _debtor(app).goes_to("2026-05-11")
    debtor.cancels(mode="immediately", proration_behavior="always_invoice")
    assert (_owed(debtor), debtor.balance) == ([("open", 323, 0)], 0)
    payer = Life.begins(app, name="Other").goes_to("2026-05-11")
    payer.cancels(mode="immediately", proration_behavior="always_invoice")
    assert payer.balance == -677
    debtor.gets_a_card()
    debtor.pays()
    assert _owed(debtor) == [("paid", 0, 323)]
    assert debtor.events.count("credit_note.created") == 1
    for life in (debtor, payer):
        ledger.audit(life.shop.customer.account_id)


def test_without_credit_for_who_paid_nothing_is_taken_off_for_who_did_not(app: Flask) -> None:
    life = _debtor(app).goes_to("2026-05-11")
    life.cancels(mode="immediately", proration_behavior="none")
    assert (_owed(life), _notes(life)) == ([("open", 1000, 0)], [])


def test_tax_and_discount_go_with_the_time(app: Flask) -> None:
    life = Life.begins(app, tax=VAT)
    life.gets_a_discount(percent_off="50")
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-11")
    life.cancels(mode="immediately", proration_behavior="always_invoice")
    assert _owed(life) == [("open", 600 - 407, 0)]  # of €5.00 and €1.00 of tax, 21 of 31 days
    ledger.audit(life.shop.customer.account_id)


def test_what_the_balance_had_paid_comes_back_to_it(app: Flask) -> None:
    life = Life.begins(app, customer={"balance": -800, "currency": "eur"})
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-11")
    assert _owed(life) == [("open", 200, 0)]
    life.cancels(mode="immediately", proration_behavior="always_invoice")
    assert (_owed(life), _notes(life), life.balance) == ([("paid", 0, 0)], [(200, 477)], -477)
    ledger.audit(life.shop.customer.account_id, -800)


@pytest.mark.parametrize(("owed", "left"), [("used_time", 65), ("full", 1000)])
@pytest.mark.both_databases
def test_dunning_leaves_what_was_used_until_it_ends_the_subscription(app: Flask, owed: str, left: int) -> None:
    """The last try is on 3 May: two of 31 days."""
    life = _debtor(app, {"retry_days": [2], "then": "cancel", "amount_owed": owed}).goes_to("2026-05-20")
    assert life.subscription.status == "canceled"
    assert _owed(life) == [("open", left, 0)]
    life.gets_a_card()
    life.pays()
    assert _owed(life) == [("paid", 0, left)]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_nobody_pays_the_same_days_twice_who_comes_back_in_the_period(app: Flask) -> None:
    life = _debtor(app, {"retry_days": [2], "then": "unpaid"}).goes_to("2026-05-20")
    assert (life.subscription.status, _owed(life)) == ("unpaid", [("open", 65, 0)])
    life.gets_a_card()
    life.pays()
    life.goes_at(life.now + 60)
    assert (life.subscription.status, life.period) == ("active", ("2026-05-20", "2026-06-20"))
    assert _owed(life) == [("paid", 0, 65), ("paid", 0, 1000)]
    ledger.audit(life.shop.customer.account_id)
    ledger.no_time_is_billed_twice(life.shop.customer.account_id)


def test_who_owes_the_whole_period_has_the_whole_period(app: Flask) -> None:
    life = _debtor(app, {"retry_days": [2], "then": "unpaid", "amount_owed": "full"}).goes_to("2026-05-20")
    life.gets_a_card()
    life.pays()
    assert (life.period, _owed(life)) == (("2026-05-01", "2026-06-01"), [("paid", 0, 1000)])
    life.goes_to("2026-06-02")
    assert life.bills()[-1].startswith("2026-06-01")


def test_an_item_that_is_paid_keeps_its_period_when_another_is_not(app: Flask) -> None:
    life = Life.begins(app, add_ons=True).goes_at(world.START + 60)
    life.orders(life.add_on_order(storage_year=1))
    with transaction() as session:
        of_shop = update(Account).where(Account.id == life.shop.customer.account_id)
        session.execute(of_shop.values(dunning={"retry_days": [2], "then": "unpaid"}))
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-05-20")
    life.gets_a_card()
    life.pays()
    life.goes_at(life.now + 60)
    assert life.bills()[-1] == "2026-05-20 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00"
    assert life.period == ("2026-05-20", "2026-06-20")
    ledger.no_time_is_billed_twice(life.shop.customer.account_id)


def test_the_merchants_end_inside_an_unpaid_period(app: Flask) -> None:
    life = _debtor(app, {"retry_days": [30], "then": "past_due"})
    life.has(cancel_at=at("2026-05-11"), due_at=at("2026-05-11"))
    life.goes_to("2026-05-12")
    assert (life.subscription.status, _owed(life)) == ("canceled", [("open", 323, 0)])
    ledger.audit(life.shop.customer.account_id)


def test_a_debit_that_runs_meanwhile_brings_credit(app: Flask) -> None:
    """Two of 31 days."""
    life = Life.begins(app)
    life.gets_a_card(world.SLOW)
    life.goes_at(at("2026-05-01 01:00:00"))
    life.has(cancel_at=at("2026-05-03"), due_at=at("2026-05-03"))
    life.goes_at(at("2026-05-03 01:00:00"))
    assert (life.subscription.status, _owed(life)) == ("canceled", [("open", 65, 0)])
    life.bank_answers()
    life.goes_to("2026-05-04")
    assert (_owed(life), _notes(life), life.balance) == ([("paid", 0, 1000)], [(0, 935)], -935)
    ledger.audit(life.shop.customer.account_id)


def test_the_time_of_a_reduced_invoice_is_not_credited_again(app: Flask) -> None:
    life = _debtor(app, {"retry_days": [2], "then": "unpaid"}).goes_to("2026-05-20")
    life.gets_a_card()
    life.pays()
    life.goes_at(life.now + 60)
    life.cancels(mode="immediately", proration_behavior="always_invoice")
    assert -life.balance == 1000
    ledger.audit(life.shop.customer.account_id)


def test_what_is_written_off_is_reduced_too(app: Flask) -> None:
    life = _debtor(app, {"retry_days": [2], "then": "cancel", "write_off": True}).goes_to("2026-05-20")
    assert _owed(life) == [("uncollectible", 65, 0)]
    ledger.audit(life.shop.customer.account_id)
