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
from tests.scenarios.history import History
from tests.world import reading

DAY = 24 * 60 * 60


def _second(history: History) -> History:
    """The same customer's second subscription, like the first one."""
    shop = history.shop
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
    return History(history.app, other, history.clock_id, history.now)


def _count(kind: type, *where: object) -> int:
    db.session.remove()
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(kind).where(*where)) or 0  # type: ignore[arg-type]


@pytest.mark.case("D4")
def test_a_code_in_a_pending_update_counts_as_redeemed(app: Flask) -> None:
    first = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    second = _second(first)
    code = first.create_code(percent_off="10")
    assert first.change_plan(quantity=3, code=code).outcome == "pending"
    with pytest.raises(BillingError, match="already used this code"):
        second.change_plan(quantity=3, code=code)
    first.add_card()
    first.pay()
    assert _count(Discount) == 1
    ledger.audit(first.shop.customer.account_id)


@pytest.mark.case("D4")
def test_a_paid_change_applies_without_a_code_that_was_redeemed_elsewhere(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    code = history.create_code(percent_off="10")
    assert history.change_plan(quantity=3, code=code).outcome == "pending"
    with transaction() as session:  # as it may have been when nobody looked at what waits
        waiting = session.scalars(
            select(Subscription).where(Subscription.customer_id == history.shop.customer.id)
        ).one()
        assert waiting.pending_update
        assert waiting.pending_update.discount
        known = {**asdict(waiting.pending_update.discount), "id": new_id("di")}
        session.add(Discount(account_id=waiting.account_id, customer_id=waiting.customer_id, **known))
    history.add_card()
    paid = history.pay()
    assert paid
    assert paid.status == "succeeded"
    assert history.item.quantity == 3
    assert _count(SandboxCharge, SandboxCharge.status == "succeeded") == 1


@pytest.mark.both_databases
def test_a_discount_reserved_by_a_pending_update_is_not_used_elsewhere(app: Flask) -> None:
    first = History.start(app, card=world.FAILS).advance_to("2026-04-16")
    second = _second(first)
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, first.shop.customer.account_id))
        coupon = made.coupon("Once", "once", amount_off=300, currency="eur")
        owner = {"account_id": first.shop.customer.account_id, "customer_id": first.shop.customer.id}
        session.add(Discount(id="di_once", coupon_id=coupon.id, start=world.START, **owner))
    assert first.quote(quantity=3).invoice.amount_due == 700
    assert first.change_plan(quantity=3).outcome == "pending"
    assert second.quote(quantity=3).invoice.amount_due == 1000
    first.add_card()
    first.pay()
    assert second.change_plan(quantity=3).outcome == "applied"
    assert first.events.count("customer.discount.deleted") == 1
    ledger.audit(first.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_customers_single_use_coupon_applies_to_one_of_two_invoices(app: Flask) -> None:
    history = History.start(app)
    _second(history)
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, history.shop.customer.account_id))
        coupon = made.coupon("Once", "once", amount_off=300, currency="eur")
        owner = {"account_id": history.shop.customer.account_id, "customer_id": history.shop.customer.id}
        session.add(Discount(id="di_once", coupon_id=coupon.id, start=world.START, **owner))
    history.advance_to("2026-05-01")
    with reading() as reader:
        renewed = select(Invoice.total).where(Invoice.cycle_at == world.END).order_by(Invoice.total)
        assert list(reader.scalars(renewed)) == [700, 1000]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_dunning_that_ends_a_subscription_releases_its_schedule(app: Flask) -> None:
    history = History.start(app, policy={"schedule_at_period_end": ("shortening_interval",)})
    with transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, history.shop.customer.account_id))
        made.schedule(session.merge(history.shop.subscription), history.shop.prices["solo"], 1, world.END + 200 * DAY)
    history.add_card(world.FAILS)
    history.advance_to("2026-06-15")
    assert (history.subscription.status, history.subscription.due_at) == ("canceled", None)
    assert history.subscription.cancellation_details["reason"] == "payment_failed"
    assert _count(SubscriptionSchedule, SubscriptionSchedule.status == "canceled") == 1
    assert history.events.count("customer.subscription.deleted") == 1


def _in_dollars(app: Flask, balance: int) -> History:
    """A customer whose balance is in dollars, on a plan in euros."""
    history = History.start(app, customer={"balance": balance}).advance_to("2026-04-16")
    with transaction() as session:
        session.scalars(select(Customer).where(Customer.id == history.shop.customer.id)).one().currency = "usd"
    return history


def _stored_balance() -> tuple[int, str]:
    db.session.remove()
    with reading() as reader:
        row = reader.execute(select(Customer.balance, Customer.currency)).one()
        return row.balance, row.currency


def test_credit_never_mixes_currencies(app: Flask) -> None:
    history = _in_dollars(app, -500)
    history.change_plan(quantity=2)
    with pytest.raises(BillingError, match="another currency"):
        history.change_plan(quantity=1)  # its credit has no place
    assert history.item.quantity == 2
    assert _stored_balance() == (-500, "usd")


def test_an_empty_balance_takes_the_currency_of_the_next_invoice(app: Flask) -> None:
    history = _in_dollars(app, 0)
    history.change_plan(quantity=2)
    history.change_plan(quantity=1)
    assert _stored_balance() == (-500, "eur")


def test_paying_an_old_debt_starts_a_new_period(app: Flask) -> None:
    history = History.start(app, card=world.FAILS)
    with transaction() as session:
        account = session.get(Account, history.shop.customer.account_id)
        assert account
        account.dunning = {"retry_days": [1], "then": "unpaid"}
    history.advance_to("2026-08-15")
    assert (history.subscription.status, len(history.invoices())) == ("unpaid", 1)
    history.add_card()
    history.pay()
    history.advance_to("2026-08-16")
    assert history.subscription.status == "active"
    assert [bill[:15] for bill in history.invoices()] == ["2026-05-01 paid", "2026-08-15 paid"]
    assert history.period == ("2026-08-15", "2026-09-15")
    ledger.audit(history.shop.customer.account_id)


def test_paying_a_debt_does_not_rebill_an_item_paid_for_longer(app: Flask) -> None:
    history = History.start(app, card=world.FAILS)
    with transaction() as session:
        account = session.get(Account, history.shop.customer.account_id)
        assert account
        account.dunning = {"retry_days": [1], "then": "unpaid"}
    history.add_item(12000, "year")
    history.advance_to("2026-08-15")
    assert history.subscription.status == "unpaid"
    history.add_card()
    history.pay()
    history.advance_to("2026-08-16")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["10.00, due 0.32", "10.00"]


def test_a_balance_in_another_currency_carries_nothing_over(app: Flask) -> None:
    history = _in_dollars(app, -500)
    with transaction() as session:
        price = session.get(Price, history.shop.prices["team"].id)
        assert price
        price.unit_amount, price.unit_amount_decimal = 30, "30"  # less than is charged as a rule
    history.advance_to("2026-05-02")
    assert [bill.rpartition(" = ")[2] for bill in history.invoices()] == ["0.30"]
    assert _stored_balance() == (-500, "usd")


@pytest.mark.case("D7")
def test_a_quote_expires_with_the_period(app: Flask) -> None:
    history = History.start(app).advance_to_instant(world.END - 600)
    quote = history.quote(quantity=300)
    history.now = world.END + 300  # the renewal has not run yet
    with pytest.raises(StateChanged, match="being processed"):
        history.confirm(quote, quantity=300)
    assert history.item.quantity == 1


@pytest.mark.case("F11")
@pytest.mark.both_databases
def test_an_uncollectable_invoice_is_postponed_then_parked_alone(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_an_error_of_the_gateway_does_not_stop_a_run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal_site.billing.billing_run import parking

    shops = [world.shop(f"Shop{number}") for number in range(3)]
    gateways = app.extensions["gateways"]
    sandbox = gateways.shared("sandbox")
    charge, broken = sandbox.charge, iter((ConnectionError("reset by peer"),))

    def break_once(*given: object) -> object:
        for error in broken:
            raise error
        return charge(*given)

    monkeypatch.setattr(sandbox, "charge", break_once)
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
def test_a_written_off_invoice_can_still_be_paid(app: Flask, then: str, status: str) -> None:
    history = History.start(app, card=world.FAILS)
    with transaction() as session:
        account = session.get(Account, history.shop.customer.account_id)
        assert account
        account.dunning = {"retry_days": [1], "then": then, "write_off": True, "amount_owed": "full"}
    history.advance_to("2026-05-10")
    assert history.subscription.status == status
    assert [bill[:24] for bill in history.invoices()] == ["2026-05-01 uncollectible"]
    assert history.events.count("invoice.marked_uncollectible") == 1
    with reading() as reader:
        invoice = reader.scalar(select(Invoice.id).where(Invoice.status == "uncollectible"))
    history.add_card()
    method = history.default_method
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        paid = collection.pay_invoice(
            app.extensions["gateways"], history.shop.customer.id, str(invoice), method, 1000, history.now, BACK
        )
    assert paid.status == "succeeded"
    assert history.subscription.status == ("canceled" if then == "cancel" else "active")
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_a_late_run_discards_a_resumption_and_ends_the_pause(app: Flask) -> None:
    history = History.start(app, card=world.FAILS).advance_to("2026-04-14")
    history.pause("week")
    history.advance_to("2026-04-16")
    assert history.resume().outcome == "pending"  # declined, and never paid
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        # The customer of a clock, billed as if nobody had looked for nine days: both moments are past.
        while batches.renew_due(at("2026-04-25"), 10, history.clock_id).claimed:
            pass
    assert (history.subscription.status, history.subscription.billing_error) == ("active", None)
    assert history.period == ("2026-04-21", "2026-05-21")
