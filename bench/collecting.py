"""Benchmarks of collecting at a provider over the network that answers after 200 ms: how many a second, memory, and the portal.

`./bench/run --collect 2000` measures it. All invoices are of live mode, of eight accounts with keys of their own.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
from flask import Flask
from sqlalchemy import func, select, text

from bench import data, due, servers, stage, visits
from bench.databases import Kind
from bench.load import Question
from bench.renewing import GROWTH_MB, MB, renew, steadily
from bench.report import Section, judged
from bench.servers import CHECKOUT
from portal_site import clock, encryption, worker
from portal_site.billing.billing_run import parallel_calls, runner
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.models import Customer, Invoice, PaymentMethod
from portal_site.db import db
from portal_site.db.transactions import transaction

ACCOUNTS, PAUSE, AIM, QUIET = 8, 0.2, 80, 3.0
UNSCOPED = {"unscoped": "a run is about all merchants"}


def measure(kind: Kind, folder: Path, invoices: int, seconds: float) -> list[Section]:
    """Collections a second, the growth of the worker's memory, and the overview's p99 meanwhile and before."""
    url = kind.create("collecting")
    app = data.open_app(url)
    data.fill(app, 200)
    at = _fill(app, invoices)
    kind.settle(url)
    with _provider() as port, stage.portal(url, folder) as server:
        tickets = visits.enter_portal(server.port, visits.invite(app, 40, but="cus_due"))
        questions = [Question.of(server.port, ticket) for ticket in tickets]
        steadily(questions, QUIET)
        idle = steadily(questions, seconds)
        command = [sys.executable, "-m", "bench.collecting", url, str(at), f"http://127.0.0.1:{port}"]
        process = subprocess.Popen(command, cwd=CHECKOUT)
        try:
            began, first = _begun(app, process)
            busy = steadily(questions, seconds)
            rate, growth = _watch(app, process, began, first, invoices)
        finally:
            process.terminate()
            process.wait(30)
    p99 = [statistics.quantiles(series, n=100)[98] for series in (busy, idle)]
    rows = [
        [f"collections a second, {PAUSE * 1000:.0f} ms a call", *judged(rate, AIM, unit="/s")],
        [f"growth of the worker's memory, {invoices:,} due", *judged(growth / MB, GROWTH_MB, at_most=True, unit=" MB")],
        [f"overview's p99 meanwhile : idle ({p99[1]:.0f} ms)", *judged(p99[0] / p99[1], 3, at_most=True)],
    ]
    return [Section(f"Collecting over the network on {kind.name}", ("what", "figure", "aim", "met"), rows)]


def _fill(app: Flask, invoices: int) -> int:
    """Due invoices of customers with cards at Stripe; the instant at which they are due."""
    at = 0
    for number in range(ACCOUNTS):
        name = f"due{number}"
        at = max(at, *due.fill(app, invoices // ACCOUNTS, name=name))
        with app.app_context():
            with data.everybodys() as reader:
                owner = reader.execute(select(Customer).where(Customer.email == f"{name}@customer.example")).one()
            method = str(owner.default_payment_method_id)
            due.copy(PaymentMethod, method, invoices // ACCOUNTS, {
                "id": f"'pm_{name}_' || n", "customer_id": f"'cus_{name}_' || n", "gateway": "'stripe'",
            }, at)  # fmt: skip
            with transaction() as session:
                session.add(
                    StripeConnection(
                        account_id=owner.account_id, livemode=True, created=at, redacted="sk", stripe_account=name,
                        secret_key=encryption.encrypt("stripe", f"sk_live_{name}"), currency="eur", checked_at=at,
                    )
                )  # fmt: skip
    with app.app_context(), transaction() as session:
        for table, prefix in (("customers", "cus"), ("subscriptions", "sub"), ("payment_methods", "pm")):
            copies = f"id LIKE '{prefix}_due%'"
            live = text(f"UPDATE {table} SET livemode = true WHERE {copies}").execution_options(**UNSCOPED)
            session.execute(live)
        own = "default_payment_method_id = 'pm_' || substr(id, 5)"
        session.execute(
            text(f"UPDATE customers SET {own} WHERE id LIKE 'cus_due%'").execution_options(**UNSCOPED)
        )  # fmt: skip
    return at


@contextmanager
def _provider() -> Iterator[int]:
    port = servers.free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.provider", str(port), str(PAUSE)], cwd=CHECKOUT)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _collected(app: Flask) -> int:
    with app.app_context(), data.everybodys() as reader:
        paid = Invoice.cycle_at.is_not(None), Invoice.status == "paid", Invoice.livemode.is_(True)
        return reader.scalar(select(func.count()).select_from(Invoice).where(*paid)) or 0


def _memory(process: subprocess.Popen[bytes]) -> int:
    memory = psutil.Process(process.pid).memory_info()
    return memory.rss - memory.shared


def _begun(app: Flask, process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Wait until the worker collects; when that was, and its memory."""
    until = time.monotonic() + 600
    while _collected(app) < 50:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("nothing was collected")
        time.sleep(0.2)
    return time.monotonic(), _memory(process)


def _watch(
    app: Flask, process: subprocess.Popen[bytes], began: float, first: int, invoices: int
) -> tuple[float, float]:
    """Collections a second from now on, without anybody else, and the growth of memory, until all is collected."""
    start, since, growth = _collected(app), time.monotonic(), 0
    while process.poll() is None:
        growth = max(growth, _memory(process) - first)
        time.sleep(0.5)
    done, seconds = _collected(app), time.monotonic() - since
    if process.returncode or done < invoices // ACCOUNTS * ACCOUNTS:
        raise RuntimeError(f"{done} of {invoices} were collected")
    if start == done:
        raise RuntimeError("the run ended before the measurement did: give it more invoices")
    return (done - start) / seconds, growth


def _collect(app: Flask, at: int, address: str) -> None:
    renew(at)
    db.session.remove()
    with ThreadPoolExecutor(parallel_calls.AT_ONCE, "call", lambda: app.app_context().push()) as pool:
        report = runner.run(Gateways(StripeConnector(address)), clock.now(), lambda _id: address, pool=pool)
    if report.failed or report.fault:
        raise RuntimeError(f"{report.failed} failed: {report.fault}")


if __name__ == "__main__":
    made = data.open_app(sys.argv[1])
    with made.app_context():
        worker.collect_garbage_less_often()
        worker.give_way()
        _collect(made, int(sys.argv[2]), sys.argv[3])
