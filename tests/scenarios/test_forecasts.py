"""What the overview says the next invoices will be, for customers with several subscriptions, and what is billed then."""

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Account, Customer, Discount, Invoice
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests import world
from tests.proofs import forecasts
from tests.scenarios.history import History
from tests.world import reading


def _coupon(history: History, **coupon: object) -> None:
    """A discount of the customer's, which each of its subscriptions may use."""
    with transaction() as session:
        made = world.Merchant(session, history.now, session.get(Account, history.shop.customer.account_id))
        given = made.coupon("Shared", **coupon)  # type: ignore[arg-type]
        owner = {"account_id": history.shop.customer.account_id, "customer_id": history.shop.customer.id}
        session.add(Discount(id=new_id("di"), coupon_id=given.id, start=world.START, **owner))


def _balance(history: History, balance: int, currency: str) -> None:
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one()
        customer.balance, customer.currency = balance, currency


def _shown(history: History) -> list[int]:
    """The amounts due on the overview, smallest first."""
    return sorted(
        invoice.amount_due for invoice in forecasts.shown(history.shop.customer.id, history.now).invoices.values()
    )


def _billed(history: History, date: str) -> list[int]:
    """The amounts due of the renewals until a day, smallest first; each is checked against what was shown."""
    expected, before = (
        forecasts.shown(history.shop.customer.id, history.now),
        forecasts.numbers(history.shop.customer.id),
    )
    history.advance_to(date)
    forecasts.check(history.shop.customer.id, expected, before)
    with reading() as reader:
        renewals = select(Invoice.amount_due).where(
            Invoice.customer_id == history.shop.customer.id, Invoice.id.not_in(before)
        )
        return sorted(reader.scalars(renewals))


@pytest.mark.both_databases
def test_a_single_use_coupon_is_forecast_for_the_first_of_two_subscriptions(app: Flask) -> None:
    history = History.start(app)
    world.second_subscription(history.shop, days=30)
    _coupon(history, amount_off=300, currency="eur", duration="once")
    assert _shown(history) in ([400, 1000], [700, 700])
    assert _billed(history, "2026-05-01") in ([400, 1000], [700, 700])


def test_a_reserved_coupon_is_not_forecast_for_another_subscription(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16 12:00:00")
    other = world.second_subscription(
        history.shop, days=16
    )  # renews half a day later, while the change is still unpaid
    _coupon(history, percent_off="50", duration="once")
    assert forecasts.shown(history.shop.customer.id, history.now).invoices[other.id].amount_due == 350
    assert history.change_plan(quantity=3).outcome == "pending"
    assert forecasts.shown(history.shop.customer.id, history.now).invoices[other.id].amount_due == 700
    assert _billed(history, "2026-04-17") == [700]


def test_credit_in_another_currency_neither_pays_nor_takes_a_small_amount(app: Flask) -> None:
    history = History.start(app)
    _coupon(history, amount_off=970, currency="eur", duration="forever")
    _balance(history, -500, "usd")
    assert _shown(history) == [30]
    assert _billed(history, "2026-05-01") == [30]


@pytest.mark.both_databases
def test_credit_is_used_by_the_forecast_invoices_in_order(app: Flask) -> None:
    history = History.start(app)
    world.second_subscription(history.shop, every="week", days=5)  # on 6, 13, 20 and 27 April, €7.00 each
    _balance(history, -2500, "eur")
    assert _shown(history) == [0, 1000]
    assert _billed(history, "2026-05-01") == [0, 0, 0, 300, 1000]


def test_a_late_run_bills_in_the_order_of_the_dates(app: Flask) -> None:
    history = History.start(app)
    world.second_subscription(history.shop, every="week", days=5)
    _balance(history, -2500, "eur")
    expected, before = (
        forecasts.shown(history.shop.customer.id, history.now),
        forecasts.numbers(history.shop.customer.id),
    )
    history.run_late("2026-05-01")
    forecasts.check(history.shop.customer.id, expected, before)


def test_a_planned_change_is_in_the_forecast(app: Flask) -> None:
    history = History.start(app, policy={"schedule_at_period_end": ("decreasing_item_amount",)}).advance_to(
        "2026-04-16"
    )
    history.change_plan("solo")
    assert _shown(history) == [400]
    assert _billed(history, "2026-05-01") == [400]
