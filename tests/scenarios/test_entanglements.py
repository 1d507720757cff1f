"""Scenarios of shared state: two subscriptions with one code, coupon or balance, and a debt that is paid long after."""

from dataclasses import asdict

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.billing_run import batches, runner
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Account, Customer, Discount, Invoice, Price, Subscription, SubscriptionSchedule
from portal_site.billing.payments import collection
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.scenarios.life import Life
from tests.world import reading

DAY = 24 * 60 * 60


def _second(life: Life) -> Life:
    """The same customer's second subscription, like the first one."""
    shop = life.shop
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, shop.customer.account_id))
        buyer = session.scalars(select(Customer).where(Customer.id == shop.customer.id)).one()
        subscription = made.subscription(
            buyer, [(session.merge(shop.prices["team"]), 1)], started=0, created=world.START, start_date=world.START,
            billing_cycle_anchor=world.START,
        )  # fmt: skip
        item = subscription_items.load_items(session, subscription)[0]
        item.current_period_start, item.current_period_end = world.START, world.END
        due_dates.recompute_due_at(session, subscription, [item], world.START)
        world._bill_first(made, buyer, subscription, ())
    other = world.Shop(shop.merchant, shop.customer, subscription, shop.prices, item.id, shop.features, shop.method)
    return Life(life.app, other, life.clock_id, life.now)


def _count(kind: type, *where: object) -> int:
    db.session.remove()
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(kind).where(*where)) or 0  # type: ignore[arg-type]


@pytest.mark.case("D4")
def test_a_code_in_a_change_that_waits_for_its_payment_is_used(app: Flask) -> None:
    first = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    second = _second(first)
    code = first.code(percent_off="10")
    assert first.changes(quantity=3, code=code).outcome == "pending"
    with pytest.raises(BillingError, match="already used this code"):
        second.changes(quantity=3, code=code)
    first.gets_a_card()
    first.pays()
    assert _count(Discount) == 1
    ledger.audit(first.shop.customer.account_id)


@pytest.mark.case("D4")
def test_a_payment_is_never_lost_over_a_code_that_was_used_elsewhere(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    code = life.code(percent_off="10")
    assert life.changes(quantity=3, code=code).outcome == "pending"
    with transaction() as session:  # as it may have been when nobody looked at what waits
        waiting = session.scalars(select(Subscription).where(Subscription.customer_id == life.shop.customer.id)).one()
        assert waiting.pending_update
        assert waiting.pending_update.discount
        known = {**asdict(waiting.pending_update.discount), "id": new_id("di")}
        session.add(Discount(account_id=waiting.account_id, customer_id=waiting.customer_id, **known))
    life.gets_a_card()
    paid = life.pays()
    assert paid
    assert paid.status == "succeeded"
    assert life.item.quantity == 3
    assert _count(SandboxCharge, SandboxCharge.status == "succeeded") == 1


@pytest.mark.both_databases
def test_a_coupon_that_a_waiting_change_uses_is_not_used_by_another_subscription(app: Flask) -> None:
    first = Life.begins(app, card=world.FAILS).goes_to("2026-04-16")
    second = _second(first)
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, first.shop.customer.account_id))
        coupon = made.coupon("Once", "once", amount_off=300, currency="eur")
        owner = {"account_id": first.shop.customer.account_id, "customer_id": first.shop.customer.id}
        session.add(Discount(id="di_once", coupon_id=coupon.id, start=world.START, **owner))
    assert first.quote(quantity=3).invoice.amount_due == 700
    assert first.changes(quantity=3).outcome == "pending"
    assert second.quote(quantity=3).invoice.amount_due == 1000
    first.gets_a_card()
    first.pays()
    assert second.changes(quantity=3).outcome == "applied"
    assert first.events.count("customer.discount.deleted") == 1
    ledger.audit(first.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_customers_coupon_for_one_invoice_is_for_one_of_two_that_come_at_once(app: Flask) -> None:
    life = Life.begins(app)
    _second(life)
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, life.shop.customer.account_id))
        coupon = made.coupon("Once", "once", amount_off=300, currency="eur")
        owner = {"account_id": life.shop.customer.account_id, "customer_id": life.shop.customer.id}
        session.add(Discount(id="di_once", coupon_id=coupon.id, start=world.START, **owner))
    life.goes_to("2026-05-01")
    with reading() as reader:
        renewed = select(Invoice.total).where(Invoice.cycle_at == world.END).order_by(Invoice.total)
        assert list(reader.scalars(renewed)) == [700, 1000]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_dunning_that_ends_a_subscription_ends_what_was_planned_for_it(app: Flask) -> None:
    life = Life.begins(app, policy={"schedule_at_period_end": ("shortening_interval",)})
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, life.shop.customer.account_id))
        made.schedule(session.merge(life.shop.subscription), life.shop.prices["solo"], 1, world.END + 200 * DAY)
    life.gets_a_card(world.FAILS)
    life.goes_to("2026-06-15")
    assert (life.subscription.status, life.subscription.due_at) == ("canceled", None)
    assert life.subscription.cancellation_details["reason"] == "payment_failed"
    assert _count(SubscriptionSchedule, SubscriptionSchedule.status == "canceled") == 1
    assert life.events.count("customer.subscription.deleted") == 1


def _in_dollars(app: Flask, balance: int) -> Life:
    """A customer whose balance is in dollars, on a plan in euros."""
    life = Life.begins(app, customer={"balance": balance}).goes_to("2026-04-16")
    with transaction() as session:
        session.scalars(select(Customer).where(Customer.id == life.shop.customer.id)).one().currency = "usd"
    return life


def _purse() -> tuple[int, str]:
    db.session.remove()
    with reading() as reader:
        row = reader.execute(select(Customer.balance, Customer.currency)).one()
        return row.balance, row.currency


def test_credit_never_mixes_currencies(app: Flask) -> None:
    life = _in_dollars(app, -500)
    life.changes(quantity=2)
    with pytest.raises(BillingError, match="another currency"):
        life.changes(quantity=1)  # its credit has no place
    assert life.item.quantity == 2
    assert _purse() == (-500, "usd")


def test_an_empty_purse_takes_on_the_currency_of_what_comes(app: Flask) -> None:
    life = _in_dollars(app, 0)
    life.changes(quantity=2)
    life.changes(quantity=1)
    assert _purse() == (-500, "eur")


def test_a_debt_that_is_paid_long_after_begins_a_new_period_and_bills_no_time_between(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS)
    with transaction() as session:
        account = session.get(Account, life.shop.customer.account_id)
        assert account
        account.dunning = {"retry_days": [1], "then": "unpaid"}
    life.goes_to("2026-08-15")
    assert (life.subscription.status, len(life.bills())) == ("unpaid", 1)
    life.gets_a_card()
    life.pays()
    life.goes_to("2026-08-16")
    assert life.subscription.status == "active"
    assert [bill[:15] for bill in life.bills()] == ["2026-05-01 paid", "2026-08-15 paid"]
    assert life.period == ("2026-08-15", "2026-09-15")
    ledger.audit(life.shop.customer.account_id)


def test_what_was_paid_for_longer_is_not_billed_again_when_a_debt_is_paid(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS)
    with transaction() as session:
        account = session.get(Account, life.shop.customer.account_id)
        assert account
        account.dunning = {"retry_days": [1], "then": "unpaid"}
    life.gets_item(12000, "year")
    life.goes_to("2026-08-15")
    assert life.subscription.status == "unpaid"
    life.gets_a_card()
    life.pays()
    life.goes_to("2026-08-16")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["10.00, due 0.32", "10.00"]


def test_a_purse_in_another_currency_leaves_nothing_for_later(app: Flask) -> None:
    life = _in_dollars(app, -500)
    with transaction() as session:
        price = session.get(Price, life.shop.prices["team"].id)
        assert price
        price.unit_amount, price.unit_amount_decimal = 30, "30"  # less than is charged as a rule
    life.goes_to("2026-05-02")
    assert [bill.rpartition(" = ")[2] for bill in life.bills()] == ["0.30"]
    assert _purse() == (-500, "usd")


@pytest.mark.case("D7")
def test_a_quote_from_before_the_periods_end_is_no_good_after_it(app: Flask) -> None:
    life = Life.begins(app).goes_at(world.END - 600)
    quote = life.quote(quantity=300)
    life.now = world.END + 300  # the renewal has not run yet
    with pytest.raises(StateChanged, match="being processed"):
        life.confirms(quote, quantity=300)
    assert life.item.quantity == 1


@pytest.mark.case("F11")
@pytest.mark.both_databases
def test_an_invoice_that_cannot_be_collected_is_put_off_then_parked_and_holds_up_no_other(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal_site.billing.billing_run import parking

    bad, good = world.shop("Bad"), world.shop("Good")
    with transaction() as session:
        account = session.get(Account, bad.customer.account_id)
        assert account
        account.dunning = {"retry_days": "every day"}
        bad_one = session.scalars(select(Subscription).where(Subscription.customer_id == bad.customer.id)).one()
        bad_one.default_payment_method_id = None
        customer = session.scalars(select(Customer).where(Customer.id == bad.customer.id)).one()
        customer.default_payment_method_id = None
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        gateways = app.extensions["gateways"]
        for number in range(parking.MOST_FAILURES):
            report = runner.run(gateways, world.END + number * parking.RETRY, lambda _invoice: BACK)
            assert report.failed == 1
        assert _count(Invoice, Invoice.customer_id == good.customer.id, Invoice.status == "paid") == 2
        assert [name for name, _ in parking.parked()] == [bad.subscription.id]
        assert not runner.run(gateways, world.END + 10 * parking.RETRY, lambda _invoice: BACK).did_something
        with transaction() as session:
            account = session.get(Account, bad.customer.account_id)
            assert account
            account.dunning = {}
            made = world.Merchant(session, world.START, account)
            made.method(session.scalars(select(Customer).where(Customer.id == bad.customer.id)).one(), world.VISA)
        parking.unpark(bad.subscription.id, world.END + 11 * parking.RETRY)
        runner.run(gateways, world.END + 11 * parking.RETRY, lambda _invoice: BACK)
    assert _count(Invoice, Invoice.customer_id == bad.customer.id, Invoice.status == "paid") == 2
    assert parking.parked() == []
    assert batches.renew_due(world.END, 10).claimed == 0


@pytest.mark.case("F2")
def test_a_gateway_that_breaks_does_not_stop_a_run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal_site.billing.billing_run import parking

    shops = [world.shop(f"Shop{number}") for number in range(3)]
    gateways = app.extensions["gateways"]
    charge, broken = gateways.default.charge, iter((ConnectionError("reset by peer"),))

    def break_once(*given: object) -> object:
        for error in broken:
            raise error
        return charge(*given)

    monkeypatch.setattr(gateways.default, "charge", break_once)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        report = runner.run(gateways, world.END, lambda _invoice: BACK)
        assert (report.collected, report.failed) == (3, 1)
        assert parking.count_unresolved(world.END + parking.UNRESOLVED_AFTER) == 1
        runner.run(gateways, world.END + 20 * 60, lambda _invoice: BACK)
    assert _count(Invoice, Invoice.status == "paid") == 6
    assert _count(SandboxCharge) == len(shops)
    assert parking.count_unresolved(world.END + parking.UNRESOLVED_AFTER) == 0


@pytest.mark.parametrize(("then", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")])
@pytest.mark.both_databases
def test_what_nobody_expects_any_more_is_written_off_and_can_still_be_paid(app: Flask, then: str, status: str) -> None:
    life = Life.begins(app, card=world.FAILS)
    with transaction() as session:
        account = session.get(Account, life.shop.customer.account_id)
        assert account
        account.dunning = {"retry_days": [1], "then": then, "write_off": True, "amount_owed": "full"}
    life.goes_to("2026-05-10")
    assert life.subscription.status == status
    assert [bill[:24] for bill in life.bills()] == ["2026-05-01 uncollectible"]
    assert life.events.count("invoice.marked_uncollectible") == 1
    with reading() as reader:
        invoice = reader.scalar(select(Invoice.id).where(Invoice.status == "uncollectible"))
    life.gets_a_card()
    method = life.default_method
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        paid = collection.pay_invoice(
            app.extensions["gateways"], life.shop.customer.id, str(invoice), method, 1000, life.now, BACK
        )
    assert paid.status == "succeeded"
    assert life.subscription.status == ("canceled" if then == "cancel" else "active")
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_worker_that_was_away_gives_up_a_resumption_and_ends_the_pause_in_one_go(app: Flask) -> None:
    life = Life.begins(app, card=world.FAILS).goes_to("2026-04-14")
    life.pauses("week")
    life.goes_to("2026-04-16")
    assert life.resumes().outcome == "pending"  # declined, and never paid
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        # The customer of a clock, billed as if nobody had looked for nine days: both moments are past.
        while batches.renew_due(at("2026-04-25"), 10, life.clock_id).claimed:
            pass
    assert (life.subscription.status, life.subscription.billing_error) == ("active", None)
    assert life.period == ("2026-04-21", "2026-05-21")
