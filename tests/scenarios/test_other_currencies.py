"""What has to happen does, though the balance is in another currency than the invoice: the credit is kept beside it."""

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.invoicing import drafts
from portal_site.billing.models import Customer, CustomerBalanceTransaction, Event, Invoice
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.proofs import forecasts, ledger
from tests.scenarios.history import History
from tests.world import reading

AT_ONCE = {"mode": "immediately", "proration_behavior": "always_invoice"}


def _has_dollars(history: History, balance: int = -300) -> None:
    """The customer's balance, which is in euros and empty, gets this amount in dollars."""
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one()
        assert not customer.balance
        customer.balance, customer.currency = balance, "usd"
        history.first_balance += balance


def _balances(history: History) -> tuple[int, str, dict[str, int] | None]:
    db.session.remove()
    with reading() as reader:
        columns = Customer.balance, Customer.currency, Customer.other_balances
        return tuple(reader.execute(select(*columns).where(Customer.id == history.shop.customer.id)).one())  # type: ignore[return-value]


def _is_consistent(history: History, first_balance: int) -> None:
    ledger.audit(history.shop.customer.account_id, first_balance)


@pytest.mark.both_databases
def test_a_debit_that_succeeds_after_a_reduction_brings_credit_beside_dollars(app: Flask) -> None:
    history = History.start(app)
    history.add_card(world.SLOW)
    history.advance_to("2026-05-02")
    history.cancel(**AT_ONCE)
    _has_dollars(history)
    history.settle_debits()
    history.advance_to("2026-05-10")
    assert history.payments == ["2026-05-01 succeeded"]
    balance, currency, others = _balances(history)
    assert (balance, currency, others) == (-300, "usd", {"eur": -968})
    with reading() as reader:
        mine = CustomerBalanceTransaction.customer_id == history.shop.customer.id
        row = reader.execute(select(CustomerBalanceTransaction.__table__).where(mine)).one()
    assert (row.type, row.amount, row.currency, row.ending_balance) == ("credit_note", -968, "eur", -968)
    _is_consistent(history, -300)


@pytest.mark.both_databases
def test_what_is_kept_beside_the_balance_is_used_by_the_next_invoice_in_its_currency(app: Flask) -> None:
    history = History.start(app, customer={"balance": -800, "currency": "eur"})
    world.second_subscription(history.shop, days=40)  # €7.00 on 11 May
    history.add_card(world.FAILS)
    history.advance_to("2026-05-02")
    _has_dollars(history)
    history.cancel(**AT_ONCE)  # of €10.00 the balance had paid 8.00; 0.32 were used
    assert _balances(history) == (-300, "usd", {"eur": -768})
    with reading() as reader:
        mine = Event.account_id == history.shop.customer.account_id, Event.type == "customer.updated"
        (*_, last) = reader.scalars(select(Event.data).where(*mine).order_by(Event.sequence))
    assert last["object"]["invoice_credit_balance"] == {"usd": 300, "eur": 768}
    assert last["previous_attributes"] == {"invoice_credit_balance": {"usd": 300}}
    expected, before = (
        forecasts.shown(history.shop.customer.id, history.now),
        forecasts.numbers(history.shop.customer.id),
    )
    assert [invoice.amount_due for invoice in expected.invoices.values()] == [0]
    history.advance_to("2026-05-12")
    forecasts.check(history.shop.customer.id, expected, before)
    assert _balances(history) == (-300, "usd", {"eur": -68})
    _is_consistent(history, -1100)


def test_who_cancels_at_once_gets_the_credit_beside_the_balance(app: Flask) -> None:
    history = History.start(app)
    _has_dollars(history)
    history.advance_to("2026-04-16")
    history.cancel(**AT_ONCE)
    assert (history.subscription.status, _balances(history)) == ("canceled", (-300, "usd", {"eur": -500}))
    _is_consistent(history, -300)


def test_a_void_invoice_returns_its_credit_beside_the_balance(app: Flask) -> None:
    history = History.start(app, customer={"balance": -200, "currency": "eur"}, card=world.FAILS).advance_to(
        "2026-04-16"
    )
    assert history.change_plan(quantity=3).outcome == "pending"
    _has_dollars(history)
    history.advance_to("2026-04-18")
    assert history.subscription.pending_update is None
    assert _balances(history) == (-300, "usd", {"eur": -200})
    _is_consistent(history, -500)


def test_an_empty_balance_takes_back_what_was_kept_beside_it(app: Flask) -> None:
    history = History.start(app, customer={"balance": -200, "currency": "eur"}, card=world.FAILS).advance_to(
        "2026-04-16"
    )
    assert history.change_plan(quantity=3).outcome == "pending"
    _has_dollars(history)
    history.advance_to("2026-04-18")
    with transaction() as session:  # the dollars were used by an invoice of another subscription
        session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one().balance = 0
    history.add_card()
    history.advance_to("2026-05-02")
    assert [bill[11:] for bill in history.invoices()][-1].endswith("= 10.00, due 8.00")
    assert _balances(history) == (0, "eur", None)


def test_a_draft_that_is_credit_can_be_finalized(app: Flask) -> None:
    history = History.start(app, quantity=30).advance_to("2026-04-16")
    history.add_schedule(("2026-04-01", {"team": 30}), ("2026-04-17", {"team": 1}), proration="create_prorations")
    history.advance_to("2026-04-18")
    history.set_members(pause_collection={"behavior": "keep_as_draft"})
    history.advance_to("2026-05-02")
    _has_dollars(history)
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.status == "draft"
        draft = reader.execute(select(Invoice.id, Invoice.total).where(*mine)).one()
    assert draft.total < 0
    assert drafts.finalize(draft.id, history.now).status == "paid"
    assert _balances(history) == (-300, "usd", {"eur": draft.total})
    _is_consistent(history, -300)


def test_credit_of_a_subscription_that_has_ended_waits_for_no_invoice(app: Flask) -> None:
    """Its last period was shortened by a phase; there is no next invoice that could take the credit."""
    history = History.start(app, quantity=30)
    history.add_schedule(
        ("2026-04-01", {"team": 30}), ("2026-04-16", {"team": 1}), ends="2026-05-01", end_behavior="cancel"
    )
    _has_dollars(history)
    history.advance_to("2026-05-02")
    assert history.subscription.status == "canceled"
    assert _balances(history) == (-300, "usd", {"eur": -14500})
    _is_consistent(history, -300)
