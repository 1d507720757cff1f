"""What the overview says the next invoices will be, for customers with several subscriptions, and what is billed then."""

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Account, Customer, Discount, Invoice
from portal_site.billing.payments import collection
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.portal.wording import subscriptions
from tests import world
from tests.billing.terms import at as instant
from tests.proofs import forecasts
from tests.scenarios.life import BACK, Life
from tests.world import reading


def _coupon(life: Life, **coupon: object) -> None:
    """A discount of the customer's, which each of its subscriptions may use."""
    with transaction() as session:
        made = world.Merchant(session, life.now, session.get(Account, life.shop.customer.account_id))
        given = made.coupon("Shared", **coupon)  # type: ignore[arg-type]
        owner = {"account_id": life.shop.customer.account_id, "customer_id": life.shop.customer.id}
        session.add(Discount(id=new_id("di"), coupon_id=given.id, start=world.START, **owner))


def _balance(life: Life, balance: int, currency: str) -> None:
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == life.shop.customer.id)).one()
        customer.balance, customer.currency = balance, currency


def _shown(life: Life) -> list[int]:
    """The amounts due on the overview, smallest first."""
    return sorted(invoice.amount_due for invoice in forecasts.shown(life.shop.customer.id, life.now).invoices.values())


def _billed(life: Life, date: str) -> list[int]:
    """The amounts due of the renewals until a day, smallest first; each is checked against what was shown."""
    expected, before = forecasts.shown(life.shop.customer.id, life.now), forecasts.numbers(life.shop.customer.id)
    life.goes_to(date)
    forecasts.check(life.shop.customer.id, expected, before)
    with reading() as reader:
        renewals = select(Invoice.amount_due).where(
            Invoice.customer_id == life.shop.customer.id, Invoice.id.not_in(before)
        )
        return sorted(reader.scalars(renewals))


@pytest.mark.both_databases
def test_a_coupon_for_one_invoice_is_promised_to_the_first_of_two_subscriptions(app: Flask) -> None:
    life = Life.begins(app)
    world.second_subscription(life.shop, days=30)
    _coupon(life, amount_off=300, currency="eur", duration="once")
    assert _shown(life) in ([400, 1000], [700, 700])
    assert _billed(life, "2026-05-01") in ([400, 1000], [700, 700])


def test_a_coupon_that_an_unpaid_change_reserves_is_promised_to_nobody_else(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16 12:00:00")
    other = world.second_subscription(life.shop, days=16)  # renews half a day later, while the change is still unpaid
    _coupon(life, percent_off="50", duration="once")
    assert forecasts.shown(life.shop.customer.id, life.now).invoices[other.id].amount_due == 350
    assert life.changes(quantity=3).outcome == "pending"
    assert forecasts.shown(life.shop.customer.id, life.now).invoices[other.id].amount_due == 700
    assert _billed(life, "2026-04-17") == [700]


def test_credit_in_another_currency_neither_pays_nor_takes_a_small_amount(app: Flask) -> None:
    life = Life.begins(app)
    _coupon(life, amount_off=970, currency="eur", duration="forever")
    _balance(life, -500, "usd")
    assert _shown(life) == [30]
    assert _billed(life, "2026-05-01") == [30]


@pytest.mark.both_databases
def test_credit_is_used_by_each_invoice_on_the_way(app: Flask) -> None:
    life = Life.begins(app)
    world.second_subscription(life.shop, every="week", days=5)  # on 6, 13, 20 and 27 April, €7.00 each
    _balance(life, -2500, "eur")
    assert _shown(life) == [0, 1000]
    assert _billed(life, "2026-05-01") == [0, 0, 0, 300, 1000]


def test_a_worker_that_was_away_bills_in_the_order_of_the_dates(app: Flask) -> None:
    life = Life.begins(app)
    world.second_subscription(life.shop, every="week", days=5)
    _balance(life, -2500, "eur")
    expected, before = forecasts.shown(life.shop.customer.id, life.now), forecasts.numbers(life.shop.customer.id)
    life.works_late("2026-05-01")
    forecasts.check(life.shop.customer.id, expected, before)


def test_what_the_customer_planned_is_in_the_forecast(app: Flask) -> None:
    life = Life.begins(app, policy={"schedule_at_period_end": ("decreasing_item_amount",)}).goes_to("2026-04-16")
    life.changes("solo")
    assert _shown(life) == [400]
    assert _billed(life, "2026-05-01") == [400]


# --- phases of a schedule that are prorated inside a period ---------------------------------------------------------------


def _phase(life: Life, price: str, proration: str, **members: object) -> None:
    life.is_scheduled(("2026-04-01", {"team": 1}), ("2026-05-16", {price: 1}), proration=proration, **members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("price", "proration", "shown"),
    [
        ("solo", "create_prorations", 90),  # on 1 June: 4.00 - 5.16 + 2.06
        ("solo", "always_invoice", 0),  # on 16 May, and 3.10 is credit
        ("year", "always_invoice", 9073),
        ("year", "create_prorations", 9073),
        ("solo", "none", 400),
    ],
)
@pytest.mark.both_databases
def test_what_a_phase_inside_the_period_costs_is_in_the_forecast(
    app: Flask, price: str, proration: str, shown: int
) -> None:
    life = Life.begins(app)
    _phase(life, price, proration)
    life.goes_to("2026-05-02")
    assert _shown(life) == [shown]
    assert shown in _billed(life, "2026-06-02")


def test_the_credit_of_a_phase_is_in_the_forecast_of_another_subscription(app: Flask) -> None:
    life = Life.begins(app)
    world.second_subscription(life.shop, days=50)  # on 21 May, for 7.00
    _phase(life, "solo", "always_invoice")
    life.goes_to("2026-05-02")
    assert _shown(life) == [0, 390]
    assert _billed(life, "2026-05-22") == [0, 390]


def test_a_phase_after_the_next_renewal_is_prorated_from_what_that_will_charge(app: Flask) -> None:
    life = Life.begins(app)
    world.second_subscription(life.shop, days=50)
    life.gets_a_discount(percent_off="50", duration="once")
    _phase(life, "solo", "always_invoice")
    assert _shown(life) == [
        500,
        545,
    ]  # 7.00, less 2.58 of May's 5.00, and 1.03 for Solo with the unused share of the discount
    assert _billed(life, "2026-05-22") == [0, 500, 545]


def test_a_phase_after_an_invoice_that_the_customer_has_to_send_is_not_prorated(app: Flask) -> None:
    life = Life.begins(app, collection_method="send_invoice", days_until_due=30)
    world.second_subscription(life.shop, days=50)
    _phase(life, "solo", "always_invoice")
    assert _shown(life) == [700, 1000]
    assert _billed(life, "2026-05-22") == [700, 1000]


def test_an_unpaid_change_is_given_up_when_a_phase_begins_and_its_credit_counts_again(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16 12:00:00")
    assert life.changes(quantity=3).outcome == "pending"
    life.is_scheduled(("2026-04-01", {"team": 1}), ("2026-04-17", {"solo": 1}), proration="create_prorations")
    assert _shown(life) == [400 - 467 + 187]
    life.gets_a_card()
    assert _billed(life, "2026-05-02") == [400 - 467 + 187]


def test_the_sentence_about_the_invoice_of_a_phase_does_not_call_it_a_renewal(app: Flask) -> None:
    life = Life.begins(app)
    _phase(life, "year", "always_invoice")
    life.goes_to("2026-05-02")
    (shown,) = forecasts.shown(life.shop.customer.id, life.now).invoices.values()
    assert (shown.renews, shown.date) == (False, instant("2026-05-16"))
    with app.test_request_context():
        view: Any = SimpleNamespace(next_invoice=shown, status=SubscriptionStatus.ACTIVE)
        assert subscriptions.outlook(view, life.now) == ["Your next invoice, on May 16, 2026, will be €90.73."]


def test_what_is_billed_late_is_forecast_with_the_discounts_of_its_date(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(end=instant("2026-05-10"), percent_off="50", duration="repeating", duration_in_months=1)
    life.now = instant("2026-05-20")  # the worker was away
    assert _shown(life) == [500]
    expected, before = forecasts.shown(life.shop.customer.id, life.now), forecasts.numbers(life.shop.customer.id)
    life.works_late("2026-05-20")
    forecasts.check(life.shop.customer.id, expected, before)


def test_a_coupon_for_one_invoice_is_used_once_though_its_change_is_paid_after_a_renewal_was_due(app: Flask) -> None:
    """The change of 29 April is paid on 5 May, before the worker, which was away, bills 1 May."""
    life = Life.begins(app, card=world.SLOW, policy={"stack_promotion_codes": True}).goes_to("2026-04-29")
    code = life.code(percent_off="25", duration="once")
    assert life.changes(quantity=3, code=code).outcome == "pending"
    life.now = instant("2026-05-05")
    life.bank_answers()
    with life._context() as gateway:
        collection.resolve_payment(gateway, life.shop.customer.id, _open_invoice(life), life.now, BACK)
    life.works_late("2026-05-05")
    assert [bill.rpartition("= ")[2] for bill in life.bills()] == ["0.83", "30.00"]


def _open_invoice(life: Life) -> str:
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id, Invoice.status == "open"
        return str(reader.scalar(select(Invoice.id).where(*mine)))
