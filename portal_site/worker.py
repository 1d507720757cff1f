"""The worker process, which runs billing once a minute. Huey is the scheduler; what is due is stored in the database.

No work is lost when a worker is killed: the next run, or another worker, finds the same work to do. Several workers share the
work (see billing.billing_run).
"""

import gc
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey, crontab
from huey.registry import Message
from huey.serializer import Serializer
from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site import clock, locations
from portal_site.billing.billing_run import clean_up, parallel_calls, runner
from portal_site.billing.billing_run.failures import RunStopped
from portal_site.billing.billing_run.runner import RunReport
from portal_site.billing.migration import undoing
from portal_site.billing.migration.stripe_api import PER_SECOND, Pace
from portal_site.billing.models import Worker
from portal_site.billing.payments import provider_events
from portal_site.config import SettingsError
from portal_site.dashboard.invoices import emails as invoice_emails
from portal_site.db import db
from portal_site.db.faults import described, is_of_surroundings
from portal_site.db.transactions import reading, retry_on_conflict, transaction
from portal_site.deliveries import lanes
from portal_site.domains import rechecks
from portal_site.mail import outbox, sending
from portal_site.notices import cancellation_requests, following, reminders
from portal_site.rate_limits import storages
from portal_site.staff import sessions as staff_sessions
from portal_site.web import addresses

# All in seconds.
SILENCE = 3 * 60  # a worker without a heartbeat for this long counts as gone
BEAT = 20  # the shortest time between two heartbeats
SKEW = 10 * 60  # the largest accepted difference between the clocks of two machines
LAST_LOOK = 5  # for the statement that looks for endpoints
LAST_MAIL = 30  # for the e-mail that is being sent while the worker is stopped
FORGET = 24 * 60 * 60  # a worker without a heartbeat for this long is deleted
NOTICES = (cancellation_requests.answer, following.CUSTOMERS.follow, invoice_emails.TEAM.follow, reminders.write_due)
MOMENTS = ("eta", "expires_resolved")  # members of a message
log = logging.getLogger("portal.worker")


def trust_clock(at: int) -> None:
    """Accept `at` as the correct time: heartbeats later than that came from workers with a wrong clock and are reset."""
    with transaction() as session:
        session.execute(update(Worker).where(Worker.seen_at > at).values(seen_at=at))


class WrongClock(Exception):
    """This machine's clock differs from another one. Billing by either could bill twice, or too early."""


class ClockWentBack(WrongClock):
    """This machine's clock is behind another worker's heartbeat."""


class ClockRanAhead(WrongClock):
    """This machine's clock is ahead of the database server's, or of another worker's that is alive."""


def name() -> str:
    """A name that identifies this process among the workers of all machines: host name and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def heartbeat(at: int, *, trusted: bool = False) -> None:
    """Record that this worker is running. Raises ClockWentBack and, unless its clock is `trusted`, ClockRanAhead."""
    with transaction() as session:
        others = {row.id: row.seen_at for row in session.scalars(select(Worker))}
        newest = max(others.values(), default=0)
        if at < newest - SKEW:
            raise ClockWentBack(f"this clock is {newest - at} s behind another worker's")
        others.pop(name(), None)
        if not trusted:
            _refuse_to_run_ahead(session, others, at)
        row = session.get(Worker, name())
        if row is None:
            session.execute(delete(Worker).where(Worker.seen_at < at - FORGET))
            with suppress(IntegrityError), session.begin_nested():  # another thread of this process may insert it first
                session.add(Worker(id=name(), started_at=at, seen_at=at))
        else:
            row.seen_at = max(row.seen_at, at)


def _refuse_to_run_ahead(session: Session, others: Mapping[str, int], at: int) -> None:
    """Raise ClockRanAhead. `others` are the last heartbeats of the other workers, of which those that are gone do not count."""
    ahead = seconds_ahead(session)
    if ahead is not None:
        if ahead > SKEW:
            raise ClockRanAhead(f"this clock is {ahead} s ahead of the database server's")
        return
    for other, seen_at in others.items():
        if at > seen_at + SKEW and _may_be_alive(other, seen_at):
            raise ClockRanAhead(f"this clock is {at - seen_at} s ahead of that of {other}, which may be running")


def try_to_write() -> None:
    """Write something that is gone at once. Raises what keeps a worker from writing, such as a full disk."""
    with transaction() as session:
        session.add(Worker(id="check", started_at=0, seen_at=0))
        session.flush()
        session.execute(delete(Worker).where(Worker.id == "check"))


def seconds_ahead(session: Session | Connection) -> int | None:
    """By how much this machine's clock is ahead of the database server's; None for SQLite, which has none."""
    if db.engine.dialect.name != "postgresql":
        return None
    return clock.now() - int(session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)


# What was last heard of workers that are behind: the heartbeat, and since when nothing came after it, by a clock that counts.
_heard: dict[str, tuple[int, float]] = {}


def _may_be_alive(other: str, seen_at: int) -> bool:
    """Whether a worker whose last heartbeat is old by this clock is running: then one of the two clocks is wrong.

    A process of this machine can be looked for. One that lives gives another sign within three minutes, by whatever clock.
    """
    host, _, pid = other.rpartition(":")
    if not pid.isdigit() or (host == socket.gethostname() and not _runs(int(pid))):
        return False
    if _heard.get(other, (None, 0))[0] != seen_at:
        _heard[other] = seen_at, time.monotonic()
    return time.monotonic() - _heard[other][1] < SILENCE


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def note_fault(fault: str | None) -> None:
    """Store what stopped the last run, for `portal check`; None: the run went through, and so can those of this machine."""
    here = Worker.id == name() if fault else Worker.id.startswith(f"{socket.gethostname()}:", autoescape=True)
    with reading() as reader:
        noted = reader.scalars(select(Worker.fault).where(here)).all()
    if any(before != fault for before in noted):
        with transaction() as session:
            session.execute(update(Worker).where(here).values(fault=fault))


def _note_wrong_clock(fault: str) -> None:
    """Store it for `portal check`, with the time of the others, since this worker's own is not to be trusted."""
    with transaction() as session:
        newest = session.scalar(select(func.max(Worker.seen_at))) or 0
        row = session.get(Worker, name()) or Worker(id=name(), started_at=newest)
        row.seen_at, row.fault = newest, fault
        session.add(row)


def faults(at: int) -> list[str]:
    """What stopped the last runs of the workers that are alive."""
    query = select(Worker.fault).where(Worker.fault.is_not(None), Worker.seen_at >= at - SILENCE).distinct()
    with reading() as reader:
        return [fault for fault in reader.scalars(query.order_by(Worker.fault)) if fault]


def last_seen() -> int | None:
    """The time of the latest heartbeat of any worker, or None."""
    with reading() as reader:
        return reader.scalar(select(func.max(Worker.seen_at)))


def _bill(app: Flask, at: int, beat: Callable[[RunReport], None]) -> RunReport:
    """Work off what providers told, and bill what is due."""
    gateways = app.extensions["gateways"]
    provider_events.catch_up(gateways, at)
    provider_events.work_off(gateways, at, addresses.after_payment)
    with ThreadPoolExecutor(parallel_calls.AT_ONCE, "call", lambda: app.app_context().push()) as pool:
        return runner.run(gateways, at, addresses.after_payment, beat=beat, pool=pool)


def tick(app: Flask, at: int | None = None) -> RunReport:
    """Do all billing work that is due at `at` (default: now), with heartbeats in between."""
    at = clock.now() if at is None else at
    with app.app_context(), app.test_request_context(base_url=app.config["SETTINGS"].base_url):
        beating = partial(heartbeat, trusted=bool(app.extensions.get("clock_is_right")))
        try:
            retry_on_conflict(beating, at)
        except WrongClock as error:
            _note_wrong_clock(str(error))
            raise
        began = last_beat = clock.now()

        def beat(_report: RunReport) -> None:
            nonlocal last_beat
            if (now := clock.now()) >= last_beat + BEAT:
                last_beat = now
                retry_on_conflict(beating, at + now - began)

        try:
            report = _bill(app, at, beat)
        except Exception as error:
            with suppress(SQLAlchemyError):  # a database that takes no writes: `portal check` finds that by itself
                note_fault(described(error))
            raise
        note_fault(report.fault)
        clean_up.remove_old_rows(at)
        outbox.remove_old(at)
        storages.remove_old(at)
        staff_sessions.remove_old_rows(at)
        rechecks.check_due(app.extensions["dns"], at)
        pace = Pace(PER_SECOND, time.monotonic, time.sleep)
        for one in undoing.finish_interrupted(app.extensions["gateways"], at, pace):
            log.info("take-over of %s: %s %s", one.subscription, one.result, "; ".join(one.why))
    if report.did_something:
        log.info(
            "renewed %d, late %d, parked %d, settled %d, collected %d",
            report.batch.invoiced, report.batch.late, report.batch.parked, report.settled, report.collected,
        )  # fmt: skip
    if report.batch.parked:
        log.error("%d subscriptions are parked: `portal check` names them", report.batch.parked)
    return report


class JsonSerializer(Serializer):
    """Messages as JSON. By default they are pickles, with which whoever can write into the queue runs code in the worker."""

    def _serialize(self, data: Any) -> bytes:
        members = data._asdict() if isinstance(data, Message) else data
        return json.dumps(members, default=datetime.isoformat).encode()

    def _deserialize(self, data: bytes) -> Any:
        members = json.loads(data)
        if not isinstance(members, dict):
            return members
        moments = {
            name: datetime.fromisoformat(members[name]) for name in MOMENTS if isinstance(members.get(name), str)
        }
        return Message(**{**members, **moments})


def make_queue(url: str) -> Huey:
    """The queue at a URL: sqlite:///path, redis://… or postgresql://…. Raises SettingsError if redis is not installed."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    options = {"name": "portal", "results": False, "utc": True, "serializer": JsonSerializer()}
    if scheme in ("redis", "rediss"):
        if find_spec("redis") is None:
            raise SettingsError("PORTAL_QUEUE_URL names Redis: run `pip install portal-site[redis]` for it.")
        return RedisHuey(url=url, **options)
    if scheme in ("postgres", "postgresql"):
        return PostgresHuey(dsn=url.replace("+psycopg", "", 1), **options)
    path = url.partition("sqlite:///")[2]
    locations.make_private_file(Path(path))
    return SqliteHuey(filename=path, **options)


def register(queue: Huey, app: Flask) -> Callable[[], object]:
    """Register the task that runs every minute. A task that waited for 55 seconds is dropped: the next one does its work."""

    @queue.periodic_task(crontab(), expires=55, name="tick")
    def minute() -> None:
        _tick_safely(app)

    task: Callable[[], object] = minute
    return task


def _tick_safely(app: Flask) -> None:
    """Do what is due; the next run tries again what this one could not do. What is no defect is one line in the log."""
    try:
        tick(app)
    except Exception as error:
        if isinstance(error, WrongClock | RunStopped) or is_of_surroundings(error):
            log.error("the run stopped and will be tried again: %s", described(error))
        else:
            log.exception("the run stopped and will be tried again")


def collect_garbage_less_often() -> None:
    """Raise the threshold of the garbage collector. All rows of a batch stay alive, and scanning them took 10 % of the time."""
    gc.set_threshold(10_000)  # with ten times as many, memory grows by 80 MB before the first full collection


def give_way() -> None:
    """Let pages have the processor first, where it is not enough for both: a billing run has the whole minute."""
    os.nice(10)


def serve(app: Flask, queue_url: str, threads: int) -> None:
    """Run the worker until it is stopped."""
    queue = make_queue(queue_url)
    collect_garbage_less_often()
    give_way()
    register(queue, app)()  # also run immediately, so that work does not wait for the next full minute after a restart
    stop = threading.Event()
    mail = sending.in_thread(app, stop, NOTICES)
    webhooks, dispatcher = lanes.in_thread(app, stop)
    try:
        queue.create_consumer(workers=threads, periodic=True, check_worker_health=True).run()
    finally:
        stop.set()
        dispatcher.halt()
        mail.join(LAST_MAIL)
        webhooks.join(LAST_LOOK)


def run_in_thread(app: Flask, every: int = 20) -> threading.Event:
    """Run the worker in a thread of this process, every `every` seconds, until the returned event is set. For the demo."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            _tick_safely(app)
            stop.wait(every)

    threading.Thread(target=loop, name="worker", daemon=True).start()
    sending.in_thread(app, stop, NOTICES)
    lanes.in_thread(app, stop)
    return stop
