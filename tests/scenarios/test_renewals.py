"""Scenarios of renewals: after a trial, to an end, with failed payments, and with recovery."""

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.gateways import Charge, ChargeRequest
from portal_site.billing.models import Customer, Invoice
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.proofs.kills import Killed, killing
from tests.scenarios.life import Life
from tests.world import reading

MONTH = "1 seats × Team (at €10.00 / month) 10.00 = 10.00"


def test_a_month_follows_the_other(app: Flask) -> None:
    life = Life.begins(app).goes_to("2026-07-15")
    assert life.bills() == [f"2026-05-01 paid: {MONTH}", f"2026-06-01 paid: {MONTH}", f"2026-07-01 paid: {MONTH}"]
    assert life.period == ("2026-07-01", "2026-08-01")
    assert life.subscription.status == "active"


@pytest.mark.case("D11")
@pytest.mark.both_databases
def test_month_ends_over_two_leap_years(app: Flask) -> None:
    start = at("2027-12-31")
    life = Life.begins(app, start)
    _restart(life, start)
    life.goes_to("2032-03-31 12:00:00")
    days = [bill[:10] for bill in life.bills()]
    assert days[:4] == ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]
    assert days[-3:] == ["2032-01-31", "2032-02-29", "2032-03-31"]
    assert len(days) == 52
    assert all(bill.endswith(MONTH) for bill in life.bills())


def _restart(life: Life, start: int) -> None:
    """As if the subscription had begun at `start`, nothing billed yet."""
    with world.transaction() as session:
        from portal_site.billing.subscriptions import subscription_items

        subscription = session.merge(life.shop.subscription)
        subscription.billing_cycle_anchor = start
        for item in subscription_items.load_items(session, subscription):
            item.current_period_start = item.current_period_end = start
        subscription.due_at = start


def test_trial_to_paid(app: Flask) -> None:
    end = at("2026-04-15")
    life = Life.begins(app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end)
    life.goes_to("2026-05-20")
    assert life.subscription.status == "active"
    # The first invoice is not before the trial ends, so it counts as the first here.
    assert life.bills() == [f"2026-05-15 paid: {MONTH}"]
    assert life.period == ("2026-05-15", "2026-06-15")


def test_a_trial_without_a_card_becomes_past_due(app: Flask) -> None:
    end = at("2026-04-15")
    life = Life.begins(
        app, card=None, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end
    )
    life.goes_to("2026-04-16")
    assert life.subscription.status == "past_due"
    life.gets_a_card()
    life.pays()
    assert life.subscription.status == "active"


@pytest.mark.both_databases
def test_failed_then_paid(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-05-02")
    assert life.subscription.status == "past_due"
    assert life.bills() == [f"2026-05-01 open: {MONTH}"]
    life.gets_a_card()
    life.goes_to("2026-05-04 00:00:01")
    assert life.bills() == [f"2026-05-01 paid: {MONTH}"]
    assert life.subscription.status == "active"
    assert "customer.subscription.updated" in life.events


@pytest.mark.parametrize(("then", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")])
@pytest.mark.both_databases
def test_never_paid(app: Flask, then: str, status: str) -> None:
    life = Life.begins(app, card=world.FAILS)
    with world.transaction() as session:
        account = session.get(world.Account, life.shop.customer.account_id)
        assert account is not None
        account.dunning = {"retry_days": [1, 2], "then": then}
    life.goes_to("2026-05-03 23:00:00")
    assert life.subscription.status == "past_due"
    life.goes_to("2026-05-04 01:00:00")
    assert life.subscription.status == status
    # What is owed is for the three days that were there, unless it goes on.
    owed = "" if then == "past_due" else ", due 0.97"
    assert life.bills() == [f"2026-05-01 open: {MONTH}{owed}"]
    assert life.events.count("invoice.payment_failed") == 3
    if then == "cancel":
        assert life.subscription.cancellation_details["reason"] == "payment_failed"
        life.goes_to("2026-08-01")
        assert len(life.bills()) == 1


def test_it_ends_with_its_period(app: Flask) -> None:
    life = Life.begins(app, cancel_at_period_end=True, canceled_at=world.START).goes_to("2026-06-15")
    assert life.bills() == []
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", world.END)
    assert "customer.subscription.deleted" in life.events


def test_it_ends_inside_a_period(app: Flask) -> None:
    end = at("2026-05-11")
    life = Life.begins(app, cancel_at=end).goes_to("2026-06-15")
    assert life.bills() == ["2026-05-01 paid: Remaining time on Team after 01 May 2026 3.23 = 3.23"]  # 10 of 31 days
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", end)


def test_of_several_items_each_is_billed_until_the_end(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_item(700, "week")
    life.gets_a_discount(percent_off="50")
    life.goes_to("2026-04-16").cancels()
    life.goes_to("2026-06-15")
    weeks = [bill.partition(": ")[2] for bill in life.bills()]
    assert weeks[:3] == ["1 × Extra (at €7.00 / week) 7.00, discount -3.50 = 3.50"] * 3
    assert weeks[3:] == ["Remaining time on Extra after 29 Apr 2026 2.00, discount -1.00 = 1.00"]  # 2 of 7 days
    assert (life.subscription.status, life.subscription.ended_at) == ("canceled", world.END)


def test_who_stays_after_all_is_billed_on_from_there(app: Flask) -> None:
    life = Life.begins(app)
    life.gets_item(700, "week")
    life.goes_to("2026-04-16").cancels()
    life.goes_to("2026-04-30").keeps()
    life.goes_to("2026-05-09")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()[3:]] == ["2.00", "17.00", "7.00"]
    assert [bill[:10] for bill in life.bills()[3:]] == ["2026-04-29", "2026-05-01", "2026-05-08"]
    ledger.audit(life.shop.customer.account_id)


def test_what_collects_nothing_goes_on_by_itself(app: Flask) -> None:
    life = Life.begins(app, pause_collection={"behavior": "void", "resumes_at": at("2026-06-10")})
    life.goes_to("2026-07-02")
    assert life.bills() == [f"2026-07-01 paid: {MONTH}"]
    assert life.subscription.pause_collection is None


def test_an_invoice_is_sent_and_waits(app: Flask) -> None:
    life = Life.begins(app, collection_method="send_invoice", days_until_due=14).goes_to("2026-05-20")
    assert life.bills() == [f"2026-05-01 open: {MONTH}"]
    assert life.subscription.status == "active"


@pytest.mark.both_databases
def test_a_balance_is_carried_over_three_invoices(app: Flask) -> None:
    life = Life.begins(app, customer={"balance": -2500}).goes_to("2026-07-02")
    assert life.bills() == [
        f"2026-05-01 paid: {MONTH}, due 0.00",
        f"2026-06-01 paid: {MONTH}, due 0.00",
        f"2026-07-01 paid: {MONTH}, due 5.00",
    ]
    assert life.balance == 0


@pytest.mark.case("D19")
def test_less_than_can_be_charged_waits_for_the_next(app: Flask) -> None:
    life = Life.begins(app, customer={"balance": -980}).goes_to("2026-06-02")
    assert life.bills() == [f"2026-05-01 paid: {MONTH}, due 0.00", f"2026-06-01 paid: {MONTH}, due 10.20"]
    assert life.balance == 0


@pytest.mark.case("D19")
def test_a_coupon_for_everything_calls_nobody(app: Flask) -> None:
    life = Life.begins(app, card=None)
    life.gets_a_discount(percent_off="100")
    life.goes_to("2026-05-02")
    assert life.bills() == ["2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00, discount -10.00 = 0.00"]
    assert life.subscription.status == "active"


@pytest.mark.case("D19")
@pytest.mark.parametrize(
    ("credit", "percent_off", "price", "quantity", "asked"),
    [
        pytest.param(0, None, None, 2, [500, 2000], id="as usual"),
        pytest.param(0, "100", None, 2, [], id="a coupon for everything"),
        pytest.param(-5000, None, None, 2, [], id="credit covers all"),
        pytest.param(-2475, None, None, 2, [], id="the rest is less than can be charged"),
        pytest.param(0, None, "solo", 1, [100], id="a credit, and less than a renewal"),
    ],
)
def test_the_gateway_is_asked_for_what_is_due_and_for_nothing_else(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    credit: int,
    percent_off: str | None,
    price: str | None,
    quantity: int,
    asked: list[int],
) -> None:
    life = Life.begins(app, customer={"balance": credit}).goes_to("2026-04-01")
    if percent_off:
        life.gets_a_discount(percent_off=percent_off)
    calls: list[int] = []
    gateway = app.extensions["gateways"].default
    charge = gateway.charge

    def counted(request: ChargeRequest) -> Charge:
        calls.append(request.amount)
        return charge(request)

    monkeypatch.setattr(gateway, "charge", counted)
    life.goes_to("2026-04-16").changes(price, quantity)
    life.goes_to("2026-05-02")
    assert [bill[11:15] for bill in life.bills()] == ["paid", "paid"]
    assert calls == asked


@pytest.mark.parametrize(
    ("coupon", "totals"),
    [
        ({"percent_off": "25"}, ["7.50", "7.50", "7.50"]),
        ({"amount_off": 300, "currency": "eur"}, ["7.00", "7.00", "7.00"]),
        ({"percent_off": "25", "duration": "once"}, ["7.50", "10.00", "10.00"]),
        ({"percent_off": "25", "duration": "repeating", "end": at("2026-06-15")}, ["7.50", "7.50", "10.00"]),
    ],
)
def test_coupons_last_as_long_as_they_say(app: Flask, coupon: dict[str, Any], totals: list[str]) -> None:
    life = Life.begins(app)
    life.gets_a_discount(**coupon)
    life.goes_to("2026-07-02")
    assert [bill.rpartition("= ")[2] for bill in life.bills()] == totals


TAX = {"id": "txr_1", "display_name": "VAT", "percentage": "20"}


@pytest.mark.parametrize(
    ("inclusive", "customer", "bill"),
    [
        (False, {}, "10.00, tax 2.00 = 12.00"),
        (True, {}, "10.00 (tax 1.67) = 10.00"),
        (False, {"tax_exempt": "exempt"}, "10.00 = 10.00"),
        (False, {"tax_exempt": "reverse"}, "10.00 = 10.00"),
    ],
)
def test_tax_is_on_top_inside_or_none(app: Flask, inclusive: bool, customer: dict[str, Any], bill: str) -> None:
    life = Life.begins(app, tax=[{**TAX, "inclusive": inclusive}], customer=customer).goes_to("2026-05-02")
    assert life.bills() == [f"2026-05-01 paid: 1 seats × Team (at €10.00 / month) {bill}"]


@pytest.mark.parametrize(("currency", "amount"), [("jpy", "1000"), ("kwd", "1.000"), ("usd", "10.00")])
@pytest.mark.case("D15")
def test_yen_and_dinar(app: Flask, currency: str, amount: str) -> None:
    life = Life.begins(app, currency=currency).goes_to("2026-05-02")
    assert life.bills()[0].endswith(f"{amount} = {amount}")


@pytest.mark.case("D14")
@pytest.mark.both_databases
def test_a_worker_that_was_away_catches_up_in_order(app: Flask) -> None:
    from portal_site.billing.billing_run import runner

    life = Life.begins(app)
    with world.transaction() as session:
        session.merge(life.shop.customer).test_clock_id = None
    with life._context() as gateway:
        runner.run(gateway, at("2026-07-02"), lambda _: "")
    assert [bill[:10] for bill in life.bills()] == ["2026-07-02"] * 3
    assert life.period == ("2026-07-01", "2026-08-01")


@pytest.mark.case("D14")
@pytest.mark.both_databases
def test_one_that_is_too_far_behind_is_parked_for_somebody_to_look_at(app: Flask) -> None:
    life = Life.begins(app)
    with world.transaction() as session:
        session.merge(life.shop.customer).test_clock_id = None
    from portal_site.billing.billing_run import runner

    with life._context() as gateway:
        report = runner.run(gateway, at("2028-04-02"), lambda _: "")
    assert report.batch.parked == 1
    assert life.bills() == []
    assert life.subscription.billing_error == "more than 15 periods behind"


@pytest.mark.both_databases
def test_an_invoice_keeps_the_names_and_the_address_of_its_day(app: Flask) -> None:
    life = Life.begins(app, customer={"address": {"line1": "1 rue de la Paix", "country": "FR"}})
    life.goes_to("2026-05-02")
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == life.shop.customer.id)).one()
        customer.name, customer.address = "Hedda Holm", {"line1": "Storgata 1", "country": "NO"}
    life.goes_to("2026-06-02")
    with reading() as reader:
        columns = Invoice.customer_name, Invoice.customer_address
        mine = Invoice.customer_id == life.shop.customer.id, Invoice.billing_reason == "subscription_cycle"
        found = reader.execute(select(*columns).where(*mine).order_by(Invoice.created)).all()[1:]
    assert [(name, address["line1"]) for name, address in found] == [
        ("Hedda Berg", "1 rue de la Paix"),
        ("Hedda Holm", "Storgata 1"),
    ]


@pytest.mark.parametrize("point", [0, 3, 9, 20, 40])
@pytest.mark.both_databases
def test_a_clock_whose_advance_was_killed_goes_on_from_there(app: Flask, point: int) -> None:
    life = Life.begins(app)
    # What the killed program had in its hands is no use to the next one.
    life.shop.customer = SimpleNamespace(id=life.shop.customer.id, account_id=life.shop.customer.account_id)  # type: ignore[assignment]
    with pytest.raises(Killed), killing(point):
        life.goes_to("2026-07-02")
    db.session.remove()
    life.goes_to("2026-07-02")
    assert [bill[:15] for bill in life.bills()] == ["2026-05-01 paid", "2026-06-01 paid", "2026-07-01 paid"]
    ledger.audit(life.shop.customer.account_id)
