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
from tests.scenarios.history import BACK, History
from tests.world import reading

FIVE_WEEKS_LATE = at("2026-06-03")  # two periods: those of May and of June
Story = Callable[[History], object]

STORIES: dict[str, tuple[Story, int]] = {
    # what is agreed, and when the first step is due
    "plain": (lambda history: None, world.END),
    "a coupon that ends a minute later": (
        lambda history: history.add_discount(world.END + 60, percent_off="50"),
        world.END,
    ),
    "a coupon for one invoice": (lambda history: history.add_discount(percent_off="30", duration="once"), world.END),
    "a new price with the period": (lambda history: history.add_schedule(("2026-05-01", {"solo": 3})), world.END),
    "two phases": (
        lambda history: history.add_schedule(
            ("2026-05-01", {"team": 2}), ("2026-06-01", {"solo": 5}), ends="2026-07-01"
        ),
        world.END,
    ),
    "a phase inside the period": (lambda history: history.add_schedule(("2026-04-16", {"team": 4})), world.HALF),
    "an end with the period": (lambda history: history.set_members(cancel_at_period_end=True), world.END),
    "an end later": (lambda history: history.set_members(cancel_at=at("2026-05-11")), world.END),
    "a schedule that ends it": (
        lambda history: history.add_schedule(("2026-04-01", {"team": 1}), ends="2026-05-01", end_behavior="cancel"),
        world.END,
    ),
    "a pause that ends": (
        lambda history: history.set_members(pause_collection={"behavior": "void", "resumes_at": world.END}),
        world.END,
    ),
    "a weekly item beside": (lambda history: history.add_item(100, every="week"), at("2026-04-08")),
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


def _add_subscription(history: History, due_at: int, name: str) -> None:
    """Another customer on the clock, who is to be billed at this instant."""
    good = world.shop(name)
    with world.transaction() as session:
        session.merge(good.customer).test_clock_id = history.clock_id
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
    history = History.start(app)
    agree(history)
    db.session.remove()  # what is rolled back below must not expire the objects of the shop
    run = lambda now: runner.run(app.extensions["gateways"], now, lambda _invoice: BACK, history.clock_id)  # noqa: E731
    with history.gateways():
        for number in range(failures):
            _add_subscription(history, first_try, f"Good{number}")
            with _failing(monkeypatch, history.shop.subscription.id):
                run(first_try + number * parking.RETRY)
            assert history.subscription.billing_failures == number + 1
        last_try = first_try + parking.MOST_FAILURES * parking.RETRY
        if failures == parking.MOST_FAILURES:
            assert parking.parked() == [(history.shop.subscription.id, "ValueError: for a moment")]
            parking.unpark(history.shop.subscription.id, last_try)
        for _ in range(2):  # what a first run writes, a second may act on
            run(last_try)
    ledger.audit(history.shop.customer.account_id)
    row = history.subscription
    assert (row.billing_failures, row.billing_error, row.overdue_since) == (0, None, None)
    with reading() as reader:
        mine = Invoice.customer_id == history.shop.customer.id
        periods = reader.execute(
            select(Invoice.cycle_at, Invoice.period_start, Invoice.period_end, Invoice.amount_due)
            .where(mine)
            .order_by(Invoice.number)
        ).all()
        kinds = reader.scalars(
            select(Event.type).where(Event.account_id == history.shop.customer.account_id).order_by(Event.type)
        ).all()
    return (
        history.invoices(),
        list(map(tuple, periods)),
        row.status,
        row.ended_at,
        row.due_at,
        history.balance,
        list(kinds),
    )


@pytest.mark.case("F22")
@pytest.mark.parametrize("late", [False, True], ids=["on time", "two periods late"])
@pytest.mark.parametrize("story", STORIES)
def test_a_renewal_that_failed_temporarily_is_billed_as_usual(
    app: Flask, monkeypatch: pytest.MonkeyPatch, story: str, late: bool
) -> None:
    first_try = FIVE_WEEKS_LATE if late else STORIES[story][1]
    expected = _lives(app, monkeypatch, story, first_try, 0)
    for failures in range(1, parking.MOST_FAILURES + 1):
        assert _lives(app, monkeypatch, story, first_try, failures) == expected


@pytest.mark.case("F11")
def test_a_failing_subscription_does_not_affect_the_customers_other_one(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_an_unparked_subscription_is_billed_for_all_missed_periods(app: Flask) -> None:
    history = History.start(app)
    now = at("2027-09-15")
    with history.gateways() as gateways:
        runner.run(gateways, now, lambda _invoice: BACK, history.clock_id)
        assert parking.parked() == [(history.shop.subscription.id, "more than 15 periods behind")]
        assert parking.unpark_all(now, "periods behind") == 1
        runner.run(gateways, now, lambda _invoice: BACK, history.clock_id)
    assert len(history.invoices()) == 17
    assert (history.subscription.billing_error, history.subscription.due_at) == (None, at("2027-10-01"))


@pytest.mark.case("F13")
def test_state_left_by_an_older_version_is_handled(app: Flask) -> None:
    """During an upgrade it takes a step that was put off, and does not know of the column that says so."""
    expected = History.start(app).advance_to("2026-06-02").invoices()
    history = History.start(app).advance_to("2026-05-02")
    history.set_members(overdue_since=world.END, due_at=at("2026-06-01"))
    history.advance_to("2026-06-02")
    assert history.invoices() == expected
    assert (history.subscription.overdue_since, history.subscription.due_at) == (None, at("2026-07-01"))
