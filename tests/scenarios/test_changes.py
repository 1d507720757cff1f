"""Scenarios of plan changes."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal_site.billing.changes import plan_changes
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.models import InvoiceLineItem
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.life import Life
from tests.world import reading

AT_ONCE = {"proration_behavior": "always_invoice"}
WAITING = {"proration_behavior": "create_prorations"}
NONE = {"proration_behavior": "none"}
DOWN = {"schedule_at_period_end": ("decreasing_item_amount", "shortening_interval")}
TEAM = "seats × Team (at €10.00 / month)"
UNUSED, LEFT = "Unused time on", "Remaining time on"


def test_up_in_the_middle_and_on(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.changes(quantity=3)
    life.goes_to("2026-06-02")
    assert life.bills() == [
        f"2026-04-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00, {LEFT} 3 × Team after 16 Apr 2026 15.00 = 10.00",
        f"2026-05-01 paid: 3 {TEAM} 30.00 = 30.00",
        f"2026-06-01 paid: 3 {TEAM} 30.00 = 30.00",
    ]


def test_up_down_up_in_one_period(app: Flask) -> None:
    life = Life.begins(app)
    for day, quantity in (("2026-04-11", 3), ("2026-04-16", 1), ("2026-04-21", 4)):
        life.goes_to(day)
        life.changes(quantity=quantity)
    life.goes_to("2026-05-02")
    assert life.bills() == [
        f"2026-04-11 paid: {UNUSED} Team after 11 Apr 2026 -6.67, {LEFT} 3 × Team after 11 Apr 2026 20.00 = 13.33",
        f"2026-04-16 paid: {UNUSED} 3 × Team after 16 Apr 2026 -15.00, {LEFT} Team after 16 Apr 2026 5.00 = -10.00, due 0.00",
        f"2026-04-21 paid: {UNUSED} Team after 21 Apr 2026 -3.33, {LEFT} 4 × Team after 21 Apr 2026 13.33 = 10.00, due 0.00",
        f"2026-05-01 paid: 4 {TEAM} 40.00 = 40.00",
    ]
    assert life.balance == 0


def test_prorations_wait_for_the_next_invoice(app: Flask) -> None:
    life = Life.begins(app, policy=WAITING).goes_to("2026-04-16")
    life.changes(quantity=2)
    assert life.bills() == []
    life.goes_to("2026-05-02")
    assert life.bills() == [
        f"2026-05-01 paid: {UNUSED} Team after 16 Apr 2026 -5.00, {LEFT} 2 × Team after 16 Apr 2026 10.00, "
        f"2 {TEAM} 20.00 = 25.00",
    ]


def test_without_proration_the_next_invoice_is_the_first_to_change(app: Flask) -> None:
    life = Life.begins(app, policy=NONE).goes_to("2026-04-16")
    life.changes("solo")
    assert life.item.price_id == life.shop.prices["solo"].id
    life.goes_to("2026-05-02")
    assert life.bills() == ["2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]


def test_month_to_year_and_back_to_month(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.changes("year")
    assert life.period == ("2026-04-01", "2027-04-01")
    life.goes_to("2026-06-16")
    life.changes("team")
    assert life.period == ("2026-06-01", "2026-07-01")
    bills = life.bills()
    assert bills[0] == (
        f"2026-04-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00, {LEFT} Team after 16 Apr 2026 95.89 = 90.89"
    )
    assert bills[1] == (
        f"2026-06-16 paid: {UNUSED} Team after 16 Jun 2026 -79.18, {LEFT} Team after 16 Jun 2026 5.00"
        " = -74.18, due 0.00"
    )
    life.goes_to("2026-08-02")
    assert [bill.rpartition(", due ")[2] for bill in life.bills()[2:]] == ["0.00", "0.00"]
    assert life.balance == -5418


def test_the_billing_date_restarts(app: Flask) -> None:
    life = Life.begins(app, policy=AT_ONCE | {"billing_cycle_anchor": "now"}).goes_to("2026-04-16")
    life.changes(quantity=2)
    life.goes_to("2026-05-17")
    assert life.bills() == [
        f"2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00, 2 {TEAM} 20.00 = 15.00",
        f"2026-05-16 paid: 2 {TEAM} 20.00 = 20.00",
    ]


@pytest.mark.parametrize(("price", "quantity", "bill"), [
    ("solo", 1, "1 × Solo (at €4.00 / month) 4.00 = 4.00"),
    (None, 2, f"2 {TEAM} 20.00 = 20.00"),
])  # fmt: skip
def test_a_downgrade_comes_with_the_next_period(app: Flask, price: str | None, quantity: int, bill: str) -> None:
    life = Life.begins(app, quantity=3, policy=AT_ONCE | DOWN).goes_to("2026-04-16")
    assert life.changes(price, quantity).outcome == "scheduled"
    life.goes_to("2026-04-30")
    assert life.item.quantity == 3
    life.goes_to("2026-06-02")
    assert life.bills() == [f"2026-05-01 paid: {bill}", f"2026-06-01 paid: {bill}"]
    assert "subscription_schedule.created" in life.events
    assert "subscription_schedule.released" in life.events


def test_a_shorter_interval_comes_with_the_end_of_the_year(app: Flask) -> None:
    policy = AT_ONCE | {"schedule_at_period_end": ("shortening_interval",)}
    life = Life.begins(app, policy=policy).goes_to("2026-04-16")
    life.changes("year")
    life.goes_to("2026-09-01")
    change = life.changes("team")
    assert change.outcome == "scheduled"
    life.goes_to("2027-05-02")
    assert life.bills()[1:] == [f"2027-04-01 paid: 1 {TEAM} 10.00 = 10.00", f"2027-05-01 paid: 1 {TEAM} 10.00 = 10.00"]


@pytest.mark.both_databases
def test_a_downgrade_taken_back_leaves_nothing(app: Flask) -> None:
    life = Life.begins(app, quantity=3, policy=AT_ONCE | DOWN).goes_to("2026-04-16")
    life.changes(quantity=1)
    life.takes_it_back()
    with pytest.raises(BillingError):
        life.takes_it_back()
    life.goes_to("2026-05-02")
    assert life.bills() == [f"2026-05-01 paid: 3 {TEAM} 30.00 = 30.00"]


@pytest.mark.parametrize("trial", ["end_trial", "continue_trial"])
def test_a_change_in_a_trial(app: Flask, trial: str) -> None:
    end = at("2026-04-30")
    life = Life.begins(
        app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end,
        policy=AT_ONCE | {"trial_update_behavior": trial},
    ).goes_to("2026-04-10")  # fmt: skip
    life.changes(quantity=2)
    life.goes_to("2026-06-15")
    days = [bill[:10] for bill in life.bills()]
    if trial == "end_trial":
        assert (life.subscription.status, life.subscription.trial_end) == ("active", at("2026-04-10"))
        assert days == ["2026-05-10", "2026-06-10"]  # the first was on 10 April
    else:
        assert life.subscription.trial_end == end
        assert days == ["2026-05-30"]  # the first was on 30 April
    assert all(f"2 {TEAM} 20.00 = 20.00" in bill for bill in life.bills())


def test_a_coupon_goes_on_across_a_change(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_a_discount(percent_off="50")
    life.goes_to("2026-05-16")
    life.changes(quantity=3)
    life.goes_to("2026-06-02")
    assert life.bills() == [
        f"2026-05-01 paid: 1 {TEAM} 10.00, discount -5.00 = 5.00",
        f"2026-05-16 paid: {UNUSED} Team after 16 May 2026 -2.58, {LEFT} 3 × Team after 16 May 2026 15.48, "
        "discount -7.74 = 5.16",
        f"2026-06-01 paid: 3 {TEAM} 30.00, discount -15.00 = 15.00",
    ]


@pytest.mark.parametrize(
    ("coupon", "now", "then"),
    [
        ({"percent_off": "20"}, "discount -3.00 = 7.00", "discount -6.00 = 24.00"),
        ({"percent_off": "20", "duration": "once"}, "discount -3.00 = 7.00", "30.00 = 30.00"),
        ({"amount_off": 500, "currency": "eur", "duration": "once"}, "discount -5.00 = 5.00", "30.00 = 30.00"),
        ({"amount_off": 500, "currency": "eur"}, "discount -2.50 = 7.50", "discount -5.00 = 25.00"),
    ],
)
@pytest.mark.both_databases
def test_a_code_with_a_change(app: Flask, coupon: dict[str, Any], now: str, then: str) -> None:
    life = Life.begins(app).goes_to("2026-04-16")
    life.changes(quantity=3, code=life.code(**coupon))
    life.goes_to("2026-05-02")
    assert life.bills()[0].endswith(now)
    assert life.bills()[1].endswith(then)


@pytest.mark.both_databases
def test_declined_then_paid_within_a_day(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    assert life.changes(quantity=3).outcome == "pending"
    assert life.item.quantity == 1
    life.goes_to("2026-04-16 20:00:00")
    life.gets_a_card()
    life.pays()
    assert life.item.quantity == 3
    assert life.bills()[0].startswith("2026-04-16 paid")
    assert "customer.subscription.pending_update_applied" in life.events
    life.goes_to("2026-05-02")
    assert len(life.bills()) == 2


@pytest.mark.both_databases
def test_declined_and_never_paid(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS, customer={"balance": -300}).goes_to("2026-04-16")
    life.changes(quantity=3)
    assert life.balance == 0
    life.goes_to("2026-04-17 00:00:00")
    assert life.bills()[0].startswith("2026-04-16 void")
    assert life.balance == -300
    assert (life.item.quantity, life.subscription.pending_update, life.subscription.status) == (1, None, "active")
    assert "customer.subscription.pending_update_expired" in life.events
    assert "invoice.voided" in life.events


@pytest.mark.both_databases
def test_what_had_waited_waits_again_when_a_change_expires(app: Flask) -> None:
    life = Life.begins(app, policy=WAITING).goes_to("2026-04-11")
    life.changes(quantity=2)
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-04-16")
    assert life.changes("year").outcome == "pending"
    life.goes_to("2026-04-18")
    life.gets_a_card()
    life.goes_to("2026-05-02")
    assert life.bills()[1] == (
        f"2026-05-01 paid: {UNUSED} Team after 11 Apr 2026 -6.67, {LEFT} 2 × Team after 11 Apr 2026 13.33, "
        f"2 {TEAM} 20.00 = 26.66"
    )


@pytest.mark.case("D20")
@pytest.mark.both_databases
def test_what_was_credited_stays_so_when_the_invoice_that_took_both_is_void(app: Flask) -> None:
    """Three changes wait, each crediting the one before; a fourth, never paid, takes them all and gives them back."""
    life = Life.begins(app, policy=WAITING).goes_to("2026-04-11")
    life.changes(quantity=4)
    life.goes_to("2026-04-16")
    life.changes(quantity=2)
    life.gets_a_card(world.FAILS)
    assert life.changes("year").outcome == "pending"
    life.goes_to("2026-04-21")
    life.changes("team", 1)
    ledger.no_time_is_billed_twice(life.shop.customer.account_id)
    life.gets_a_card()
    life.goes_to("2026-05-02")
    # Ten days at 10.00, five at 40.00, five at 20.00 and ten at 10.00, of which 10.00 are paid.
    assert life.bills()[1].endswith("1 seats × Team (at €10.00 / month) 10.00 = 16.66")
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.case("D20")
def test_what_was_paid_is_given_back_once_and_never_more(app: Flask) -> None:
    """There are no refunds: only unused, paid time is credited, and each line only once."""
    life = Life.begins(app, quantity=4).goes_to("2026-04-11")
    for quantity in (2, 6, 1, 5, 1):
        life.changes(quantity=quantity)
    with reading() as reader:
        lines = {line.id: line for line in reader.execute(select(InvoiceLineItem.__table__))}
    credits = [line for line in lines.values() if line.credited_line_id]
    assert len(credits) == 5
    for line in credits:
        assert 0 < -line.total <= lines[line.credited_line_id].total
    with pytest.raises(IntegrityError, match="credited_line_id"), world.transaction() as session:
        twice = InvoiceLineItem(**credits[0]._mapping).waiting_again()
        twice.credited_line_id = credits[0].credited_line_id
        session.add(twice)
    with pytest.raises(StateChanged):
        plan_changes.withdraw(life.shop.customer.id, life.shop.subscription.id, life.now)  # paid, so it stays
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_renewal_ends_a_change_that_was_never_paid(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-30 12:00:00")
    assert life.changes(quantity=30).outcome == "pending"
    life.gets_a_card()
    life.goes_to("2026-05-01 00:00:00")
    assert [bill[:15] for bill in life.bills()] == ["2026-04-30 void", "2026-05-01 paid"]
    assert life.bills()[1].endswith("= 10.00")


@pytest.mark.parametrize("inclusive", [True, False])
def test_tax_follows_the_change(app: Flask, inclusive: bool) -> None:
    tax = {"id": "txr_1", "display_name": "VAT", "percentage": "20", "inclusive": inclusive}
    life = Life.begins(app, tax=[tax]).goes_to("2026-04-16")
    life.changes(quantity=3)
    told = "15.00 (tax 1.66) = 10.00" if inclusive else "15.00, tax 2.00 = 12.00"
    assert life.bills()[0].endswith(told)


@pytest.mark.both_databases
def test_a_merchants_own_schedule_is_left_alone_and_followed(app: Flask) -> None:
    life = Life.begins(app, quantity=3)
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, life.shop.customer.account_id))
        subscription = session.merge(life.shop.subscription)
        made.schedule(subscription, life.shop.prices["solo"], 1, world.END, origin="merchant")
    life.goes_to("2026-04-16")
    with pytest.raises(BillingError, match="arranged with us"):
        life.changes(quantity=5)
    life.goes_to("2026-05-02")
    assert life.bills() == ["2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]


@pytest.mark.case("D15")
@pytest.mark.parametrize(("currency", "bill"), [("jpy", f"-500, {LEFT} 3 × Team after 16 Apr 2026 1500 = 1000"),
                                                ("kwd", f"-0.500, {LEFT} 3 × Team after 16 Apr 2026 1.500 = 1.000")])  # fmt: skip
def test_yen_and_dinar(app: Flask, currency: str, bill: str) -> None:
    life = Life.begins(app, currency=currency).goes_to("2026-04-16")
    life.changes(quantity=3)
    assert life.bills()[0].endswith(bill)


@pytest.mark.case("D12")
def test_the_night_when_clocks_change_is_as_long_as_it_is(app: Flask) -> None:
    """A customer in Paris changes at 3:30 on the night of 25 October, which has 25 hours there: seconds are counted."""
    life = Life.begins(app, customer={"timezone": "Europe/Paris"}).goes_to("2026-10-25 02:30:00")
    before = len(life.bills())
    life.changes(quantity=2)
    left = at("2026-11-01") - life.now
    whole = at("2026-11-01") - at("2026-10-01")
    credit = round(1000 * left / whole)
    assert f"-{credit / 100:.2f}" in life.bills()[before]
    life.goes_to("2026-11-02")
    assert life.period == ("2026-11-01", "2026-12-01")
