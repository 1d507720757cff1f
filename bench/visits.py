"""Portal sessions for random customers, and the cookies that a browser has after following a session's link."""

import http.client
import random
from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.models import Customer, PortalVisit
from portal_site.billing.portal_access import portal_sessions
from portal_site.db.transactions import transaction


@dataclass(frozen=True)
class Guest:
    """A customer with a link to its portal. `email` is shown on this customer's pages only."""

    customer_id: str
    email: str
    link_token: str


@dataclass(frozen=True)
class Ticket:
    """The cookies of one customer for one server."""

    guest: Guest
    cookies: str


def invite(app: Flask, count: int, only: str | None = None, but: str | None = None) -> list[Guest]:
    """Sessions for random customers, or for the customer `only`, but not for ids that start with `but`."""
    at = clock.now()
    with app.app_context():
        with transaction() as session:
            query = select(Customer.id, Customer.email).order_by(Customer.id)
            rows = session.execute(query.execution_options(unscoped="guests of all merchants")).tuples().all()
        rows = [row for row in rows if only in (None, row[0]) and not (but and row[0].startswith(but))]
        chosen = random.Random(3).sample(rows, min(count, len(rows)))
        return [Guest(id_, email, portal_sessions.open_session(id_, at).token) for id_, email in chosen]


def hold(app: Flask) -> None:
    """Set the last activity of all visits one hour ahead, so that no server has to record activity during a measurement."""
    note = update(PortalVisit).values(last_seen_at=clock.now() + 60 * 60)
    with app.app_context(), transaction() as session:
        session.execute(note.execution_options(unscoped="guests of all merchants"))


def let_rest(app: Flask) -> None:
    """Set the last activity of all visits ten minutes back, so that the next click of each has to be noted."""
    note = update(PortalVisit).values(last_seen_at=clock.now() - 10 * 60)
    with app.app_context(), transaction() as session:
        session.execute(note.execution_options(unscoped="guests of all merchants"))


def enter_portal(port: int, guests: Iterable[Guest]) -> list[Ticket]:
    """Follow each link and load the page once, which also creates the CSRF secret."""
    tickets = []
    for guest in guests:
        cookies = _cookies(port, f"/p/session/{guest.link_token}", "", 303)
        tickets.append(Ticket(guest, _cookies(port, "/", cookies, 200)))
    return tickets


def enter_twin(app: Flask, port: int, guests: Iterable[Guest]) -> list[Ticket]:
    """Start visits for the twin, which can read visits but has no page that creates them."""
    tickets = []
    for guest in guests:
        with app.app_context():
            token = portal_sessions.follow_link(guest.link_token, clock.now())
        tickets.append(Ticket(guest, _cookies(port, "/", f"visit={token}", 200)))
    return tickets


def _cookies(port: int, path: str, cookies: str, expected: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Cookie": cookies} if cookies else {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != expected:
        raise RuntimeError(f"port {port} answered {response.status} to {path}: {body[:500]!r}")
    held = dict(pair.split("=", 1) for pair in cookies.split("; ") if pair)
    held |= dict(value.split(";")[0].split("=", 1) for name, value in response.getheaders() if name == "Set-Cookie")
    return "; ".join(f"{name}={value}" for name, value in held.items())


def fetch(port: int, path: str, cookies: str, encoding: str = "identity") -> tuple[bytes, int]:
    """A page, and the size of the response in bytes, including headers. Raises RuntimeError unless the status is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Cookie": cookies, "Accept-Encoding": encoding})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"port {port} answered {response.status} to {path}: {body[:500]!r}")
    head = sum(len(name) + len(value) + 4 for name, value in response.getheaders())
    return body, len(body) + head + len("HTTP/1.1 200 OK\r\n\r\n")
