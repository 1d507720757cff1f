"""The worker: once a minute it does all that is due. Huey keeps the time and the queue; what is due is in our own database.

So a worker that is killed loses nothing: the next minute, or another worker, finds the same work still to do. Two at once share
it (see operations.renewals).
"""

import gc
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from urllib.parse import urlsplit

from flask import Flask, url_for
from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey, crontab
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from portal_site import clock
from portal_site.billing.billing_run import runner
from portal_site.billing.billing_run.runner import RunReport
from portal_site.billing.models import Worker
from portal_site.config import SettingsError
from portal_site.db.transactions import reading, retry_on_conflict, transaction

SILENCE = 3 * 60  # seconds after which a worker that said nothing counts as gone
BEAT = 20  # and how often one says that it is there, at most
SKEW = 10 * 60  # how far clocks of two machines may be apart
FORGET = 24 * 60 * 60
log = logging.getLogger("portal.worker")


def trust_clock(at: int) -> None:
    """Workers that were seen in what is the future now had wrong clocks; this one is right, and it is `at`."""
    with transaction() as session:
        session.execute(update(Worker).where(Worker.seen_at > at).values(seen_at=at))


class ClockWentBack(Exception):
    """This machine's clock is behind what another worker has seen: billing by it could bill twice or too early."""


def name() -> str:
    """This process, among the workers of all machines."""
    return f"{socket.gethostname()}:{os.getpid()}"


def heartbeat(at: int) -> None:
    """Say that this worker is there. Raises ClockWentBack."""
    with transaction() as session:
        newest = session.scalar(select(func.max(Worker.seen_at))) or 0
        if at < newest - SKEW:
            raise ClockWentBack(f"this clock is {newest - at} s behind another worker's")
        row = session.get(Worker, name())
        if row is None:
            session.execute(delete(Worker).where(Worker.seen_at < at - FORGET))
            with suppress(IntegrityError), session.begin_nested():  # another thread of this process may be first
                session.add(Worker(id=name(), started_at=at, seen_at=at))
        else:
            row.seen_at = max(row.seen_at, at)


def last_seen() -> int | None:
    """When any worker was last there."""
    with reading() as reader:
        return reader.scalar(select(func.max(Worker.seen_at)))


def tick(app: Flask, at: int | None = None) -> RunReport:
    """Do what is due now."""
    at = clock.now() if at is None else at
    with app.app_context(), app.test_request_context(base_url=app.config["SETTINGS"].base_url):
        retry_on_conflict(heartbeat, at)
        began = said = clock.now()

        def go_on(_report: RunReport) -> None:
            nonlocal said
            if (now := clock.now()) >= said + BEAT:
                said = now
                retry_on_conflict(heartbeat, at + now - began)

        report = runner.run(app.extensions["gateways"], at, return_address, beat=go_on)
    if report.did_something:
        log.info(
            "renewed %d, late %d, parked %d, settled %d, collected %d",
            report.batch.invoiced, report.batch.late, report.batch.parked, report.settled, report.collected,
        )  # fmt: skip
    if report.batch.parked:
        log.error("%d subscriptions are parked: `portal check` names them", report.batch.parked)
    return report


def return_address(invoice_id: str) -> str:
    """Where a bank sends the customer of an invoice back to."""
    return url_for("portal.finish_payment", invoice_id=invoice_id, _external=True)


def make_queue(url: str) -> Huey:
    """The queue that a setting names: sqlite:///path, redis://… or postgresql://…."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    known = {"name": "portal", "results": False, "utc": True}
    if scheme in ("redis", "rediss"):
        if find_spec("redis") is None:
            raise SettingsError("PORTAL_QUEUE_URL names Redis: run `pip install portal-site[redis]` for it.")
        return RedisHuey(url=url, **known)
    if scheme in ("postgres", "postgresql"):
        return PostgresHuey(dsn=url.replace("+psycopg", "", 1), **known)
    path = url.partition("sqlite:///")[2]
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    return SqliteHuey(filename=path, **known)


def register(queue: Huey, app: Flask) -> Callable[[], object]:
    """Put the minute's task on the queue. One that waited longer than a minute is dropped: the next does the same."""

    @queue.periodic_task(crontab(), expires=55, name="tick")
    def minute() -> None:
        tick(app)

    task: Callable[[], object] = minute
    return task


def collect_garbage_less_often() -> None:
    """Look for garbage less often in this process: a batch's rows live until its end, and looking through them took a tenth."""
    gc.set_threshold(10_000)  # with ten times as many, memory grows by 80 MB before the first thorough look


def serve(app: Flask, queue_url: str, threads: int) -> None:
    """Work until stopped."""
    queue = make_queue(queue_url)
    collect_garbage_less_often()
    register(queue, app)()  # once at once: after a restart nothing has to wait for the next full minute
    queue.create_consumer(workers=threads, periodic=True, check_worker_health=True).run()


def run_in_thread(app: Flask, every: int = 20) -> threading.Event:
    """Work in a thread of this process until the event is set; for the demo, where one process is enough."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                tick(app)
            except Exception:
                log.exception("the worker stumbled; it tries again")
            stop.wait(every)

    threading.Thread(target=loop, name="worker", daemon=True).start()
    return stop
