"""Collecting at a provider over the network: several calls at a time, as many a second as it takes, and each invoice once."""

import random
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import stripe
from flask import Flask
from sqlalchemy import event, func, select

from portal_site.billing.billing_run import batches, runner
from portal_site.billing.billing_run.parallel_calls import ParallelCalls
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe.client import Throttle
from portal_site.billing.models import Customer, Invoice, PaymentAttempt, PaymentMethod
from portal_site.billing.payments import attempts, collection, outcomes
from portal_site.billing.payments.collection import Begun
from portal_site.db import db
from tests import world
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.proofs.stripe_play import attempts_of, connect, save_method
from tests.stripe.second import Second, check_books, served
from tests.world import reading

CUSTOMERS = 24


@pytest.fixture
def address(second: Second) -> Iterator[str]:
    with served(second.line) as where:
        yield where


def _due(second: Second, address: str) -> tuple[str, Gateways]:
    """An account with so many customers whose renewals are due, all with cards at the second instance."""
    first = world.shop(card=None)
    account_id = first.customer.account_id
    gateways = connect(second, account_id, world.HALF, address)
    for shop in [first, *(world.neighbour(first, number) for number in range(CUSTOMERS - 1))]:
        save_method(second, shop.customer.id, world.VISA, world.HALF)
    return account_id, gateways


def _run(app: Flask, gateways: Gateways, at: int) -> runner.RunReport:
    with (
        app.test_request_context(base_url="http://127.0.0.1:8000"),
        ThreadPoolExecutor(8, initializer=lambda: app.app_context().push()) as pool,
    ):
        return runner.run(gateways, at, lambda _id: BACK, pool=pool)


def _agree(second: Second, account_id: str) -> None:
    ledger.audit(account_id, books=second.books)
    check_books(second, attempts_of(account_id))
    with reading() as reader:
        paid = select(func.count()).select_from(Invoice).where(Invoice.status == "paid")
        assert reader.scalar(paid) == 2 * CUSTOMERS
    assert [charge.status for charge in second.charges()] == ["succeeded"] * CUSTOMERS


@contextmanager
def _most_at_once(second: Second) -> Iterator[list[int]]:
    """Let every call take a while. The list's one number is how many were on their way at the same time."""
    second.line.losses, second.line.kinds, second.line.slow = 1, ("slow",), 0.15
    waited, most, sleep, lock = [0], [0], time.sleep, threading.Lock()

    def counted(seconds: float) -> None:
        with lock:
            waited[0] += 1
            most[0] = max(most[0], waited[0])
        sleep(seconds)
        with lock:
            waited[0] -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.stripe.faults.time.sleep", counted)
        yield most


def test_slow_calls_are_made_at_the_same_time(app: Flask, second: Second, address: str) -> None:
    account_id, gateways = _due(second, address)
    with _most_at_once(second) as most:
        report = _run(app, gateways, world.END)
    assert (report.collected, report.failed) == (CUSTOMERS, 0)
    assert 2 <= most[0] <= 8
    _agree(second, account_id)


@pytest.mark.case("F2", "F3")
def test_payments_in_doubt_are_asked_about_at_the_same_time(app: Flask, second: Second, address: str) -> None:
    """After an hour in which the provider's answers were lost, say: each is asked about in the next run, and charged once."""
    account_id, gateways = _due(second, address)
    _renew()
    with reading() as reader:
        of_account = Invoice.account_id == account_id, Invoice.status == "open"
        due = [tuple(row) for row in reader.execute(select(Invoice.customer_id, Invoice.id).where(*of_account))]
    with acting_as(ActorType.WORKER):
        begun, _ = collection.begin_collections(gateways, due, world.END, lambda _id: BACK)
        for call in begun[: CUSTOMERS // 2]:  # half of them came there
            assert isinstance(call, Begun)
            assert call.ask() is not None
    with _most_at_once(second) as most:
        report = _run(app, gateways, world.END + 600)
    assert (report.settled, report.collected, report.failed) == (CUSTOMERS, 0, 0)
    assert 2 <= most[0] <= 8
    _agree(second, account_id)


@pytest.mark.case("F2", "F3")
def test_what_is_lost_meanwhile_is_settled_by_later_runs(app: Flask, second: Second, address: str) -> None:
    account_id, gateways = _due(second, address)
    second.line.losses, second.line.dice = 0.3, random.Random(7)
    _run(app, gateways, world.END)
    second.line.losses = 0
    for later in (120, 240):
        _run(app, gateways, world.END + later)
    _agree(second, account_id)


def _renew() -> None:
    """Write the invoices that are due."""
    while batches.renew_due(world.END, 50).claimed:
        pass


def _of(number: int) -> str:
    """The id of a customer's invoice that is due."""
    with reading() as reader:
        due = select(Invoice.id).where(Invoice.status == "open").order_by(Invoice.id).limit(1).offset(number)
        return str(reader.scalar(due.execution_options(unscoped="the test's only account")))


def _paid() -> int:
    with reading() as reader:
        paid = select(func.count()).select_from(Invoice).where(Invoice.paid_at >= world.END)
        return reader.scalar(paid.execution_options(unscoped="the test's only account")) or 0


@pytest.mark.case("F11")
@pytest.mark.parametrize("place", [(attempts, "_new"), (outcomes, "_note_success")])
def test_an_invoice_that_cannot_be_collected_holds_up_none_of_those_beside_it(
    app: Flask, second: Second, address: str, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str]
) -> None:
    account_id, gateways = _due(second, address)
    _renew()
    broken, function = {_of(3), _of(17)}, getattr(*place)

    def choke(*given: Any) -> Any:
        if any(isinstance(one, Invoice) and one.id in broken for one in given):
            raise ValueError("an amount without a currency")
        return function(*given)

    with monkeypatch.context() as patch:
        patch.setattr(*place, choke)
        report = _run(app, gateways, world.END)
    assert (report.collected, report.failed, _paid()) == (CUSTOMERS, 2, CUSTOMERS - 2)
    _run(app, gateways, world.END + 600)
    _agree(second, account_id)


def test_what_needs_more_than_a_charge_is_collected_beside_the_others(app: Flask, second: Second, address: str) -> None:
    """A customer without a payment method, one whose provider is gone, an invoice that was voided, and a payment in doubt."""
    account_id, gateways = _due(second, address)
    _renew()
    without, gone, voided, doubtful = (_of(number) for number in range(4))
    with world.transaction() as session:

        def own(kind: Any) -> dict[str, Any]:
            return {row.id: row for row in session.scalars(select(kind).where(kind.account_id == account_id))}

        invoices, customers, methods = own(Invoice), own(Customer), own(PaymentMethod)
        method_of = {
            name: methods[customers[row.customer_id].default_payment_method_id] for name, row in invoices.items()
        }
        method_of[gone].gateway = "elsewhere"
        customers[invoices[without].customer_id].default_payment_method_id = None
        invoices[voided].status = "void"
        asked = attempts.store(session, [(invoices[doubtful], method_of[doubtful])], world.END - 3600)[0].id
    report = _run(app, gateways, world.END)
    assert _paid() == CUSTOMERS - 3
    assert (report.settled, report.collected) == (1, CUSTOMERS - 2)
    with reading() as reader:
        tried = select(Invoice.id, Invoice.attempt_count).where(Invoice.id.in_([without, gone, voided]))
        everybodys = {"unscoped": "the test's only account"}
        assert dict(reader.execute(tried.execution_options(**everybodys)).all()) == {without: 1, gone: 1, voided: 0}
        codes = select(PaymentAttempt.decline_code).where(PaymentAttempt.invoice_id == gone)
        assert reader.scalars(codes.execution_options(**everybodys)).all() == ["payment_method_unactivated"]
        settled = select(PaymentAttempt.status).where(PaymentAttempt.id == asked)
        assert reader.scalar(settled.execution_options(**everybodys)) == "succeeded"
    assert len(second.charges()) == CUSTOMERS - 3


def test_the_reads_of_a_collection_are_those_of_many(app: Flask, second: Second, address: str) -> None:
    """Whoever reads for each invoice on its own has a portal collect half as many a second."""
    account_id, gateways = _due(second, address)
    _renew()
    reads: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        reads.extend([statement] if statement.startswith("SELECT") else [])

    with reading() as reader:
        of_account = Invoice.account_id == account_id, Invoice.status == "open"
        due = [
            (row.customer_id, row.id)
            for row in reader.execute(select(Invoice.customer_id, Invoice.id).where(*of_account))
        ]
    event.listen(db.engine, "before_cursor_execute", note)
    asked, _ = gateways.for_one_run()
    with acting_as(ActorType.WORKER):
        begun, left = collection.begin_collections(asked, due, world.END, lambda _id: BACK)
        answers = [(call.attempt, call.ask()) for call in begun if isinstance(call, Begun)]
        outcomes.record_all(answers, world.END)
    event.remove(db.engine, "before_cursor_execute", note)
    assert (left, _paid()) == ([], CUSTOMERS)
    assert len(reads) < CUSTOMERS, reads


def test_no_more_is_begun_than_can_be_called() -> None:
    gate, results = threading.Event(), list[tuple[int, bool]]()

    def call() -> bool:
        return gate.wait(10)

    def then(done: Sequence[tuple[int, Callable[[], bool]]]) -> None:
        results.extend((number, answer()) for number, answer in done)

    with ThreadPoolExecutor(3) as pool:
        calls = ParallelCalls[int, bool](pool, then, 3, together=2)
        for number in range(3):
            calls.call(call, number)
        assert results == []
        gate.set()
        calls.call(call, 3)  # waits until two of the others are done
        assert len(results) >= 2
        calls.finish()
    assert sorted(results) == [(number, True) for number in range(4)]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock in which whoever waits is later at once: its one number is the time."""
    now = [100.0]
    monkeypatch.setattr(clients.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(clients.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_calls_with_one_key_keep_apart_and_give_way_to_a_refusal(waited: list[float]) -> None:
    throttle = Throttle(20, 20)
    for _ in range(101):
        throttle.wait("GET customers")
        throttle.heed(200)
    assert waited[0] - 100 == pytest.approx(4.95)  # a twentieth of a second between each two, but for the first
    throttle.heed(429)
    assert throttle.rate == pytest.approx(10)
    for _ in range(10):
        throttle.heed(429)
    assert throttle.rate == pytest.approx(1)
    for _ in range(200):
        throttle.heed(200)
    assert throttle.rate == pytest.approx(20)


def test_no_endpoint_gets_more_calls_than_its_share(waited: list[float]) -> None:
    """Whatever is called in whichever order: 80 a second in all, and 20 of each endpoint."""
    dice, throttle = random.Random(5), Throttle(80, 20)
    asked = [dice.choice("aaaabbcdefgh") for _ in range(2000)]
    calls = []
    for name in asked:
        throttle.wait(name)
        calls.append((waited[0], name))
    assert _most_in_a_second([moment for moment, _ in calls]) <= 82
    for name in set(asked):
        assert _most_in_a_second([moment for moment, one in calls if one == name]) <= 22
    assert waited[0] - 100 < max(asked.count("a") / 20, len(asked) / 80) * 1.1  # and not many fewer


def _most_in_a_second(moments: Sequence[float]) -> int:
    return max(bisect(moments, moment + 1) - number for number, moment in enumerate(moments))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("post", "/v1/payment_intents", "POST payment_intents"),
        ("post", "/v1/payment_intents/pi_3Nk0/confirm", "POST payment_intents/*/confirm"),
        ("get", "/v1/payment_intents/pi_3Nk0?expand[]=latest_charge", "GET payment_intents/*"),
        ("get", "/v1/payment_intents/search?query=x", "GET payment_intents/search"),
        ("post", "/v1/checkout/sessions", "POST checkout/sessions"),
    ],
)
def test_an_endpoint_is_told_without_the_ids_in_its_path(method: str, path: str, expected: str) -> None:
    assert clients.api_endpoint(method, clients.ADDRESS + path) == expected


def test_a_refusal_slows_the_next_calls_down(second: Second, address: str) -> None:
    throttle = clients.throttle_of(second.token, None)
    before = throttle.rate
    second.line.next[:] = ["429"]
    with pytest.raises(stripe.StripeError):
        clients.client(second.token, None, address).v1.customers.list({"limit": 1})
    assert throttle.rate == pytest.approx(before / 2)
