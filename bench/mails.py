"""How fast e-mails are written and leave for a mail server on this machine, and whether a worker's memory grows with them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
from sqlalchemy import delete, select

from bench import data
from bench.databases import Kind
from bench.report import Section, judged
from portal_site import clock
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Account, Invoice
from portal_site.db import bulk
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from portal_site.mail import delivery, outbox, sending
from portal_site.mail.models import Email, EmailStatus
from portal_site.mail.rendering import Content
from portal_site.notices import following

COUNT = 10_000
RECEIPTS = 1000
GROWTH_MB = 10
MB = 1024 * 1024
CONTENT = Content("Your receipt", "A line of text.\n" * 40, f"<p>{'A line of HTML. ' * 400}</p>")
COLUMNS = ("what", "value", "aim", "met")


def measure(kind: Kind, count: int) -> list[Section]:
    """Send `count` e-mails in one run of the worker."""
    app = data.open_app(kind.create("mails"))
    data.fill(app, data.MERCHANTS)
    with app.app_context(), app.test_request_context():
        written = _write_receipts(RECEIPTS)
    with _sink() as port, app.app_context():
        connect = delivery.transport_of(f"smtp://127.0.0.1:{port}?tls=none", app.config["SETTINGS"].data_dir)
        _fill(outbox.AT_ONCE)
        sending.send_due(connect, "billing@example.com", clock.now())  # what is loaded once is loaded
        _fill(count)
        before, began = _own_memory(), time.perf_counter()
        sent = 0
        while (report := sending.send_due(connect, "billing@example.com", clock.now())).is_more:
            sent += report.sent
        sent += report.sent
        seconds, growth = time.perf_counter() - began, _own_memory() - before
    if sent != count:
        raise RuntimeError(f"{sent} of {count} e-mails were sent: {report.fault}")
    rows = [
        [f"{count:,} e-mails", f"{count / seconds:,.0f}/s", "", ""],
        ["growth of the memory", *judged(growth / MB, GROWTH_MB, at_most=True, unit=" MB")],
        [f"{RECEIPTS:,} receipts written after their events", f"{written:,.0f}/s", "", ""],
    ]
    return [Section(f"E-mails out of the outbox on {kind.name}", COLUMNS, rows)]


def _write_receipts(count: int) -> float:
    """Let the worker write receipts for payments; how many in a second."""
    with data.everybodys() as reader:
        columns = Invoice.id, Invoice.account_id, Invoice.livemode, Invoice.customer_id, Invoice.amount_paid
        paid = select(*columns).where(Invoice.status == "paid", Invoice.amount_paid > 0).limit(50)
        invoices = [SimpleNamespace(**row._mapping) for row in reader.execute(paid)]
    at = clock.now()
    with transaction() as session, acting_as(ActorType.WORKER):
        for number in range(count):
            invoice = invoices[number % len(invoices)]
            document = {"id": invoice.id, "customer": invoice.customer_id, "amount_paid": invoice.amount_paid}
            emit(session, "invoice.paid", invoice, at, document=document)
    began = time.perf_counter()
    while following.CUSTOMERS.follow(at, stays_local=True):
        pass
    seconds = time.perf_counter() - began
    with transaction() as session:
        made = session.execute(delete(Email).execution_options(**data.UNSCOPED)).rowcount  # type: ignore[attr-defined]
    if made != count:
        raise RuntimeError(f"{made} of {count} receipts were written")
    return count / seconds


def _own_memory() -> int:
    """The bytes that this process holds apart from files, since SQLite maps its database into memory."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def _fill(count: int) -> None:
    with data.everybodys() as reader:
        account_id = reader.execute(select(Account.id).limit(1)).scalar_one()
    content = outbox.encrypted(CONTENT)
    for start in range(0, count, 1000):
        rows = [
            {
                "id": new_id("em"), "account_id": account_id, "livemode": False, "customer_id": None, "created": clock.now(),
                "kind": "receipt", "dedup_key": new_id("key"), "recipients": {"to": [f"{n}@acme.example"], "cc": []},
                "content": content, "status": EmailStatus.WAITING, "attempts": 0, "due_at": clock.now(),
            }
            for n in range(start, min(count, start + 1000))
        ]  # fmt: skip
        with transaction() as session:
            bulk.insert(session, Email, rows)


@contextmanager
def _sink() -> Iterator[int]:
    """A mail server that takes everything and keeps nothing, in a process of its own; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", "-c", "aiosmtpd.handlers.Sink"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(10)
