"""The worker: heartbeats, work that is due, parking of failing subscriptions, and the checks that tell an operator."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site import clock, worker
from portal_site.billing.billing_run import parking, renewal_batch
from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.models import (
    Invoice,
    PortalConfiguration,
    PortalSession,
    PortalVisit,
    PromotionCodeTry,
    SetupIntent,
    Subscription,
)
from portal_site.billing.models import Worker as WorkerRow
from portal_site.cli import checks
from portal_site.config import SettingsError
from portal_site.db import deletion
from tests import world
from tests.billing_runs import DAY, LATER, count_invoices
from tests.world import reading


def test_a_tick_bills_what_is_due_and_records_a_heartbeat(app: Flask) -> None:
    world.shop()
    report = worker.tick(app, LATER)
    assert (report.batch.invoiced, report.collected) == (1, 1)
    assert worker.last_seen() == LATER
    assert not worker.tick(app, LATER + 60).did_something
    assert count_invoices() == 2
    with reading() as reader:
        assert list(reader.scalars(select(WorkerRow.id))) == [worker.name()]


@pytest.mark.case("F11")
def test_a_failing_subscription_is_parked_without_affecting_others(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    shops = [world.shop(f"Shop{number}") for number in range(7)]
    bad = shops[3].subscription.id
    _poison(monkeypatch, bad)
    for number in range(parking.MOST_FAILURES):
        worker.tick(app, LATER + number * parking.RETRY)
    assert count_invoices() == 7 + 6
    assert parking.parked() == [(bad, "ValueError: bad data")]
    assert not worker.tick(app, LATER + 10 * parking.RETRY).did_something
    monkeypatch.undo()
    parking.unpark(bad, LATER)
    worker.tick(app, LATER + 11 * parking.RETRY)
    assert count_invoices() == 7 + 7
    assert parking.parked() == []


def _poison(monkeypatch: pytest.MonkeyPatch, subscription_id: str) -> None:
    """The rules choke on this one."""
    rule = renewal_batch.renew

    def choke(snapshot: object, *given: object) -> object:
        if snapshot.id == subscription_id:  # type: ignore[attr-defined]
            raise ValueError("bad data")
        return rule(snapshot, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(renewal_batch, "renew", choke)


def test_a_queue_in_redis_needs_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install portal-site\[redis\]"):
        worker.make_queue("redis://127.0.0.1:6379/0")


def test_check_reports_workers_and_parked_subscriptions(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = world.shop()
    said: list[str] = []
    monkeypatch.setattr("click.echo", lambda words, **_: said.append(words))
    with pytest.raises(SystemExit):
        checks._check_worker()
    worker.heartbeat(clock.now())
    checks._check_worker()
    assert said[-3].startswith("worker: alive, seen ")
    assert said[-2:] == ["billing: nothing is parked", "payments: all answered"]
    with world.transaction() as session:
        row = session.merge(shop.subscription)
        row.due_at, row.billing_error = None, "ValueError: bad data"
    with pytest.raises(SystemExit):
        checks._check_worker()
    assert f"billing: {shop.subscription.id} is parked: ValueError: bad data" in said


def test_a_renewal_stores_the_next_due_date(app: Flask) -> None:
    shop = world.shop()
    with reading() as reader:
        assert reader.scalar(select(Subscription.due_at).where(Subscription.id == shop.subscription.id)) == world.END


@pytest.mark.case("D14")
def test_a_batch_a_day_late_is_flagged(app: Flask) -> None:
    world.shop("Now")
    assert worker.tick(app, world.END + 24 * 60 * 60).batch.late == 0
    late = world.shop("Late")
    assert worker.tick(app, world.END + 24 * 60 * 60 + 1).batch.late == 1
    with reading() as reader:
        mine = Invoice.customer_id == late.customer.id
        assert reader.scalar(select(func.count()).select_from(Invoice).where(mine)) == 2


@pytest.mark.case("F2")
@pytest.mark.parametrize(("seconds", "settled"), [(59, 0), (60, 1)])
def test_a_payment_without_an_answer_is_asked_about_after_a_minute(
    app: Flask, monkeypatch: pytest.MonkeyPatch, seconds: int, settled: int
) -> None:
    world.shop()
    gateway = app.extensions["gateways"].shared("sandbox")

    def lose(*_given: object) -> object:
        raise GatewayUnavailable("lost")

    with monkeypatch.context() as broken:
        broken.setattr(gateway, "charge", lose)
        worker.tick(app, world.END)
    assert worker.tick(app, world.END + seconds).settled == settled


def test_a_sent_invoice_is_due_after_its_days(app: Flask) -> None:
    world.shop(collection_method="send_invoice", days_until_due=14)
    worker.tick(app, world.END)
    with reading() as reader:
        due = select(Invoice.due_date).where(Invoice.cycle_at == world.END)
        assert reader.scalar(due) == world.END + 14 * 24 * 60 * 60


def test_the_queue_carries_no_pickles(lite_app: Flask, tmp_path: Path) -> None:
    queue = worker.make_queue(f"sqlite:///{tmp_path}/queue.db")
    ran: list[object] = []
    task = queue.task()(lambda *given, **named: ran.append((given, named)))
    task(1, "two", three=[3])
    task.schedule((4,), delay=3600)
    worker.register(queue, lite_app)()
    stored = [bytes(data) for data in (*queue.storage.enqueued_items(), *queue.storage.scheduled_items())]
    assert len(stored) == 3
    assert all(json.loads(data)["id"] for data in stored)
    taken = [queue.dequeue() for _ in stored]
    one, minute, later = sorted(taken, key=lambda found: (found.eta is not None, found.expires is not None))
    assert (list(one.args), one.kwargs) == ([1, "two"], {"three": [3]})
    queue.execute(one)
    assert ran == [((1, "two"), {"three": [3]})]
    assert isinstance(later.eta, datetime)
    assert isinstance(minute.expires_resolved, datetime)
    assert queue.serializer.deserialize(queue.serializer.serialize([None, True])) == [None, True]


def test_rows_that_are_over_are_removed_after_ninety_days(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = world.scene()
    now = clock.now()
    owner = {"account_id": scene.account_id, "customer_id": scene.customer.id}
    with world.transaction() as session:
        for number, days in enumerate((91, 92, 93, 89, 0)):
            made = now - days * DAY
            kept = session.scalars(
                select(PortalConfiguration.id).where(PortalConfiguration.account_id == scene.account_id)
            ).first()
            session.add(
                PortalSession(
                    id=f"bps_{number}",
                    created=made,
                    token_hash=f"link{number}",
                    expires_at=made,
                    configuration_id=kept,
                    **owner,
                )
            )
            session.flush()
            visit = {
                "session_id": f"bps_{number}",
                "token_hash": f"visit{number}",
                "opened_at": made,
                "last_seen_at": made,
            }
            session.add_all([
                PortalVisit(id=f"visit_{number}", account_id=scene.account_id, **visit),
                PromotionCodeTry(id=f"try_{number}", created=made, **owner),
                SetupIntent(id=f"seti_{number}", created=made, gateway_reference="x", **owner),
            ])  # fmt: skip
    monkeypatch.setattr(deletion, "BATCH", 2)
    worker.tick(app, now)
    with reading() as reader:
        for kind in (PortalVisit, PortalSession, PromotionCodeTry, SetupIntent):
            assert {name[-1] for name in reader.scalars(select(kind.id))} == {"3", "4"}
