"""A migration that is killed at any instant, and run again: each period is billed by exactly one side, exactly once."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.migration import rows, take_over, undoing
from portal_site.billing.migration.checks import Method
from portal_site.billing.migration.stripe_api import StripeApi
from portal_site.billing.migration.take_over import Options
from portal_site.billing.models import Invoice
from portal_site.db import transactions
from tests.stripe.billing_double import DAY, MONTH, NOW
from tests.stripe.migrating import Move, moving
from tests.world import reading

HOUR = 3600
BOUNDARY = NOW + 29 * DAY
END = NOW + 61 * DAY


class Killed(BaseException):
    """The process is gone."""


class Killer:
    """Kills at the `left`-th instant from now: before and after each question to Stripe, and around each transaction."""

    def __init__(self) -> None:
        self.left = 0
        self.passed: Counter[str] = Counter()

    def instant(self, name: str) -> None:
        """One instant is over."""
        self.left -= 1
        if self.left == 0:
            self.passed[name] += 1
            raise Killed


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    killer, ask, transaction = Killer(), StripeApi.ask, transactions.transaction

    def asking(self: StripeApi, question: Any) -> Any:
        killer.instant("before a question")
        answer = ask(self, question)
        killer.instant("after a question")
        return answer

    @contextmanager
    def writing() -> Iterator[Any]:
        killer.instant("before a transaction")
        with transaction() as session:
            yield session
            killer.instant("in a transaction")
        killer.instant("after a transaction")

    monkeypatch.setattr(StripeApi, "ask", asking)
    monkeypatch.setattr(rows, "transaction", writing)
    return killer


def _run(move: Move, killer: Killer, left: int, options: Options, *, undo: frozenset[str] | None = None) -> bool:
    """Run the command, killed after so many instants. Whether it came to its end."""
    killer.left = left
    try:
        if undo is not None:
            list(undoing.undo(move.api, move.account_id, False, undo, move.now))
        else:
            list(take_over.take_over(move.api, move.account_id, options, move.now))
    except Killed:
        return False
    finally:
        killer.left = 0
    return True


def _billed_here() -> Counter[tuple[str, int]]:
    with reading() as connection:
        query = select(Invoice.subscription_id, Invoice.cycle_at, Invoice.status).where(Invoice.cycle_at.is_not(None))
        found = connection.execute(query).all()
    assert {row.status for row in found} <= {"paid", "open"}
    return Counter((row.subscription_id, row.cycle_at) for row in found)


def _assert_each_period_is_billed_once(move: Move, until: int) -> None:
    billed = _billed_here() + Counter(
        (one.subscription, one.boundary) for one in move.double.bills if one.status == "paid"
    )
    wanted = {
        (name, first + number * MONTH)
        for name, first in _first_boundaries(move).items()
        for number in range(4)
        if first + number * MONTH <= until
    }
    assert set(billed) == wanted
    assert {key: times for key, times in billed.items() if times != 1} == {}


def _first_boundaries(move: Move) -> dict[str, int]:
    return {
        name.removeprefix("in_"): one["period_start"] + 2 * MONTH
        for name, one in move.double.objects.items()
        if name.startswith("in_sub_")
    }


def _live_on(move: Move, until: int) -> None:
    """Let time go by, a few days at a time."""
    for day in range(move.now(), until, 4 * DAY):
        move.go_to(min(day + 4 * DAY, until))


INSTANTS = 26
RESUMED = {
    "at once": 0,
    "an hour before": BOUNDARY - HOUR,
    "minutes before": BOUNDARY - 300,
    "after": BOUNDARY + 2 * DAY,
}


def _fill(move: Move) -> list[str]:
    """Subscriptions of customers of their own that all renew at BOUNDARY."""
    move.double.fill(0)
    names = [f"sub_{number:04}" for number in range(INSTANTS)]
    for number, name in enumerate(names):
        move.double.customer(f"cus_{number:04}")
        move.double.subscription(name, f"cus_{number:04}", 10 * number)
    return names


def _finish(move: Move, killer: Killer, when: str, options: Options) -> None:
    """Let the time come, run the command again, and see that all is billed once."""
    if RESUMED[when] > move.now():
        move.go_to(RESUMED[when])
    assert _run(move, killer, 0, options)
    assert rows.unfinished(move.account_id, False) == []
    _live_on(move, END)
    _assert_each_period_is_billed_once(move, END)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("when", RESUMED)
def test_a_take_over_is_killed_at_each_instant_and_resumed(
    lite_app: Flask, tmp_path: Path, killer: Killer, method: Method, when: str
) -> None:
    with moving(near=True) as move:
        names = _fill(move)
        move.bring(tmp_path / "read")
        done = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(take_over, "resume", lambda *_given: iter(()))
            for number, name in enumerate(names, 1):
                done += _run(move, killer, number, Options(method, only=frozenset({name})))
        assert 0 < done < 8  # so each instant of a take-over was one to be killed at
        states = {one.state: one.subscriptions for one in rows.counts(move.account_id, False)}
        assert states["stopping"] > 5
        # What was not even planned stays at Stripe.
        _finish(move, killer, when, Options(method, only=frozenset({"sub_none"})))


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("when", RESUMED)
def test_an_undoing_is_killed_at_each_instant_and_resumed(
    lite_app: Flask, tmp_path: Path, killer: Killer, method: Method, when: str
) -> None:
    with moving(near=True) as move:
        names = _fill(move)
        move.bring(tmp_path / "read")
        assert {one.result for one in move.take(method).values()} == {"taken"}
        done = 0
        for number, name in enumerate(names, 1):
            done += _run(move, killer, number, Options(method), undo=frozenset({name}))
        assert 0 < done < INSTANTS - 10
        states = {one.state: one.subscriptions for one in rows.counts(move.account_id, False)}
        assert states["undoing"] > 5
        _finish(move, killer, when, Options(method, only=frozenset({"sub_none"})))


@pytest.mark.long(60)
def test_500_subscriptions_are_killed_at_every_step_as_time_goes_by(
    lite_app: Flask, tmp_path: Path, killer: Killer
) -> None:
    """Both methods, forth and back, killed hundreds of times; some renew in between, and are imported again."""
    dice = random.Random(48)
    with moving(500, near=True, charged=5) as move:
        move.bring(tmp_path / "read")
        kills = 0
        for number in range(4000):
            options = Options(dice.choice(list(Method)), limit=dice.choice([None, 5]))
            undo = frozenset({f"sub_{dice.randrange(500):04}"}) if number % 7 == 6 else None
            finished = _run(move, killer, 12 + dice.randrange(30), options, undo=undo)
            kills += not finished
            if finished and undo is None and options.limit is None:
                break
            if number % 25 == 0:
                move.go_to(move.now() + dice.randrange(10 * HOUR))
            else:
                move.double.advance(move.now() + dice.randrange(600))
        assert kills > 400
        assert len(killer.passed) == 5
        move.go_to(move.now() + DAY)
        _live_on(move, NOW + 35 * DAY)
        move.bring(tmp_path / "read")
        assert _run(move, killer, 0, Options(Method.PAUSE))
        _live_on(move, END)
        _assert_each_period_is_billed_once(move, END)
        counted = {one.state: one.subscriptions for one in rows.counts(move.account_id, False)}
        assert counted["taken_over"] > 450
