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
from portal_site.portal.wording.subscriptions import NextStep
from tests import world
from tests.billing.terms import at as instant
from tests.proofs import forecasts
from tests.scenarios.history import BACK, History
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


# --- phases of a schedule that are prorated inside a period ---------------------------------------------------------------


def _phase(history: History, price: str, proration: str, **members: object) -> None:
    history.add_schedule(("2026-04-01", {"team": 1}), ("2026-05-16", {price: 1}), proration=proration, **members)  # type: ignore[arg-type]


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
    history = History.start(app)
    _phase(history, price, proration)
    history.advance_to("2026-05-02")
    assert _shown(history) == [shown]
    assert shown in _billed(history, "2026-06-02")


def test_the_credit_of_a_phase_is_in_the_forecast_of_another_subscription(app: Flask) -> None:
    history = History.start(app)
    world.second_subscription(history.shop, days=50)  # on 21 May, for 7.00
    _phase(history, "solo", "always_invoice")
    history.advance_to("2026-05-02")
    assert _shown(history) == [0, 390]
    assert _billed(history, "2026-05-22") == [0, 390]


def test_a_phase_after_the_next_renewal_is_prorated_from_what_that_will_charge(app: Flask) -> None:
    history = History.start(app)
    world.second_subscription(history.shop, days=50)
    history.add_discount(percent_off="50", duration="once")
    _phase(history, "solo", "always_invoice")
    assert _shown(history) == [
        500,
        545,
    ]  # 7.00, less 2.58 of May's 5.00, and 1.03 for Solo with the unused share of the discount
    assert _billed(history, "2026-05-22") == [0, 500, 545]


def test_a_phase_after_an_invoice_that_the_customer_has_to_send_is_not_prorated(app: Flask) -> None:
    history = History.start(app, collection_method="send_invoice", days_until_due=30)
    world.second_subscription(history.shop, days=50)
    _phase(history, "solo", "always_invoice")
    assert _shown(history) == [700, 1000]
    assert _billed(history, "2026-05-22") == [700, 1000]


def test_an_unpaid_change_is_given_up_when_a_phase_begins_and_its_credit_counts_again(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16 12:00:00")
    assert history.change_plan(quantity=3).outcome == "pending"
    history.add_schedule(("2026-04-01", {"team": 1}), ("2026-04-17", {"solo": 1}), proration="create_prorations")
    assert _shown(history) == [400 - 467 + 187]
    history.add_card()
    assert _billed(history, "2026-05-02") == [400 - 467 + 187]


def test_the_sentence_about_the_invoice_of_a_phase_does_not_call_it_a_renewal(app: Flask) -> None:
    history = History.start(app)
    _phase(history, "year", "always_invoice")
    history.advance_to("2026-05-02")
    (shown,) = forecasts.shown(history.shop.customer.id, history.now).invoices.values()
    assert (shown.renews, shown.date) == (False, instant("2026-05-16"))
    with app.test_request_context():
        view: Any = SimpleNamespace(
            next_invoice=shown,
            status=SubscriptionStatus.ACTIVE,
            cancel_at=None,
            collection_method="charge_automatically",
        )
        before, after = (subscriptions.next_step(view, None, now) for now in (history.now, shown.date))
    assert before == NextStep("Next payment", "€90.73", "on May 16, 2026 (in 14 days)")
    assert after == NextStep("Next payment", "€90.73", "due on May 16, 2026, being processed")


def test_what_is_billed_late_is_forecast_with_the_discounts_of_its_date(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(end=instant("2026-05-10"), percent_off="50", duration="repeating", duration_in_months=1)
    history.now = instant("2026-05-20")  # the worker was away
    assert _shown(history) == [500]
    expected, before = (
        forecasts.shown(history.shop.customer.id, history.now),
        forecasts.numbers(history.shop.customer.id),
    )
    history.run_late("2026-05-20")
    forecasts.check(history.shop.customer.id, expected, before)


def test_a_coupon_for_one_invoice_is_used_once_though_its_change_is_paid_after_a_renewal_was_due(app: Flask) -> None:
    """The change of 29 April is paid on 5 May, before the worker, which was away, bills 1 May."""
    history = History.start(app, card=world.SLOW, policy={"stack_promotion_codes": True}).advance_to("2026-04-29")
    code = history.create_code(percent_off="25", duration="once")
    assert history.change_plan(quantity=3, code=code).outcome == "pending"
    history.now = instant("2026-05-05")
    history.settle_debits()
    with history.gateways() as gateway:
        collection.resolve_payment(gateway, history.shop.customer.id, _open_invoice(history), history.now, BACK)
    history.run_late("2026-05-05")
    assert [bill.rpartition("= ")[2] for bill in history.invoices()] == ["0.83", "30.00"]


def _open_invoice(history: History) -> str:
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.status == "open"
        return str(reader.scalar(select(Invoice.id).where(*mine)))


def test_a_late_worker_bills_subscriptions_by_date_where_an_unpaid_change_expired_before(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-28")
    world.second_subscription(history.shop, days=29)  # renews on 30 April
    assert history.change_plan(quantity=3).outcome == "pending"  # until 29 April; the plan renews on 1 May
    _coupon(history, percent_off="50", duration="once")
    history.run_late("2026-05-02")
    assert [bill[11:] for bill in history.invoices() if "void" not in bill] == [
        "open: 1 × Extra (at €7.00 / month) 7.00, discount -3.50 = 3.50",
        "open: 1 seats × Team (at €10.00 / month) 10.00 = 10.00",
    ]


@pytest.mark.both_databases
@pytest.mark.parametrize(("stamp", "renewal", "all_bills"), [("000000", 400, [400, 1000]), ("zzzzzz", 700, [700, 700])])
def test_one_that_ends_is_billed_in_its_turn_beside_one_that_renews(
    app: Flask, stamp: str, renewal: int, all_bills: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are due in the same second. The credit goes to the first by id, also where that has no next date any more."""
    history = History.start(app, policy={"proration_behavior": "create_prorations"})
    with monkeypatch.context() as patched:
        patched.setattr("portal_site.ids._stamp", lambda _second: stamp)
        world.second_subscription(history.shop, days=30)
    history.advance_to("2026-04-16")
    history.change_plan("team", 3)
    history.cancel()
    _balance(history, -300, "eur")
    assert _shown(history) == [renewal]
    assert _billed(history, "2026-05-02") == all_bills
