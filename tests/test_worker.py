"""The worker: heartbeats, work that is due, parking of failing subscriptions, and recovery after being killed."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, func, make_url, select, text, update

from portal_site import clock, worker
from portal_site.billing.billing_run import clean_up, parking, renewal_batch
from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.models import (
    Invoice,
    PortalConfiguration,
    PortalSession,
    PortalVisit,
    PromotionCodeTry,
    SetupIntent,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.models import Worker as WorkerRow
from portal_site.billing.rules.amounts.periods import boundary
from portal_site.cli import checks
from portal_site.config import SettingsError
from portal_site.db import db
from tests import world
from tests.conftest import SECRET, empty_all, make_app
from tests.world import reading

LATER = world.END + 60


def _invoices() -> int:
    db.session.remove()
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(Invoice)) or 0


def test_it_does_what_is_due_and_says_that_it_was_there(app: Flask) -> None:
    world.shop()
    report = worker.tick(app, LATER)
    assert (report.batch.invoiced, report.collected) == (1, 1)
    assert worker.last_seen() == LATER
    assert not worker.tick(app, LATER + 60).did_something
    assert _invoices() == 2
    with reading() as reader:
        assert list(reader.scalars(select(WorkerRow.id))) == [worker.name()]


@pytest.mark.case("D13")
def test_a_clock_that_went_back_bills_nothing(app: Flask) -> None:
    world.shop()
    worker.heartbeat(LATER + 3600)
    with pytest.raises(worker.ClockWentBack, match="behind"):
        worker.tick(app, LATER)
    assert _invoices() == 1
    assert worker.tick(app, LATER + 3600 - 300).batch.invoiced == 1


@pytest.mark.case("D13")
def test_a_clock_that_ran_ahead_can_be_forgotten_and_nothing_is_billed_twice(app: Flask) -> None:
    world.shop()
    worker.tick(app, world.END + 40 * 24 * 60 * 60)  # more than a month ahead: two periods are billed
    assert _invoices() == 3
    with pytest.raises(worker.ClockWentBack):
        worker.tick(app, LATER)
    worker.trust_clock(LATER)
    assert not worker.tick(app, LATER).batch.invoiced
    assert not worker.tick(app, world.END + 32 * 24 * 60 * 60).batch.invoiced
    assert _invoices() == 3


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


@pytest.mark.case("F11")
def test_a_subscription_that_cannot_be_billed_is_parked_and_the_others_go_on(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops = [world.shop(f"Shop{number}") for number in range(7)]
    bad = shops[3].subscription.id
    _poison(monkeypatch, bad)
    for number in range(parking.MOST_FAILURES):
        worker.tick(app, LATER + number * parking.RETRY)
    assert _invoices() == 7 + 6
    assert parking.parked() == [(bad, "ValueError: bad data")]
    assert not worker.tick(app, LATER + 10 * parking.RETRY).did_something
    monkeypatch.undo()
    parking.unpark(bad, LATER)
    worker.tick(app, LATER + 11 * parking.RETRY)
    assert _invoices() == 7 + 7
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


@pytest.fixture
def process(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers of this test, stopped at its end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for one in started:
        one.kill()
        one.wait(10)


def _make_due(app: Flask, shops: int) -> None:
    """So many shops in the app's database, each with one subscription that has been due for a minute."""
    with app.app_context():
        for number in range(shops):
            shop = world.shop(f"Shop{number}")
        with world.transaction() as session:
            now = clock.now()
            for late in (
                update(Subscription).values(due_at=now - 60),
                update(SubscriptionItem).values(current_period_end=now - 60),
            ):
                session.execute(late.execution_options(unscoped="everybody is due", synchronize_session=False))
        db.session.remove()
        assert shop


def _start(
    folder: Path, url: str, *words: str, stderr: Any = subprocess.DEVNULL, **more: str
) -> subprocess.Popen[bytes]:
    """`portal worker` as a process of its own."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    environment = {
        **os.environ, "PORTAL_SECRET_KEY": SECRET, "PORTAL_BASE_URL": "http://127.0.0.1:8000",
        "PORTAL_DATA_DIR": str(folder), "PORTAL_DATABASE_URL": url, "PYTHONPATH": path, **more,
    }  # fmt: skip
    command = [sys.executable, "-m", "portal_site.cli", "worker", *words]
    return subprocess.Popen(command, env=environment, stderr=stderr)


def _paid(engine: Engine) -> int:
    with engine.connect() as connection:
        query = "SELECT count(*) FROM invoices WHERE status = 'paid' AND billing_reason = 'subscription_cycle'"
        return int(connection.execute(text(query)).scalar_one())


@pytest.fixture(params=["postgresql", "redis"])
def queue_url(request: pytest.FixtureRequest, postgres: str, tmp_path: Path) -> Iterator[str]:
    """A queue on a real server; Redis where this machine has one."""
    if request.param == "postgresql":
        yield make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
        return
    pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        _wait(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def test_two_threads_of_a_worker_share_a_queue_on_a_server(
    queue_url: str, postgres: str, tmp_path: Path, process: list[subprocess.Popen[bytes]]
) -> None:
    server = make_url(postgres).set(drivername="postgresql+psycopg")
    name = f"worker_{os.getpid()}_{urlsplit(queue_url).scheme}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.set(database=name).render_as_string(hide_password=False)
    engine = create_engine(url)
    try:
        own = make_app(url, tmp_path)
        _make_due(own, 8)
        with own.app_context():
            db.engine.dispose()
        with (tmp_path / "log").open("wb") as log:
            process.append(_start(tmp_path, url, "--threads", "2", stderr=log, PORTAL_QUEUE_URL=queue_url))
            _wait(lambda: _paid(engine) == 16)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM workers")).scalar_one() == 1
            process[0].terminate()
            process[0].wait(20)
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        for one in process:
            one.kill()
            one.wait(10)
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.mark.case("F1")
@pytest.mark.long(70)
def test_a_worker_process_that_is_killed_is_replaced_by_the_next(
    sqlite_app: Flask, tmp_path: Path, process: list[subprocess.Popen[bytes]]
) -> None:
    """Real processes with a real queue: the first is killed as soon as it works, the second finishes."""
    url = f"sqlite:///{tmp_path}/portal.db"
    _make_due(make_app(url, tmp_path), 150)

    def start() -> subprocess.Popen[bytes]:
        process.append(_start(tmp_path, url))
        return process[-1]

    engine = create_engine(url)

    def paid() -> int:
        return _paid(engine)

    first = start()
    _wait(lambda: paid() > 155)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    start()
    # A payment that was under way when the first was killed is asked about after a minute, with the next tick.
    _wait(lambda: paid() == 300, 180)
    with engine.connect() as connection:
        twice = (
            "SELECT count(*) FROM (SELECT subscription_id FROM invoices GROUP BY subscription_id HAVING count(*) <> 2)"
        )
        assert connection.execute(text(twice)).scalar_one() == 0
        charges = "SELECT count(*) FROM sandbox_charges"
        assert connection.execute(text(charges)).scalar_one() == 150
    engine.dispose()


def _wait(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "the worker did not get there"
        time.sleep(0.05)


def test_check_tells_of_workers_and_of_what_is_parked(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_subscription_says_when_it_is_due_next(app: Flask) -> None:
    shop = world.shop()
    with reading() as reader:
        assert reader.scalar(select(Subscription.due_at).where(Subscription.id == shop.subscription.id)) == world.END


@pytest.mark.case("D14")
def test_what_is_billed_a_day_late_is_flagged(app: Flask) -> None:
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
    gateway = app.extensions["gateways"].default

    def lose(*_given: object) -> object:
        raise GatewayUnavailable("lost")

    with monkeypatch.context() as broken:
        broken.setattr(gateway, "charge", lose)
        worker.tick(app, world.END)
    assert worker.tick(app, world.END + seconds).settled == settled


def test_an_invoice_that_is_sent_is_due_when_it_says(app: Flask) -> None:
    world.shop(collection_method="send_invoice", days_until_due=14)
    worker.tick(app, world.END)
    with reading() as reader:
        due = select(Invoice.due_date).where(Invoice.cycle_at == world.END)
        assert reader.scalar(due) == world.END + 14 * 24 * 60 * 60


DAY = 24 * 60 * 60


def _another(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(worker, "name", lambda: name)


@pytest.fixture
def running() -> Iterator[str]:
    """The name of a worker on this machine that runs."""
    with subprocess.Popen(["sleep", "600"]) as other:
        yield f"{socket.gethostname()}:{other.pid}"
        other.kill()


@pytest.mark.case("F25")
def test_a_clock_that_is_ahead_of_a_worker_that_runs_bills_nothing(
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
    assert _invoices() == 1
    assert worker.faults(at + 120) == [f"this clock is {41 * DAY} s ahead of that of {running}, which may be running"]
    worker.tick(lite_app, at + 120 + worker.SKEW)  # no more than ten minutes apart
    with monkeypatch.context() as right:
        _another(right, running)
        worker.tick(lite_app, at + 120 + worker.SKEW + 60)
    assert worker.faults(at + 120 + worker.SKEW) == []


@pytest.mark.case("F25")
@pytest.mark.parametrize("away", [11 * 60, 3 * 7 * DAY, 400 * DAY])
def test_a_worker_that_was_away_is_right(lite_app: Flask, monkeypatch: pytest.MonkeyPatch, away: int) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f"{socket.gethostname()}:{gone.pid}", worker.name()):
        with monkeypatch.context() as before:
            _another(before, name)
            worker.tick(lite_app, world.END - 3600)
    world.shop()
    worker.tick(lite_app, world.END - 3600 + away)


@pytest.mark.case("F25")
def test_a_worker_elsewhere_counts_until_nothing_more_is_heard_of_it(
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
        assert _invoices() == 1
        said: list[str] = []
        monkeypatch.setattr("click.echo", lambda words, **_: said.append(words))
        monkeypatch.setattr(clock, "now", lambda: int(right))
        worker.tick(postgres_app)
        checks._check_worker()
        assert any(re.fullmatch(r"clock: \d+ s (behind|ahead of) the database server's", line) for line in said)
        monkeypatch.setitem(postgres_app.extensions, "clock_is_right", True)
        monkeypatch.setattr(clock, "now", lambda: int(right + 41 * DAY))
        worker.tick(postgres_app)


def test_where_there_is_no_other_clock_a_check_says_so(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("click.echo", lambda words, **_: said.append(words))
    worker.heartbeat(clock.now())
    checks._check_worker()
    assert said[0] == "clock: there is no other to compare this machine's with: see to it that it is right"


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
    monkeypatch.setattr(clean_up, "BATCH", 2)
    worker.tick(app, now)
    with reading() as reader:
        for kind in (PortalVisit, PortalSession, PromotionCodeTry, SetupIntent):
            assert {name[-1] for name in reader.scalars(select(kind.id))} == {"3", "4"}
