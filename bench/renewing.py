"""Benchmarks of the billing run: compared with plain inserts of the same rows, with many subscriptions, and with portal load."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from flask import Flask
from sqlalchemy import func, insert, select

from bench import data, due, load, stage, visits
from bench.databases import Kind
from bench.load import Question
from bench.report import Section, judged
from bench.servers import CHECKOUT
from portal_site import worker
from portal_site.billing.billing_run import batches, runner
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Event, Invoice, InvoiceLineItem
from portal_site.cli import groups
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

AIM = 0.15
MINUTES = {"SQLite": 5, "PostgreSQL": 10}
WORKERS = {"SQLite": 1, "PostgreSQL": 2}  # SQLite allows one writer at a time
GROWTH_MB = 100
CHUNK = 500
MB = 1024 * 1024
RATE, QUIET = 25, 3.0


def measure_ratio(kind: Kind, subscriptions: int, rounds: int) -> list[Section]:
    """Compare renewals with plain inserts of the rows that they wrote, in alternation."""
    app = data.open_app(kind.create("renewals"))
    instants = due.fill(app, subscriptions, rounds)
    kind.settle(str(app.config["SQLALCHEMY_DATABASE_URI"]))
    ratios, ours, plain = [], [], []
    with app.app_context(), groups.steps(f"Renewing on {kind.name}") as advance:
        for number, at in enumerate(instants):
            invoiced, seconds = renew(at)
            writing, rows = _plain(at)
            ours.append(invoiced / seconds)
            plain.append(invoiced / writing)
            ratios.append(writing / seconds)
            advance(number + 1, rounds)
    per = rows / invoiced
    row = [f"renewals, {per:.0f} rows each", f"{statistics.median(ours):,.0f}/s", f"{statistics.median(plain):,.0f}/s"]
    columns = ("what", "billing run", "plain insert", "ratio", "aim", "met")
    return [Section(f"Billing run on {kind.name}", columns, [[*row, *judged(statistics.median(ratios), AIM)]])]


@acting_as(ActorType.WORKER)
def renew(at: int) -> tuple[int, float]:
    """Renew all that is due: how many invoices that made, in how many seconds."""
    most, invoiced = runner.BATCH[db.engine.dialect.name], 0
    began = time.perf_counter()
    while (batch := batches.renew_due(at, most)).claimed:
        invoiced += batch.invoiced
    return invoiced, time.perf_counter() - began


def _plain(at: int) -> tuple[float, int]:
    """Insert copies of the rows of the run at `at`, 500 per transaction. Returns the seconds and the number of rows."""
    written = list(_written(at))
    began = time.perf_counter()
    for kind, rows in written:
        for start in range(0, len(rows), CHUNK):
            with transaction() as session:
                session.execute(insert(kind), rows[start : start + CHUNK])
    return time.perf_counter() - began, sum(len(rows) for _, rows in written)


def _written(at: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Copies of the invoices, lines and events of a run, in the order of foreign keys."""
    with data.everybodys() as reader:
        reader.execution_options(unscoped="a run is about all merchants")
        invoices = [_values(row) for row in reader.execute(select(Invoice.__table__).where(Invoice.created == at))]
        for row in invoices:
            row |= {"id": new_id("in"), "number": None, "cycle_at": None, "created": at - 1}
        query = select(InvoiceLineItem.__table__).where(
            InvoiceLineItem.invoice_id.in_(select(Invoice.id).where(Invoice.created == at))
        )
        lines = [_values(row) for row in reader.execute(query)]
        copies = iter(invoices)
        for row in lines:
            row |= {"id": new_id("il"), "invoice_id": next(copies)["id"]}
        events = [_values(row) for row in reader.execute(select(Event.__table__).where(Event.created == at))]
        for row in events:
            row |= {"id": new_id("evt"), "created": at - 1, "sequence": None}
    yield Invoice, invoices
    yield InvoiceLineItem, lines
    yield Event, events


def _values(row: Any) -> dict[str, Any]:
    return {("metadata_" if name == "metadata" else name): value for name, value in row._mapping.items()}


def measure_many(kind: Kind, folder: Path, subscriptions: int) -> list[Section]:
    """The duration of a billing run with all subscriptions due at once, and the growth of a worker's memory."""
    app = data.open_app(kind.create("many"))
    url = str(app.config["SQLALCHEMY_DATABASE_URI"])
    at = due.fill(app, subscriptions)[-1]
    with app.app_context():
        db.engine.dispose()
    kind.settle(url)
    began = time.perf_counter()
    with _workers(url, at, WORKERS[kind.name]) as processes:
        growth = _watch(processes, subscriptions)
    seconds = time.perf_counter() - began
    _check(app, subscriptions)
    title = f"{subscriptions:,} subscriptions due at once on {kind.name}"
    columns = ("what", "figure", "aim", "met")
    aim = MINUTES[kind.name] * subscriptions / 1_000_000
    rows = [
        [f"minutes, {WORKERS[kind.name]} worker(s), {subscriptions / seconds:,.0f}/s", *judged(seconds / 60, aim, at_most=True)],
        ["growth of a worker's memory", *judged(growth / MB, GROWTH_MB, at_most=True, unit=" MB")],
    ]  # fmt: skip
    return [Section(title, columns, rows)]


@contextmanager
def _workers(url: str, at: int, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "bench.renewing", url, str(at)]
    processes = [subprocess.Popen(command, cwd=CHECKOUT) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


def _watch(processes: Sequence[subprocess.Popen[bytes]], subscriptions: int) -> float:
    """Wait for the processes to end. Returns the largest growth of one process's private memory after 5 s, in bytes."""
    first: dict[int, float] = {}
    growth = 0.0
    began = time.monotonic()
    with groups.steps(f"Renewing {subscriptions:,}") as advance:
        while any(process.poll() is None for process in processes):
            time.sleep(0.5)
            for process in processes:
                if process.poll() is None and time.monotonic() - began > 5:
                    try:
                        memory = psutil.Process(process.pid).memory_info()
                    except psutil.NoSuchProcess:
                        continue
                    private = memory.rss - memory.shared  # without the database file, which SQLite maps into memory
                    first.setdefault(process.pid, private)
                    growth = max(growth, private - first[process.pid])
            advance(0, subscriptions)
    if any(process.returncode for process in processes):
        raise RuntimeError("a worker failed")
    return growth


def _check(app: Flask, subscriptions: int) -> None:
    with app.app_context(), data.everybodys() as reader:
        query = select(func.count()).select_from(Invoice).where(Invoice.cycle_at.is_not(None))
        count = reader.scalar(query.execution_options(unscoped="a run is about all merchants"))
        if count != subscriptions:
            raise RuntimeError(f"{count} invoices for {subscriptions} subscriptions")


def measure_beside(kind: Kind, folder: Path, subscriptions: int, seconds: float) -> list[Section]:
    """The response times of the overview at a fixed request rate, without and during a billing run, beside a busy process.

    Each visitor comes back after ten minutes, so that the page also has an activity to note.
    """
    url = kind.create("beside")
    app = data.open_app(url)
    data.fill(app, 200)
    at = due.fill(app, subscriptions)[-1]
    kind.settle(url)
    with stage.portal(url, folder) as server, _busy_process():
        tickets = visits.enter_portal(server.port, visits.invite(app, 40, but="cus_due_"))
        questions = [Question.of(server.port, ticket) for ticket in tickets]
        steadily(questions, QUIET)
        visits.let_rest(app)
        idle = steadily(questions, seconds)
        with _workers(url, at, 1) as processes:
            time.sleep(QUIET)
            visits.let_rest(app)
            busy = steadily(questions, seconds)
            if processes[0].poll() is not None:
                raise RuntimeError("the run ended before the measurement did: give it more subscriptions")
    columns = ("what", "without a run", "during a run", "ratio", "aim", "met")
    rows = []
    for name, share, aim in (("median", 50, 0.0), ("p99", 99, 3.0)):
        idle_ms, busy_ms = (statistics.quantiles(series, n=100)[share - 1] for series in (idle, busy))
        verdict = judged(busy_ms / idle_ms, aim, at_most=True) if aim else [f"{busy_ms / idle_ms:.2f}", "", ""]
        rows.append([f"overview, {name}", f"{idle_ms:.1f} ms", f"{busy_ms:.1f} ms", *verdict])
    return [Section(f"Portal beside a billing run on {kind.name}", columns, rows)]


@contextmanager
def _busy_process() -> Iterator[None]:
    """Something else that the machine has to do meanwhile: a process that computes for as long as the block takes."""
    process = subprocess.Popen([sys.executable, "-c", "while True: sum(range(10_000))"])
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def steadily(questions: Sequence[Question], seconds: float) -> list[float]:
    """Send requests at a fixed rate, however slow the responses are. Returns each one's milliseconds from its due time."""
    durations: list[float] = []
    threads = []

    def ask(question: Question, due_at: float) -> None:
        question.ask()
        durations.append((time.perf_counter() - due_at) * 1000)

    began = time.perf_counter()
    for number in range(int(seconds * RATE)):
        due_at = began + number / RATE
        time.sleep(max(0.0, due_at - time.perf_counter()))
        thread = threading.Thread(target=ask, args=(questions[number % len(questions)], due_at))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(load.TIMEOUT)
    if len(durations) != len(threads):
        raise RuntimeError("answers are missing")
    return durations


if __name__ == "__main__":
    with data.open_app(sys.argv[1]).app_context():
        worker.collect_garbage_less_often()
        worker.give_way()
        renew(int(sys.argv[2]))
