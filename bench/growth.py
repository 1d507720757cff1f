"""Response times with much data: a customer with a long history, and a large database."""

import statistics
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import select

from bench import data, load, stage, visits
from bench.databases import Kind
from bench.load import Question
from bench.report import Section, judged
from portal_site.billing.models import Invoice
from portal_site.db.transactions import transaction
from portal_site.portal.reads.invoices import LONG

HISTORY = 100_000
SMALL, LARGE = 1_000, 1_000_000
GUESTS = 60
AIM = 1.2
COLUMNS = ("what", "first", "second", "second : first", "aim", "met")


def measure_history(kind: Kind, folder: Path, invoices: int, times: int) -> list[Section]:
    """Compare the first and the last page of a long invoice history, and the overview with a short and a long history."""
    url = kind.create("history")
    app = data.open_app(url)
    data.fill(app, data.MERCHANTS)
    customer_id = visits.invite(app, 1)[0].customer_id
    data.add_history(app, customer_id, invoices)
    kind.settle(url)
    with app.app_context(), transaction() as session:
        oldest = select(Invoice).filter_by(customer_id=customer_id).order_by(Invoice.created, Invoice.id)
        before_last = session.scalars(oldest.offset(LONG).limit(1)).one()
        cursor = f"{before_last.created}-{before_last.id}"
    guests = [*visits.invite(app, 1, only=customer_id), visits.invite(app, 2)[1]]
    with stage.portal(url, folder) as server:
        ticket, other = visits.enter_portal(server.port, guests)
        visits.hold(app)
        kind.settle(url)
        marker = 'class="invoices"'
        first = Question.of(server.port, ticket, "/invoices", marker)
        last = Question.of(server.port, ticket, f"/invoices?after={cursor}", marker)
        shown = last.ask().count(b'<th scope="row">')
        if shown != LONG:
            raise RuntimeError(f"the last page holds {shown} invoices, not {LONG}")
        overviews = [Question.of(server.port, other)], [Question.of(server.port, ticket)]
        rows = [
            _in_turns(f"first and last page of {invoices:,}", [first], [last], times),
            _in_turns(f"overview with 12 and with {invoices:,}", *overviews, times),
        ]
        return [Section(f"One customer with many invoices on {kind.name}", COLUMNS, rows)]


def measure_large(kind: Kind, folder: Path, invoices: int, times: int) -> list[Section]:
    """Compare the overview in a small and in a large database."""
    questions = []
    with ExitStack() as stack:
        for name, customers, total in (("small", SMALL // 12, SMALL), ("large", 2000, invoices)):
            url = kind.create(name)
            app = data.open_app(url)
            data.fill(app, customers)
            if total > SMALL:
                data.multiply_invoices(app, total)
            kind.settle(url)
            server = stack.enter_context(stage.portal(url, folder))
            tickets = visits.enter_portal(server.port, visits.invite(app, GUESTS))
            visits.hold(app)
            kind.settle(url)
            questions.append([Question.of(server.port, ticket) for ticket in tickets])
        rows = [_in_turns(f"overview among {SMALL:,} and {invoices:,}", *questions, times)]
        return [Section(f"A database with many invoices on {kind.name}", COLUMNS, rows)]


def _in_turns(title: str, first: list[Question], second: list[Question], times: int) -> list[str]:
    """A table row: both pages' median response times, measured alternately, and their ratio."""
    durations: tuple[list[float], list[float]] = ([], [])
    for number in range(times):
        for questions, series in zip((first, second), durations, strict=True):
            series.append(load.milliseconds(questions[number % len(questions)]))
    medians = [statistics.median(series) for series in durations]
    shown = [f"{median:.2f} ms" for median in medians]
    return [title, *shown, *judged(medians[1] / medians[0], AIM, at_most=True)]
