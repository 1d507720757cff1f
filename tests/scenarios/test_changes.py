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
from tests.scenarios.history import History
from tests.world import reading

AT_ONCE = {"proration_behavior": "always_invoice"}
WAITING = {"proration_behavior": "create_prorations"}
NONE = {"proration_behavior": "none"}
DOWN = {"schedule_at_period_end": ("decreasing_item_amount", "shortening_interval")}
DAY = 24 * 60 * 60
TEAM = "seats × Team (at €10.00 / month)"
UNUSED, LEFT = "Unused time on", "Remaining time on"


def test_an_upgrade_in_mid_period_and_the_next_renewal(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.change_plan(quantity=3)
    history.advance_to("2026-06-02")
    assert history.invoices() == [
        f"2026-04-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00, {LEFT} 3 × Team after 16 Apr 2026 15.00 = 10.00",
        f"2026-05-01 paid: 3 {TEAM} 30.00 = 30.00",
        f"2026-06-01 paid: 3 {TEAM} 30.00 = 30.00",
    ]


def test_three_changes_in_one_period(app: Flask) -> None:
    history = History.start(app)
    for day, quantity in (("2026-04-11", 3), ("2026-04-16", 1), ("2026-04-21", 4)):
        history.advance_to(day)
        history.change_plan(quantity=quantity)
    history.advance_to("2026-05-02")
    assert history.invoices() == [
        f"2026-04-11 paid: {UNUSED} Team after 11 Apr 2026 -6.67, {LEFT} 3 × Team after 11 Apr 2026 20.00 = 13.33",
        f"2026-04-16 paid: {UNUSED} 3 × Team after 16 Apr 2026 -15.00, {LEFT} Team after 16 Apr 2026 5.00 = -10.00, due 0.00",
        f"2026-04-21 paid: {UNUSED} Team after 21 Apr 2026 -3.33, {LEFT} 4 × Team after 21 Apr 2026 13.33 = 10.00, due 0.00",
        f"2026-05-01 paid: 4 {TEAM} 40.00 = 40.00",
    ]
    assert history.balance == 0


@pytest.mark.parametrize(
    ("discounted", "credit", "of", "days"),
    [(False, -1000, 3000, 30), (True, -500, 1000, 20)],
    ids=["by the plan's price", "by what was charged, if that was less"],
)
def test_the_credit_of_a_second_change_in_a_period_is_explained(
    app: Flask, discounted: bool, credit: int, of: int, days: int
) -> None:
    history = History.start(app)
    if discounted:
        history.add_discount(percent_off="50", duration="forever")
    history.advance_to("2026-04-11")
    history.change_plan(quantity=3)
    history.advance_to("2026-04-21")
    unused = history.quote(quantity=1).invoice.lines[0]
    assert (unused.amount, unused.full_amount) == (credit, of)
    assert unused.proration is not None
    assert (unused.proration.seconds, unused.proration.period_seconds) == (10 * DAY, days * DAY)


def test_create_prorations_defers_lines_to_the_next_invoice(app: Flask) -> None:
    history = History.start(app, policy=WAITING).advance_to("2026-04-16")
    history.change_plan(quantity=2)
    assert history.invoices() == []
    history.advance_to("2026-05-02")
    assert history.invoices() == [
        f"2026-05-01 paid: {UNUSED} Team after 16 Apr 2026 -5.00, {LEFT} 2 × Team after 16 Apr 2026 10.00, "
        f"2 {TEAM} 20.00 = 25.00",
    ]


def test_without_proration_only_the_next_invoice_changes(app: Flask) -> None:
    history = History.start(app, policy=NONE).advance_to("2026-04-16")
    history.change_plan("solo")
    assert history.item.price_id == history.shop.prices["solo"].id
    history.advance_to("2026-05-02")
    assert history.invoices() == ["2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]


def test_month_to_year_and_back_to_month(app: Flask) -> None:
    history = History.start(app).advance_to("2026-04-16")
    history.change_plan("year")
    assert history.period == ("2026-04-01", "2027-04-01")
    history.advance_to("2026-06-16")
    history.change_plan("team")
    assert history.period == ("2026-06-01", "2026-07-01")
    bills = history.invoices()
    assert bills[0] == (
        f"2026-04-16 paid: {UNUSED} Team after 16 Apr 2026 -5.00, {LEFT} Team after 16 Apr 2026 95.89 = 90.89"
    )
    assert bills[1] == (
        f"2026-06-16 paid: {UNUSED} Team after 16 Jun 2026 -79.18, {LEFT} Team after 16 Jun 2026 5.00"
        " = -74.18, due 0.00"
    )
    history.advance_to("2026-08-02")
    assert [bill.rpartition(", due ")[2] for bill in history.invoices()[2:]] == ["0.00", "0.00"]
    assert history.balance == -5418


def test_the_billing_date_restarts(app: Flask) -> None:
    history = History.start(app, policy=AT_ONCE | {"billing_cycle_anchor": "now"}).advance_to("2026-04-16")
    history.change_plan(quantity=2)
    history.advance_to("2026-05-17")
    assert history.invoices() == [
        f"2026-04-16 paid: Unused time on Team after 16 Apr 2026 -5.00, 2 {TEAM} 20.00 = 15.00",
        f"2026-05-16 paid: 2 {TEAM} 20.00 = 20.00",
    ]


@pytest.mark.parametrize(("price", "quantity", "bill"), [
    ("solo", 1, "1 × Solo (at €4.00 / month) 4.00 = 4.00"),
    (None, 2, f"2 {TEAM} 20.00 = 20.00"),
])  # fmt: skip
def test_a_downgrade_takes_effect_at_the_end_of_the_period(
    app: Flask, price: str | None, quantity: int, bill: str
) -> None:
    history = History.start(app, quantity=3, policy=AT_ONCE | DOWN).advance_to("2026-04-16")
    assert history.change_plan(price, quantity).outcome == "scheduled"
    history.advance_to("2026-04-30")
    assert history.item.quantity == 3
    history.advance_to("2026-06-02")
    assert history.invoices() == [f"2026-05-01 paid: {bill}", f"2026-06-01 paid: {bill}"]
    assert "subscription_schedule.created" in history.events
    assert "subscription_schedule.released" in history.events


def test_a_shorter_interval_takes_effect_at_the_end_of_the_year(app: Flask) -> None:
    policy = AT_ONCE | {"schedule_at_period_end": ("shortening_interval",)}
    history = History.start(app, policy=policy).advance_to("2026-04-16")
    history.change_plan("year")
    history.advance_to("2026-09-01")
    change = history.change_plan("team")
    assert change.outcome == "scheduled"
    history.advance_to("2027-05-02")
    assert history.invoices()[1:] == [
        f"2027-04-01 paid: 1 {TEAM} 10.00 = 10.00",
        f"2027-05-01 paid: 1 {TEAM} 10.00 = 10.00",
    ]


@pytest.mark.both_databases
def test_an_undone_downgrade_leaves_no_trace(app: Flask) -> None:
    history = History.start(app, quantity=3, policy=AT_ONCE | DOWN).advance_to("2026-04-16")
    history.change_plan(quantity=1)
    history.undo_planned_change()
    with pytest.raises(BillingError):
        history.undo_planned_change()
    history.advance_to("2026-05-02")
    assert history.invoices() == [f"2026-05-01 paid: 3 {TEAM} 30.00 = 30.00"]


@pytest.mark.parametrize("trial", ["end_trial", "continue_trial"])
def test_a_change_in_a_trial(app: Flask, trial: str) -> None:
    end = at("2026-04-30")
    history = History.start(
        app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end,
        policy=AT_ONCE | {"trial_update_behavior": trial},
    ).advance_to("2026-04-10")  # fmt: skip
    history.change_plan(quantity=2)
    history.advance_to("2026-06-15")
    days = [bill[:10] for bill in history.invoices()]
    if trial == "end_trial":
        assert (history.subscription.status, history.subscription.trial_end) == ("active", at("2026-04-10"))
        assert days == ["2026-05-10", "2026-06-10"]  # the first was on 10 April
    else:
        assert history.subscription.trial_end == end
        assert days == ["2026-05-30"]  # the first was on 30 April
    assert all(f"2 {TEAM} 20.00 = 20.00" in bill for bill in history.invoices())


def test_a_coupon_continues_after_a_change(app: Flask) -> None:
    history = History.start(app)
    history.add_discount(percent_off="50")
    history.advance_to("2026-05-16")
    history.change_plan(quantity=3)
    history.advance_to("2026-06-02")
    assert history.invoices() == [
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
    history = History.start(app).advance_to("2026-04-16")
    history.change_plan(quantity=3, code=history.create_code(**coupon))
    history.advance_to("2026-05-02")
    assert history.invoices()[0].endswith(now)
    assert history.invoices()[1].endswith(then)


@pytest.mark.both_databases
def test_declined_then_paid_within_a_day(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    assert history.change_plan(quantity=3).outcome == "pending"
    assert history.item.quantity == 1
    history.advance_to("2026-04-16 20:00:00")
    history.add_card()
    history.pay()
    assert history.item.quantity == 3
    assert history.invoices()[0].startswith("2026-04-16 paid")
    assert "customer.subscription.pending_update_applied" in history.events
    history.advance_to("2026-05-02")
    assert len(history.invoices()) == 2


@pytest.mark.both_databases
def test_declined_and_never_paid(app: Flask) -> None:
    history = History.start(app, card=world.FAILS, customer={"balance": -300}).advance_to("2026-04-16")
    history.change_plan(quantity=3)
    assert history.balance == 0
    history.advance_to("2026-04-17 00:00:00")
    assert history.invoices()[0].startswith("2026-04-16 void")
    assert history.balance == -300
    assert (history.item.quantity, history.subscription.pending_update, history.subscription.status) == (
        1,
        None,
        "active",
    )
    assert "customer.subscription.pending_update_expired" in history.events
    assert "invoice.voided" in history.events


@pytest.mark.both_databases
def test_pending_lines_return_when_a_pending_update_expires(app: Flask) -> None:
    history = History.start(app, policy=WAITING).advance_to("2026-04-11")
    history.change_plan(quantity=2)
    history.add_card(world.FAILS)
    history.advance_to("2026-04-16")
    assert history.change_plan("year").outcome == "pending"
    history.advance_to("2026-04-18")
    history.add_card()
    history.advance_to("2026-05-02")
    assert history.invoices()[1] == (
        f"2026-05-01 paid: {UNUSED} Team after 11 Apr 2026 -6.67, {LEFT} 2 × Team after 11 Apr 2026 13.33, "
        f"2 {TEAM} 20.00 = 26.66"
    )


@pytest.mark.case("D20")
@pytest.mark.both_databases
def test_a_credit_stays_pending_when_its_invoice_is_voided(app: Flask) -> None:
    """Three changes wait, each crediting the one before; a fourth, never paid, takes them all and gives them back."""
    history = History.start(app, policy=WAITING).advance_to("2026-04-11")
    history.change_plan(quantity=4)
    history.advance_to("2026-04-16")
    history.change_plan(quantity=2)
    history.add_card(world.FAILS)
    assert history.change_plan("year").outcome == "pending"
    history.advance_to("2026-04-21")
    history.change_plan("team", 1)
    ledger.no_time_is_billed_twice(history.shop.customer.account_id)
    history.add_card()
    history.advance_to("2026-05-02")
    # Ten days at 10.00, five at 40.00, five at 20.00 and ten at 10.00, of which 10.00 are paid.
    assert history.invoices()[1].endswith("1 seats × Team (at €10.00 / month) 10.00 = 16.66")
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.case("D20")
def test_a_paid_line_is_credited_only_once(app: Flask) -> None:
    """There are no refunds: only unused, paid time is credited, and each line only once."""
    history = History.start(app, quantity=4).advance_to("2026-04-11")
    for quantity in (2, 6, 1, 5, 1):
        history.change_plan(quantity=quantity)
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
        plan_changes.withdraw(history.shop.customer.id, history.shop.subscription.id, history.now)  # paid, so it stays
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_renewal_discards_an_unpaid_pending_update(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-30 12:00:00")
    assert history.change_plan(quantity=30).outcome == "pending"
    history.add_card()
    history.advance_to("2026-05-01 00:00:00")
    assert [bill[:15] for bill in history.invoices()] == ["2026-04-30 void", "2026-05-01 paid"]
    assert history.invoices()[1].endswith("= 10.00")


@pytest.mark.parametrize("inclusive", [True, False])
def test_tax_follows_the_change(app: Flask, inclusive: bool) -> None:
    tax = {"id": "txr_1", "display_name": "VAT", "percentage": "20", "inclusive": inclusive}
    history = History.start(app, tax=[tax]).advance_to("2026-04-16")
    history.change_plan(quantity=3)
    told = "15.00 (tax 1.66) = 10.00" if inclusive else "15.00, tax 2.00 = 12.00"
    assert history.invoices()[0].endswith(told)


@pytest.mark.both_databases
def test_a_merchants_schedule_is_kept_and_applied(app: Flask) -> None:
    history = History.start(app, quantity=3)
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, history.shop.customer.account_id))
        subscription = session.merge(history.shop.subscription)
        made.schedule(subscription, history.shop.prices["solo"], 1, world.END, origin="merchant")
    history.advance_to("2026-04-16")
    with pytest.raises(BillingError, match="arranged with us"):
        history.change_plan(quantity=5)
    history.advance_to("2026-05-02")
    assert history.invoices() == ["2026-05-01 paid: 1 × Solo (at €4.00 / month) 4.00 = 4.00"]


@pytest.mark.case("D15")
@pytest.mark.parametrize(("currency", "bill"), [("jpy", f"-500, {LEFT} 3 × Team after 16 Apr 2026 1500 = 1000"),
                                                ("kwd", f"-0.500, {LEFT} 3 × Team after 16 Apr 2026 1.500 = 1.000")])  # fmt: skip
def test_yen_and_dinar(app: Flask, currency: str, bill: str) -> None:
    history = History.start(app, currency=currency).advance_to("2026-04-16")
    history.change_plan(quantity=3)
    assert history.invoices()[0].endswith(bill)


@pytest.mark.case("D12")
def test_a_daylight_saving_change_does_not_affect_proration(app: Flask) -> None:
    """A customer in Paris changes at 3:30 on the night of 25 October, which has 25 hours there: seconds are counted."""
    history = History.start(app, customer={"timezone": "Europe/Paris"}).advance_to("2026-10-25 02:30:00")
    before = len(history.invoices())
    history.change_plan(quantity=2)
    left = at("2026-11-01") - history.now
    whole = at("2026-11-01") - at("2026-10-01")
    credit = round(1000 * left / whole)
    assert f"-{credit / 100:.2f}" in history.invoices()[before]
    history.advance_to("2026-11-02")
    assert history.period == ("2026-11-01", "2026-12-01")
