"""Concurrent requests on both databases: threads that start at the same time must lead to one valid outcome."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from portal_site.billing.billing_run import batches, runner
from portal_site.billing.cancellation import cancellations, retention
from portal_site.billing.cancellation.cancellations import Reason
from portal_site.billing.changes import plan_changes, starts
from portal_site.billing.changes.starts import StartRequest
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.gateways import ChargeRequest
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.loading import ownership
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import (
    CancellationAttempt,
    Coupon,
    Discount,
    Invoice,
    PlanChange,
    PromotionCode,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.payments import collection
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.portal.portal_features import Retention, SubscriptionCancel
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.billing.rules.subscriptions.starts import WantedPrice
from portal_site.billing.subscriptions import promotion_codes
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests import world
from tests.conftest import SEEDS
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.world import reading

AT = world.HALF


def together(app: Flask, actions: Sequence[Callable[[], Any]], patience: int = 60) -> list[Any]:
    """Run the actions concurrently, each in its own thread. Returns the result or the BillingError of each action."""
    results: list[Any] = [None] * len(actions)
    gate = threading.Barrier(len(actions))

    def run(number: int) -> None:
        with app.test_request_context(base_url="http://127.0.0.1:8000"):
            gate.wait(10)
            try:
                results[number] = actions[number]()
            except Exception as error:
                results[number] = error
            finally:
                db.session.remove()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
        assert not thread.is_alive()
    unexpected = [error for error in results if isinstance(error, Exception) and not isinstance(error, BillingError)]
    assert not unexpected, unexpected[0]
    return results


def _confirm(app: Flask, shop: world.Shop, quantity: int = 3, code_id: str | None = None, at: int = AT) -> Any:
    """Get a quote for a change of quantity, and return an action that confirms it."""
    args = shop.customer.id, shop.subscription.id, shop.features
    order = PlanChangeRequest({shop.item_id: (None, quantity)}, code_id)
    quote = plan_changes.preview(plan_changes.options(*args, at), args[0], order, at)
    confirmation = Confirmation(at, quote_fingerprint(quote), secrets.token_hex(8))

    def confirm() -> PlanChange:
        change = plan_changes.change_plan(*args, order, confirmation, at)
        if change.outcome == "pending":
            collection.collect(app.extensions["gateways"], args[0], change.invoice_id or "", at, BACK)
        return change

    return confirm


def _count(kind: Any, *where: Any) -> int:
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(kind).where(*where)) or 0


@pytest.mark.case("D6", "F5")
def test_fifty_concurrent_confirmations_of_one_quote_make_one_change(app: Flask) -> None:
    shop = world.shop()
    results = together(app, [_confirm(app, shop)] * 50)
    change_ids = {result.id for result in results if isinstance(result, PlanChange)}
    assert len(change_ids) == 1
    codes = {result.code for result in results if isinstance(result, BillingError)}
    assert codes <= {"payment_under_way", "invoice_not_open"}
    assert (_count(PlanChange), _count(Invoice), _count(SandboxCharge)) == (1, 2, 1)
    ledger.audit(shop.customer.account_id)


@pytest.mark.case("D6", "D7")
def test_of_twenty_concurrent_quotes_one_is_applied(app: Flask) -> None:
    shop = world.shop()
    results = together(app, [_confirm(app, shop, quantity) for quantity in range(2, 22)])
    changes = [result for result in results if isinstance(result, PlanChange)]
    assert len(changes) == 1
    assert {result.code for result in results if isinstance(result, BillingError)} <= {
        "quote_changed", "subscription_not_changeable"
    }  # fmt: skip
    assert (_count(PlanChange), _count(Invoice), _count(SandboxCharge)) == (1, 2, 1)
    ledger.audit(shop.customer.account_id)


@pytest.mark.case("D4")
def test_twenty_concurrent_clicks_start_one_subscription(app: Flask) -> None:
    shop = world.shop()
    customer_id, name = shop.customer.id, new_id("sub")
    request = StartRequest([WantedPrice(shop.prices["solo"].id, 2)])
    quoted = starts.preview(customer_id, name, request, AT)
    yes = Confirmation(AT, quoted.fingerprint, "one quote")

    def click() -> str:
        change = starts.start(customer_id, name, request, yes, AT)
        started, invoice_id = change.subscription_id, change.invoice_id or ""
        with suppress(StateChanged):  # another click is paying it
            collection.collect(app.extensions["gateways"], customer_id, invoice_id, AT, BACK, off_session=True)
        return started

    assert set(together(app, [click] * 20)) == {name}
    with reading() as reader:
        assert reader.scalar(select(Subscription.status).where(Subscription.id == name)) == "active"
        assert reader.scalar(select(func.count()).select_from(SandboxCharge)) == 1
    ledger.audit(shop.customer.account_id)


def test_sixteen_concurrent_customers_redeem_a_limited_code_five_times(app: Flask) -> None:
    first = world.shop("First")
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, first.customer.account_id))
        code_id = made.promotion_code("FIVE", made.coupon("Five", percent_off="10"), max_redemptions=5).id
    shops = [first] + [world.neighbour(first, number) for number in range(15)]
    results = together(app, [_confirm(app, shop, 2, code_id) for shop in shops])
    assert Counter(type(result).__name__ for result in results)["PlanChange"] == 5
    with reading() as reader:
        assert reader.scalar(select(PromotionCode.times_redeemed)) == 5
    ledger.audit(first.customer.account_id)


@pytest.mark.case("D3")
def test_the_limit_of_code_tries_holds_for_concurrent_requests(app: Flask) -> None:
    shop = world.shop()
    customer_id = shop.customer.id
    results = together(app, [lambda: promotion_codes.find(customer_id, "WRONG", AT)] * 24)
    messages = Counter(str(result.message) for result in results)
    assert sorted(messages.values()) == [10, 14]
    assert messages["Too many codes were tried. Please try again in an hour."] == 14


@pytest.mark.case("D7")
@pytest.mark.parametrize("round_", range(6))
def test_a_concurrent_change_and_renewal_are_serialized(app: Flask, round_: int) -> None:
    shop = world.shop()
    change = _confirm(app, shop, at=world.END - 60)
    gateway = app.extensions["gateways"]

    def renew() -> None:
        runner.run(gateway, world.END, lambda _id: BACK)

    changed, _ = together(app, [change, renew])
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        for later in (61, 130):
            runner.run(gateway, world.END + later, lambda _id: BACK)
    ledger.audit(shop.customer.account_id)
    ledger.settled(shop.customer.account_id, world.END)
    assert _count(Invoice, Invoice.cycle_at == world.END) == 1
    with reading() as reader:
        quantity = reader.scalar(select(SubscriptionItem.quantity))
    if isinstance(changed, BillingError):
        assert (quantity, changed.code) in ((1, "quote_changed"), (1, "subscription_not_changeable"))
    else:
        assert quantity == (3 if changed.outcome == "applied" or _applied(changed.id) else 1)


@pytest.mark.case("D7")
def test_no_change_between_the_period_end_and_the_renewal(app: Flask) -> None:
    shop = world.shop()
    confirm = _confirm(app, shop, at=world.END - 60)
    options = plan_changes.options(shop.customer.id, shop.subscription.id, shop.features, world.END)
    assert options.refusal
    assert str(options.refusal.message).startswith("Your renewal is being processed.")
    order = PlanChangeRequest({shop.item_id: (None, 3)})
    with pytest.raises(BillingError, match="renewal"):
        plan_changes.preview(options, shop.customer.id, order, world.END)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(app.extensions["gateways"], world.END, lambda _id: BACK)
        with pytest.raises(StateChanged):  # a quote for a period that is over is worth nothing
            confirm()
    ledger.audit(shop.customer.account_id)


def _applied(change_id: str) -> bool:
    with reading() as reader:
        return reader.scalar(select(PlanChange.outcome).where(PlanChange.id == change_id)) == "applied"


@pytest.mark.case("F10", "D23")
def test_four_workers_bill_each_subscription_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "BATCH", {"sqlite": 3, "postgresql": 3})
    shops = [world.shop(f"Shop{number}") for number in range(24)]
    gateway = app.extensions["gateways"]
    reports = together(app, [lambda: runner.run(gateway, world.END, lambda _id: BACK)] * 4)
    assert sum(report.batch.invoiced for report in reports) == 24
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(gateway, world.END + 61, lambda _id: BACK)
    assert (_count(Invoice), _count(Invoice, Invoice.status == "paid"), _count(SandboxCharge)) == (48, 48, 24)
    for shop in shops:
        ledger.audit(shop.customer.account_id)
        ledger.settled(shop.customer.account_id, world.END)


@pytest.mark.case("D23")
def test_concurrent_rollbacks_leave_no_gap_in_invoice_numbers(app: Flask, request: pytest.FixtureRequest) -> None:
    """Eight threads run 1,000 transactions for one customer (10,000 in the long mode). Every seventh is rolled back."""
    per_thread, threads = 1250 if request.config.getoption("--seeds") > SEEDS else 125, 8
    shop = world.shop()

    def write() -> int:
        committed, tries = 0, 0
        while committed < per_thread:
            tries += 1
            try:
                with transaction() as session:
                    customer = ownership.lock_customer(session, shop.customer.id)
                    subscription = ownership.get_owned(session, Subscription, customer.id, shop.subscription.id)
                    writer = InvoiceWriter(session)
                    add_open_invoice(
                        writer, customer, subscription, invoices.total_up((), 0, "eur"), AT, period_start=AT
                    )
                    writer.write()
                    if tries % 7 == 0:
                        raise RuntimeError("undone")
                committed += 1
            except RuntimeError:
                pass
            except OperationalError as error:  # SQLite's lock is not fair, so that a thread may wait until the timeout
                assert "locked" in str(error)
        return committed

    assert together(app, [write] * threads, patience=600) == [per_thread] * threads
    with reading() as reader:
        query = select(Invoice.number).where(Invoice.customer_id == shop.customer.id)
        numbers = sorted(int(number.rpartition("-")[2]) for number in reader.scalars(query))
    assert numbers == list(range(1, 1 + per_thread * threads + 1))


@pytest.mark.case("F10")
def test_a_worker_continues_after_another_took_its_batch(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = world.shop()
    find, calls = batches._due, []

    def too_late_at_first(*args: Any) -> Any:
        calls.append(args)
        return find(*args) if len(calls) > 1 else []

    monkeypatch.setattr(batches, "_due", too_late_at_first)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        report = runner.run(app.extensions["gateways"], world.END, lambda _id: BACK)
    assert report.batch.invoiced == 1
    ledger.settled(shop.customer.account_id, world.END)


@pytest.mark.case("D5")
def test_fifty_concurrent_cancellations_get_one_offer(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        coupon = str(made.coupon("Stay", percent_off="20").id)
        second = made.subscription(shop.customer, [(session.merge(shop.prices["solo"]), 1)], started=10)
    features = replace(
        world.EVERYTHING, subscription_cancel=SubscriptionCancel(retention=Retention(enabled=True, coupon=coupon))
    )

    def leave(subscription_id: str) -> Callable[[], Any]:
        return lambda: cancellations.start_attempt(shop.customer.id, subscription_id, features, Reason(), AT)

    attempts = together(app, [leave(shop.subscription.id), leave(second.id)] * 25)
    ids = {(attempt.subscription_id, attempt.id) for attempt in attempts if attempt.is_made(AT)}
    assert len(ids) == 1
    assert _count(CancellationAttempt, CancellationAttempt.offer.is_not(None)) == 1
    subscription_id, attempt_id = ids.pop()
    args = shop.customer.id, subscription_id, attempt_id, features
    proposal = retention.find(*args, AT)
    assert proposal
    confirmation = Confirmation(AT, proposal.fingerprint, attempt_id)
    results = together(app, [lambda: retention.accept(*args, confirmation, AT)] * 50)
    assert results == [None] * 50
    assert _count(Discount) == 1
    with reading() as reader:
        assert reader.scalar(select(Coupon.times_redeemed)) == 1


@pytest.mark.case("F2")
def test_one_idempotency_key_makes_one_charge(app: Flask) -> None:
    shop = world.shop()
    gateway = app.extensions["gateways"].shared("sandbox")
    assert shop.method
    request = ChargeRequest(str(shop.method.gateway_reference), 1000, "eur", "charge_one", AT, BACK)
    charges = together(app, [lambda: gateway.charge(request)] * 12)
    assert {charge.reference for charge in charges} == {charges[0].reference}
    assert _count(SandboxCharge) == 1


@pytest.mark.case("D4")
def test_sixteen_concurrent_customers_accept_a_limited_coupon_five_times(app: Flask) -> None:
    first = world.shop("First")
    shops = [first] + [world.neighbour(first, number) for number in range(15)]
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, first.customer.account_id))
        coupon = str(made.coupon("Stay", percent_off="20", max_redemptions=5).id)
    features = replace(
        world.EVERYTHING, subscription_cancel=SubscriptionCancel(retention=Retention(enabled=True, coupon=coupon))
    )

    def accepting(shop: world.Shop) -> Callable[[], Any]:
        ids = shop.customer.id, shop.subscription.id
        attempt = cancellations.start_attempt(*ids, features, Reason(), AT)
        proposal = retention.find(*ids, attempt.id, features, AT)
        assert proposal
        confirmation = Confirmation(AT, proposal.fingerprint, attempt.id)
        return lambda: retention.accept(*ids, attempt.id, features, confirmation, AT)

    results = together(app, [accepting(shop) for shop in shops])
    assert Counter(type(result).__name__ for result in results) == {"NoneType": 5, "StateChanged": 11}
    assert _count(Discount) == 5
