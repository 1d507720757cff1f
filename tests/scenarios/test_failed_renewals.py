"""A step that failed for a reason that passed bills, and dates, what it would have without the failure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import batches, parking, renewal_batch, runner
from portal_site.billing.models import Event, Invoice, Subscription, SubscriptionItem
from portal_site.db import db
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.life import BACK, Life
from tests.world import reading

FIVE_WEEKS_LATE = at("2026-06-03")  # two periods: those of May and of June
Story = Callable[[Life], object]

STORIES: dict[str, tuple[Story, int]] = {
    # what is agreed, and when the first step is due
    "plain": (lambda life: None, world.END),
    "a coupon that ends a minute later": (
        lambda life: life.gets_a_discount(world.END + 60, percent_off="50"),
        world.END,
    ),
    "a coupon for one invoice": (lambda life: life.gets_a_discount(percent_off="30", duration="once"), world.END),
    "a new price with the period": (lambda life: life.is_scheduled(("2026-05-01", {"solo": 3})), world.END),
    "two phases": (
        lambda life: life.is_scheduled(("2026-05-01", {"team": 2}), ("2026-06-01", {"solo": 5}), ends="2026-07-01"),
        world.END,
    ),
    "a phase inside the period": (lambda life: life.is_scheduled(("2026-04-16", {"team": 4})), world.HALF),
    "an end with the period": (lambda life: life.has(cancel_at_period_end=True), world.END),
    "an end later": (lambda life: life.has(cancel_at=at("2026-05-11")), world.END),
    "a schedule that ends it": (
        lambda life: life.is_scheduled(("2026-04-01", {"team": 1}), ends="2026-05-01", end_behavior="cancel"),
        world.END,
    ),
    "a pause that ends": (
        lambda life: life.has(pause_collection={"behavior": "void", "resumes_at": world.END}),
        world.END,
    ),
    "a weekly item beside": (lambda life: life.gets_item(100, every="week"), at("2026-04-08")),
}


@contextmanager
def _failing(monkeypatch: pytest.MonkeyPatch, subscription_id: str) -> Iterator[None]:
    """Whatever is decided about this subscription fails, be it a transition or a renewal."""

    def choke(*given: Any) -> Any:
        raise ValueError("for a moment")

    decide, step = renewal_batch.RenewalBatch.decide, batches.transitions.apply_due_transitions
    with monkeypatch.context() as broken:
        broken.setattr(
            renewal_batch.RenewalBatch,
            "decide",
            lambda self: choke() if any(row.id == subscription_id for row in self.rows) else decide(self),
        )
        broken.setattr(
            batches.transitions,
            "apply_due_transitions",
            lambda *given: choke() if given[2] == subscription_id else step(*given),
        )
        yield


def _beside(life: Life, due_at: int, name: str) -> None:
    """Another customer on the clock, who is to be billed at this instant."""
    good = world.shop(name)
    with world.transaction() as session:
        session.merge(good.customer).test_clock_id = life.clock_id
        row = session.merge(good.subscription)
        row.due_at = row.billing_cycle_anchor = due_at
        session.scalars(
            select(SubscriptionItem).where(
                SubscriptionItem.id == good.item_id, SubscriptionItem.account_id == row.account_id
            )
        ).one().current_period_end = due_at


def _lives(app: Flask, monkeypatch: pytest.MonkeyPatch, story: str, first_try: int, failures: int) -> tuple[Any, ...]:
    """What became of a subscription that failed so many times, each beside another that was billed, and was billed then."""
    agree, _ = STORIES[story]
    life = Life.begins(app)
    agree(life)
    db.session.remove()  # what is rolled back below must not expire the objects of the shop
    run = lambda now: runner.run(app.extensions["gateways"], now, lambda _invoice: BACK, life.clock_id)  # noqa: E731
    with life._context():
        for number in range(failures):
            _beside(life, first_try, f"Good{number}")
            with _failing(monkeypatch, life.shop.subscription.id):
                run(first_try + number * parking.RETRY)
            assert life.subscription.billing_failures == number + 1
        last_try = first_try + parking.MOST_FAILURES * parking.RETRY
        if failures == parking.MOST_FAILURES:
            assert parking.parked() == [(life.shop.subscription.id, "ValueError: for a moment")]
            parking.unpark(life.shop.subscription.id, last_try)
        for _ in range(2):  # what a first run writes, a second may act on
            run(last_try)
    ledger.audit(life.shop.customer.account_id)
    row = life.subscription
    assert (row.billing_failures, row.billing_error, row.overdue_since) == (0, None, None)
    with reading() as reader:
        mine = Invoice.customer_id == life.shop.customer.id
        periods = reader.execute(
            select(Invoice.cycle_at, Invoice.period_start, Invoice.period_end, Invoice.amount_due)
            .where(mine)
            .order_by(Invoice.number)
        ).all()
        kinds = reader.scalars(
            select(Event.type).where(Event.account_id == life.shop.customer.account_id).order_by(Event.type)
        ).all()
    return life.bills(), list(map(tuple, periods)), row.status, row.ended_at, row.due_at, life.balance, list(kinds)


@pytest.mark.case("F22")
@pytest.mark.parametrize("late", [False, True], ids=["on time", "two periods late"])
@pytest.mark.parametrize("story", STORIES)
def test_what_failed_and_passed_is_billed_as_if_it_never_had(
    app: Flask, monkeypatch: pytest.MonkeyPatch, story: str, late: bool
) -> None:
    first_try = FIVE_WEEKS_LATE if late else STORIES[story][1]
    expected = _lives(app, monkeypatch, story, first_try, 0)
    for failures in range(1, parking.MOST_FAILURES + 1):
        assert _lives(app, monkeypatch, story, first_try, failures) == expected


@pytest.mark.case("F11")
def test_the_sister_of_a_subscription_that_fails_goes_on(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = world.shop()
    sister = world.second_subscription(shop, days=30)  # due at the same instant
    db.session.remove()
    gateways = app.extensions["gateways"]
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        for number in range(parking.MOST_FAILURES):
            with _failing(monkeypatch, shop.subscription.id):
                report = runner.run(gateways, world.END + number * parking.RETRY, lambda _invoice: BACK)
            assert report.batch.invoiced == (number == 0)
    with reading() as reader:
        billed = Invoice.cycle_at == world.END
        assert list(reader.scalars(select(Invoice.subscription_id).where(billed))) == [sister.id]
        failures = dict(reader.execute(select(Subscription.id, Subscription.billing_failures)).all())
    assert failures == {shop.subscription.id: parking.MOST_FAILURES, sister.id: 0}


@pytest.mark.case("D14")
def test_one_that_was_too_far_behind_is_billed_for_all_of_it_once_somebody_says_so(app: Flask) -> None:
    life = Life.begins(app)
    now = at("2027-09-15")
    with life._context() as gateways:
        runner.run(gateways, now, lambda _invoice: BACK, life.clock_id)
        assert parking.parked() == [(life.shop.subscription.id, "more than 15 periods behind")]
        assert parking.unpark_all(now, "periods behind") == 1
        runner.run(gateways, now, lambda _invoice: BACK, life.clock_id)
    assert len(life.bills()) == 17
    assert (life.subscription.billing_error, life.subscription.due_at) == (None, at("2027-10-01"))


@pytest.mark.case("F13")
def test_what_a_program_of_before_left_standing_changes_nothing(app: Flask) -> None:
    """During an upgrade it takes a step that was put off, and does not know of the column that says so."""
    expected = Life.begins(app).goes_to("2026-06-02").bills()
    life = Life.begins(app).goes_to("2026-05-02")
    life.has(overdue_since=world.END, due_at=at("2026-06-01"))
    life.goes_to("2026-06-02")
    assert life.bills() == expected
    assert (life.subscription.overdue_since, life.subscription.due_at) == (None, at("2026-07-01"))
