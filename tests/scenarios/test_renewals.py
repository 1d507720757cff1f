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
from tests.scenarios.history import History
from tests.world import reading

MONTH = "1 seats × Team (at €10.00 / month) 10.00 = 10.00"


def test_monthly_renewals_follow_each_other(app: Flask) -> None:
    history = History.start(app).advance_to("2026-07-15")
    assert history.invoices() == [f"2026-05-01 paid: {MONTH}", f"2026-06-01 paid: {MONTH}", f"2026-07-01 paid: {MONTH}"]
    assert history.period == ("2026-07-01", "2026-08-01")
    assert history.subscription.status == "active"


@pytest.mark.case("D11")
@pytest.mark.both_databases
def test_month_ends_over_two_leap_years(app: Flask) -> None:
    start = at("2027-12-31")
    history = History.start(app, start)
    _restart(history, start)
    history.advance_to("2032-03-31 12:00:00")
    days = [bill[:10] for bill in history.invoices()]
    assert days[:4] == ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]
    assert days[-3:] == ["2032-01-31", "2032-02-29", "2032-03-31"]
    assert len(days) == 52
    assert all(bill.endswith(MONTH) for bill in history.invoices())


def _restart(history: History, start: int) -> None:
    """As if the subscription had begun at `start`, nothing billed yet."""
    with world.transaction() as session:
        from portal_site.billing.subscriptions import subscription_items

        subscription = session.merge(history.shop.subscription)
        subscription.billing_cycle_anchor = start
        for item in subscription_items.load_items(session, subscription):
            item.current_period_start = item.current_period_end = start
        subscription.due_at = start


def test_trial_to_paid(app: Flask) -> None:
    end = at("2026-04-15")
    history = History.start(app, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end)
    history.advance_to("2026-05-20")
    assert history.subscription.status == "active"
    # The first invoice is not before the trial ends, so it counts as the first here.
    assert history.invoices() == [f"2026-05-15 paid: {MONTH}"]
    assert history.period == ("2026-05-15", "2026-06-15")


def test_a_trial_without_a_card_becomes_past_due(app: Flask) -> None:
    end = at("2026-04-15")
    history = History.start(
        app, card=None, status="trialing", trial_start=world.START, trial_end=end, billing_cycle_anchor=end
    )
    history.advance_to("2026-04-16")
    assert history.subscription.status == "past_due"
    history.add_card()
    history.pay()
    assert history.subscription.status == "active"


@pytest.mark.both_databases
def test_failed_then_paid(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-05-02")
    assert history.subscription.status == "past_due"
    assert history.invoices() == [f"2026-05-01 open: {MONTH}"]
    history.add_card()
    history.advance_to("2026-05-04 00:00:01")
    assert history.invoices() == [f"2026-05-01 paid: {MONTH}"]
    assert history.subscription.status == "active"
    assert "customer.subscription.updated" in history.events


@pytest.mark.parametrize(("then", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")])
@pytest.mark.both_databases
def test_never_paid(app: Flask, then: str, status: str) -> None:
    history = History.start(app, card=world.FAILS)
    with world.transaction() as session:
        account = session.get(world.Account, history.shop.customer.account_id)
        assert account is not None
        account.dunning = {"retry_days": [1, 2], "then": then}
    history.advance_to("2026-05-03 23:00:00")
    assert history.subscription.status == "past_due"
    history.advance_to("2026-05-04 01:00:00")
    assert history.subscription.status == status
    # What is owed is for the three days that were there, unless it goes on.
    owed = "" if then == "past_due" else ", due 0.97"
    assert history.invoices() == [f"2026-05-01 open: {MONTH}{owed}"]
    assert history.events.count("invoice.payment_failed") == 3
    if then == "cancel":
        assert history.subscription.cancellation_details["reason"] == "payment_failed"
        history.advance_to("2026-08-01")
        assert len(history.invoices()) == 1


def test_a_cancellation_at_the_period_end_bills_no_further_period(app: Flask) -> None:
    history = History.start(app, cancel_at_period_end=True, canceled_at=world.START).advance_to("2026-06-15")
    assert history.invoices() == []
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", world.END)
    assert "customer.subscription.deleted" in history.events


def test_a_cancellation_inside_a_period_bills_up_to_the_end(app: Flask) -> None:
    end = at("2026-05-11")
    history = History.start(app, cancel_at=end).advance_to("2026-06-15")
    assert history.invoices() == [
        "2026-05-01 paid: Remaining time on Team after 01 May 2026 3.23 = 3.23"
    ]  # 10 of 31 days
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", end)


def test_each_of_several_items_is_billed_until_the_end(app: Flask) -> None:
    history = History.start(app)
    history.add_item(700, "week")
    history.add_discount(percent_off="50")
    history.advance_to("2026-04-16").cancel()
    history.advance_to("2026-06-15")
    weeks = [bill.partition(": ")[2] for bill in history.invoices()]
    assert weeks[:3] == ["1 × Extra (at €7.00 / week) 7.00, discount -3.50 = 3.50"] * 3
    assert weeks[3:] == ["Remaining time on Extra after 29 Apr 2026 2.00, discount -1.00 = 1.00"]  # 2 of 7 days
    assert (history.subscription.status, history.subscription.ended_at) == ("canceled", world.END)


def test_an_undone_cancellation_is_billed_from_the_period_on(app: Flask) -> None:
    history = History.start(app)
    history.add_item(700, "week")
    history.advance_to("2026-04-16").cancel()
    history.advance_to("2026-04-30").undo_cancellation()
    history.advance_to("2026-05-09")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()[3:]] == ["2.00", "17.00", "7.00"]
    assert [bill[:10] for bill in history.invoices()[3:]] == ["2026-04-29", "2026-05-01", "2026-05-08"]
    ledger.audit(history.shop.customer.account_id)


def test_a_paused_collection_resumes_automatically(app: Flask) -> None:
    history = History.start(app, pause_collection={"behavior": "void", "resumes_at": at("2026-06-10")})
    history.advance_to("2026-07-02")
    assert history.invoices() == [f"2026-07-01 paid: {MONTH}"]
    assert history.subscription.pause_collection is None


def test_a_sent_invoice_stays_open_until_it_is_paid(app: Flask) -> None:
    history = History.start(app, collection_method="send_invoice", days_until_due=14).advance_to("2026-05-20")
    assert history.invoices() == [f"2026-05-01 open: {MONTH}"]
    assert history.subscription.status == "active"


@pytest.mark.both_databases
def test_a_balance_is_carried_over_three_invoices(app: Flask) -> None:
    history = History.start(app, customer={"balance": -2500}).advance_to("2026-07-02")
    assert history.invoices() == [
        f"2026-05-01 paid: {MONTH}, due 0.00",
        f"2026-06-01 paid: {MONTH}, due 0.00",
        f"2026-07-01 paid: {MONTH}, due 5.00",
    ]
    assert history.balance == 0


@pytest.mark.case("D19")
def test_an_amount_below_the_minimum_charge_is_carried_over(app: Flask) -> None:
    history = History.start(app, customer={"balance": -980}).advance_to("2026-06-02")
    assert history.invoices() == [f"2026-05-01 paid: {MONTH}, due 0.00", f"2026-06-01 paid: {MONTH}, due 10.20"]
    assert history.balance == 0


@pytest.mark.case("D19")
def test_a_full_discount_calls_no_gateway(app: Flask) -> None:
    history = History.start(app, card=None)
    history.add_discount(percent_off="100")
    history.advance_to("2026-05-02")
    assert history.invoices() == ["2026-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00, discount -10.00 = 0.00"]
    assert history.subscription.status == "active"


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
def test_the_gateway_is_called_only_for_due_amounts(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    credit: int,
    percent_off: str | None,
    price: str | None,
    quantity: int,
    asked: list[int],
) -> None:
    history = History.start(app, customer={"balance": credit}).advance_to("2026-04-01")
    if percent_off:
        history.add_discount(percent_off=percent_off)
    calls: list[int] = []
    gateway = app.extensions["gateways"].shared("sandbox")
    charge = gateway.charge

    def counted(request: ChargeRequest) -> Charge:
        calls.append(request.amount)
        return charge(request)

    monkeypatch.setattr(gateway, "charge", counted)
    history.advance_to("2026-04-16").change_plan(price, quantity)
    history.advance_to("2026-05-02")
    assert [bill[11:15] for bill in history.invoices()] == ["paid", "paid"]
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
    history = History.start(app)
    history.add_discount(**coupon)
    history.advance_to("2026-07-02")
    assert [bill.rpartition("= ")[2] for bill in history.invoices()] == totals


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
def test_exclusive_inclusive_and_no_tax(app: Flask, inclusive: bool, customer: dict[str, Any], bill: str) -> None:
    history = History.start(app, tax=[{**TAX, "inclusive": inclusive}], customer=customer).advance_to("2026-05-02")
    assert history.invoices() == [f"2026-05-01 paid: 1 seats × Team (at €10.00 / month) {bill}"]


@pytest.mark.parametrize(("currency", "amount"), [("jpy", "1000"), ("kwd", "1.000"), ("usd", "10.00")])
@pytest.mark.case("D15")
def test_yen_and_dinar(app: Flask, currency: str, amount: str) -> None:
    history = History.start(app, currency=currency).advance_to("2026-05-02")
    assert history.invoices()[0].endswith(f"{amount} = {amount}")


@pytest.mark.case("D14")
@pytest.mark.both_databases
def test_a_late_run_catches_up_in_order(app: Flask) -> None:
    from portal_site.billing.billing_run import runner

    history = History.start(app)
    with world.transaction() as session:
        session.merge(history.shop.customer).test_clock_id = None
    with history.gateways() as gateway:
        runner.run(gateway, at("2026-07-02"), lambda _: "")
    assert [bill[:10] for bill in history.invoices()] == ["2026-07-02"] * 3
    assert history.period == ("2026-07-01", "2026-08-01")


@pytest.mark.case("D14")
@pytest.mark.both_databases
def test_a_subscription_too_far_behind_is_parked(app: Flask) -> None:
    history = History.start(app)
    with world.transaction() as session:
        session.merge(history.shop.customer).test_clock_id = None
    from portal_site.billing.billing_run import runner

    with history.gateways() as gateway:
        report = runner.run(gateway, at("2028-04-02"), lambda _: "")
    assert report.batch.parked == 1
    assert history.invoices() == []
    assert history.subscription.billing_error == "more than 15 periods behind"


@pytest.mark.both_databases
def test_an_invoice_keeps_the_names_and_address_of_its_date(app: Flask) -> None:
    history = History.start(app, customer={"address": {"line1": "1 rue de la Paix", "country": "FR"}})
    history.advance_to("2026-05-02")
    with transaction() as session:
        customer = session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one()
        customer.name, customer.address = "Hedda Holm", {"line1": "Storgata 1", "country": "NO"}
    history.advance_to("2026-06-02")
    with reading() as reader:
        columns = Invoice.customer_name, Invoice.customer_address
        mine = Invoice.customer_id == history.shop.customer.id, Invoice.billing_reason == "subscription_cycle"
        found = reader.execute(select(*columns).where(*mine).order_by(Invoice.created)).all()[1:]
    assert [(name, address["line1"]) for name, address in found] == [
        ("Hedda Berg", "1 rue de la Paix"),
        ("Hedda Holm", "Storgata 1"),
    ]


@pytest.mark.parametrize("point", [0, 3, 9, 20, 40])
@pytest.mark.both_databases
def test_a_killed_advance_of_a_test_clock_can_be_repeated(app: Flask, point: int) -> None:
    history = History.start(app)
    # What the killed program had in its hands is no use to the next one.
    history.shop.customer = SimpleNamespace(id=history.shop.customer.id, account_id=history.shop.customer.account_id)  # type: ignore[assignment]
    with pytest.raises(Killed), killing(point):
        history.advance_to("2026-07-02")
    db.session.remove()
    history.advance_to("2026-07-02")
    assert [bill[:15] for bill in history.invoices()] == ["2026-05-01 paid", "2026-06-01 paid", "2026-07-01 paid"]
    ledger.audit(history.shop.customer.account_id)
