"""Collecting at a provider over the network: several calls at a time, as many a second as it takes, and each invoice once."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.billing_run import runner
from portal_site.billing.billing_run.parallel_calls import ParallelCalls
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe.client import Pace
from portal_site.billing.models import Invoice
from tests import world
from tests.proofs import ledger
from tests.proofs.play import BACK
from tests.proofs.stripe_play import attempts_of, connect, save_method
from tests.stripe.second import Second, check_books, served
from tests.world import reading

CUSTOMERS = 24


@pytest.fixture
def address(second: Second, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(clients, "MOST_TEST", 1000)
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


def test_slow_calls_are_made_at_the_same_time(app: Flask, second: Second, address: str) -> None:
    account_id, gateways = _due(second, address)
    second.line.losses, second.line.kinds, second.line.slow = 1, ("slow",), 0.15
    waited, most, sleep = 0, 0, time.sleep
    lock = threading.Lock()

    def counted(seconds: float) -> None:
        nonlocal waited, most
        with lock:
            waited, most = waited + 1, max(most, waited + 1)
        sleep(seconds)
        with lock:
            waited -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.stripe.faults.time.sleep", counted)
        report = _run(app, gateways, world.END)
    assert (report.collected, report.failed) == (CUSTOMERS, 0)
    assert 2 <= most <= 8
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


def test_no_more_is_begun_than_can_be_called() -> None:
    gate, results = threading.Event(), []

    def call() -> bool:
        return gate.wait(10)

    def then(answer: Any) -> None:
        results.append(answer())

    with ThreadPoolExecutor(3) as pool:
        calls = ParallelCalls(pool, 3)
        for _ in range(3):
            calls.call(call, then)
        assert results == []
        gate.set()
        calls.call(call, then)  # waits until one of the others is done
        assert results
        calls.finish()
    assert results == [True] * 4


def test_calls_with_one_key_keep_apart_and_give_way_to_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pace = [100.0], Pace(20)
    monkeypatch.setattr(clients.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(clients.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    for _ in range(101):
        pace.wait()
        pace.heed(200)
    assert now[0] - 100 == pytest.approx(5)  # a hundred pauses of a twentieth of a second
    pace.heed(429)
    assert pace.rate == pytest.approx(10)
    for _ in range(10):
        pace.heed(429)
    assert pace.rate == pytest.approx(1)
    for _ in range(200):
        pace.heed(200)
    assert pace.rate == pytest.approx(20)


def test_a_refusal_slows_the_next_calls_down(second: Second, address: str) -> None:
    pace = clients.pace_of(second.token, None)
    before = pace.rate
    second.line.next[:] = ["429"]
    with pytest.raises(stripe.StripeError):
        clients.client(second.token, None, address).v1.customers.list({"limit": 1})
    assert pace.rate == pytest.approx(before / 2)
