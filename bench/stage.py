"""Sets up the benchmarks for one kind of database: the data, the customers' sessions, and all servers."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from bench import data, servers, visits
from bench.databases import Kind, twin_variables
from bench.load import Question
from bench.servers import Server
from bench.visits import Guest, Ticket

OURS, BARE, TEMPLATES, TWIN = "portal", "bare Flask page", "its templates alone", "twin in Django"
TWIN_CALLABLE = "bench.twin.wsgi:application"


@dataclass(frozen=True)
class Stage:
    """Everything that a measurement needs."""

    kind: Kind
    url: str
    app: Flask
    servers: dict[str, Server]
    tickets: dict[str, list[Ticket]]

    def questions(self, name: str) -> list[Question]:
        """The requests of each customer's overview at a server."""
        port = self.servers[name].port
        return [Question.of(port, ticket) for ticket in self.tickets[name]] or [Question.of(port, None)]


@contextmanager
def portal(url: str, folder: Path) -> Iterator[Server]:
    """A server with the portal."""
    with servers.serve(OURS, "bench.rungs:portal()", {"PORTAL_DATABASE_URL": url}, folder) as server:
        yield server


@contextmanager
def set_up(kind: Kind, folder: Path, twin_python: str, customers: int, guests: int) -> Iterator[Stage]:
    """The portal, the twin and the two reference apps on one database, with customers who are logged in."""
    url = kind.create("overview")
    app = data.open_app(url)
    data.fill(app, customers)
    kind.settle(url)
    invited = visits.invite(app, guests)
    with ExitStack() as stack:
        up: dict[str, Server] = {OURS: stack.enter_context(portal(url, folder))}
        rung = servers.serve(TEMPLATES, "bench.rungs:templates_only()", {"PORTAL_DATABASE_URL": url}, folder)
        up[TEMPLATES] = stack.enter_context(rung)
        up[TWIN] = stack.enter_context(servers.serve(TWIN, TWIN_CALLABLE, twin_variables(url), folder, twin_python))
        inside = _enter(app, up, invited)
        page = folder / "page.html"
        page.write_bytes(_typical_page(up[OURS].port, inside[OURS]))
        up[BARE] = stack.enter_context(servers.serve(BARE, "bench.rungs:bare()", {"BENCH_PAGE": str(page)}, folder))
        visits.hold(app)
        kind.settle(url)
        yield Stage(kind, url, app, up, inside | {BARE: []})


def _enter(app: Flask, up: dict[str, Server], guests: list[Guest]) -> dict[str, list[Ticket]]:
    return {
        OURS: visits.enter_portal(up[OURS].port, guests),
        TEMPLATES: visits.enter_portal(up[TEMPLATES].port, guests),
        TWIN: visits.enter_twin(app, up[TWIN].port, guests),
    }


def _typical_page(port: int, tickets: list[Ticket]) -> bytes:
    pages = [visits.fetch(port, "/", ticket.cookies)[0] for ticket in tickets]
    middle = statistics.median_low(len(page) for page in pages)
    return next(page for page in pages if len(page) == middle)
