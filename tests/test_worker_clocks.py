"""Workers and their clocks: one that is wrong bills nothing, and nothing is billed twice."""

import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock, worker
from portal_site.billing.models import (
    Invoice,
)
from portal_site.billing.rules.amounts.periods import boundary
from portal_site.cli import checks
from tests import world
from tests.billing_runs import DAY, LATER, count_invoices
from tests.conftest import empty_all
from tests.world import reading


@pytest.mark.case("D13")
def test_a_clock_set_back_bills_nothing(app: Flask) -> None:
    world.shop()
    worker.heartbeat(LATER + 3600)
    with pytest.raises(worker.ClockWentBack, match="behind"):
        worker.tick(app, LATER)
    assert count_invoices() == 1
    assert worker.tick(app, LATER + 3600 - 300).batch.invoiced == 1


@pytest.mark.case("D13")
def test_a_fast_clock_can_be_forgotten_without_double_billing(app: Flask) -> None:
    world.shop()
    worker.tick(app, world.END + 40 * 24 * 60 * 60)  # more than a month ahead: two periods are billed
    assert count_invoices() == 3
    with pytest.raises(worker.ClockWentBack):
        worker.tick(app, LATER)
    worker.trust_clock(LATER)
    assert not worker.tick(app, LATER).batch.invoiced
    assert not worker.tick(app, world.END + 32 * 24 * 60 * 60).batch.invoiced
    assert count_invoices() == 3


@pytest.mark.case("D13")
@pytest.mark.parametrize("seed", range(8))
def test_two_clocks_apart_that_jump_bill_each_period_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two workers, never more than ten minutes apart but for jumps, over half a year; what a jump billed early stays billed."""
    dice = random.Random(seed)
    shop = world.shop(quantity=2)
    apart, at, refused = dice.randint(-300, 300), world.END - 3600, 0
    seen: dict[str, int] = {}
    for _ in range(30):
        at += dice.choice((0, 1, 60, 3600, 86_400, 9 * 86_400))
        for mine, skew in (("one", apart), ("two", -apart)):
            monkeypatch.setattr(worker, "name", lambda mine=mine: mine)
            jump = dice.choice((0, 0, 0, 0, -7200, 40 * 86_400))
            moment = at + skew + jump
            behind = moment < max(seen.values(), default=0) - worker.SKEW
            try:
                worker.tick(app, moment)
            except worker.ClockWentBack:
                assert behind
                refused += 1
                continue
            assert not behind
            seen[mine] = max(moment, seen.get(mine, 0))
            if jump > 0:  # somebody sets the clock right
                worker.trust_clock(at)
                seen = {name: min(last, at) for name, last in seen.items()}
    assert refused
    end = at + 50 * 86_400
    worker.trust_clock(end)
    worker.tick(app, end)
    due = [boundary(world.START, "month", month) for month in range(40)]
    with reading() as reader:
        mine = Invoice.customer_id == shop.customer.id, Invoice.cycle_at.is_not(None)
        billed = sorted(reader.scalars(select(Invoice.cycle_at).where(*mine)))
    assert billed == due[: len(billed)]
    assert due[len(billed)] > end


def _another(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(worker, "name", lambda: name)


@pytest.fixture
def running() -> Iterator[str]:
    """The name of a worker on this machine that runs."""
    with subprocess.Popen(["sleep", "600"]) as other:
        yield f"{socket.gethostname()}:{other.pid}"
        other.kill()


@pytest.mark.case("F25")
def test_a_clock_ahead_of_a_running_worker_bills_nothing(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch, running: str
) -> None:
    world.shop()
    at = world.END - 3600
    for minute in range(3):
        with monkeypatch.context() as right:
            _another(right, running)
            worker.tick(lite_app, at + minute * 60)
        with pytest.raises(worker.ClockRanAhead, match=f"{41 * DAY} s ahead of that of {running}"):
            worker.tick(lite_app, at + minute * 60 + 41 * DAY)
    assert count_invoices() == 1
    assert worker.faults(at + 120) == [f"this clock is {41 * DAY} s ahead of that of {running}, which may be running"]
    worker.tick(lite_app, at + 120 + worker.SKEW)  # no more than ten minutes apart
    with monkeypatch.context() as right:
        _another(right, running)
        worker.tick(lite_app, at + 120 + worker.SKEW + 60)
    assert worker.faults(at + 120 + worker.SKEW) == []


@pytest.mark.case("F25")
@pytest.mark.parametrize("away", [11 * 60, 3 * 7 * DAY, 400 * DAY])
def test_a_worker_that_was_stopped_for_long_bills(lite_app: Flask, monkeypatch: pytest.MonkeyPatch, away: int) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f"{socket.gethostname()}:{gone.pid}", worker.name()):
        with monkeypatch.context() as before:
            _another(before, name)
            worker.tick(lite_app, world.END - 3600)
    world.shop()
    worker.tick(lite_app, world.END - 3600 + away)


@pytest.mark.case("F25")
def test_a_worker_on_another_machine_counts_while_its_heartbeat_is_recent(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All machines slept for weeks: each waits three minutes for a sign of the others, then goes on."""
    counted = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: counted)
    with monkeypatch.context() as elsewhere:
        _another(elsewhere, "elsewhere:17")
        worker.tick(lite_app, world.START)
    for _ in range(4):
        with pytest.raises(worker.ClockRanAhead):
            worker.tick(lite_app, world.START + 9 * DAY)
        counted += 59
    worker.tick(lite_app, world.START + 9 * DAY)
    worker.heartbeat(world.START + 20 * DAY, trusted=True)


@pytest.mark.case("F25")
def test_a_clock_is_compared_with_the_database_servers(postgres_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres_app.app_context():
        empty_all()
        right = time.time()
        monkeypatch.setattr(clock, "now", lambda: int(right + 41 * DAY))
        world.shop()
        with pytest.raises(worker.ClockRanAhead, match="ahead of the database server's"):
            worker.tick(postgres_app)
        assert count_invoices() == 1
        said: list[str] = []
        monkeypatch.setattr("click.echo", lambda words, **_: said.append(words))
        monkeypatch.setattr(clock, "now", lambda: int(right))
        worker.tick(postgres_app)
        checks._check_worker()
        assert any(re.fullmatch(r"clock: \d+ s (behind|ahead of) the database server's", line) for line in said)
        monkeypatch.setitem(postgres_app.extensions, "clock_is_right", True)
        monkeypatch.setattr(clock, "now", lambda: int(right + 41 * DAY))
        worker.tick(postgres_app)


def test_a_check_says_that_there_is_no_clock_to_compare_with(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("click.echo", lambda words, **_: said.append(words))
    worker.heartbeat(clock.now())
    checks._check_worker()
    assert said[0] == "clock: there is no other to compare this machine's with: see to it that it is right"
