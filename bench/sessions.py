"""How fast a merchant's program gets links: portal sessions through the API, compared with a bare Flask page."""

import secrets
import statistics
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from sqlalchemy import select

from bench import data, load
from bench.load import Question
from bench.report import Section, judged
from bench.stage import BARE, OURS, Stage
from portal_site import clock
from portal_site.billing.api_access import api_keys
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Customer

AIMS = {"SQLite": 0.10, "PostgreSQL": 0.15}
PATH = "/v1/billing_portal/sessions"


@dataclass(frozen=True)
class SessionQuestion(Question):
    """The request of a session, each time with a new idempotency key, as the SDKs send it."""

    def ask(self) -> bytes:
        """The response."""
        wire = self.wire.replace(b"KEY", secrets.token_hex(16).encode())
        return Question(self.port, wire, self.marker).ask()


def measure(stage: Stage, rounds: int, seconds: float) -> list[Section]:
    """Sessions with and without an idempotency key, and the bare page, in alternating bursts."""
    with_key = _questions(stage)
    without = [replace(question, wire=question.wire.replace(b"Idempotency-Key: KEY\r\n", b"")) for question in with_key]
    asked = (with_key, without, stage.questions(BARE))
    rates: tuple[list[float], ...] = ([], [], [])
    load.burst(with_key, seconds=seconds)
    for _ in range(rounds):
        for requests, series in zip(asked, rates, strict=True):
            series.append(load.burst(requests, seconds=seconds).rate)
    rows = []
    for name, series in zip(("with an idempotency key", "without one"), rates, strict=False):
        ratio = statistics.median(ours / bare for ours, bare in zip(series, rates[2], strict=True))
        medians = (f"{statistics.median(one):,.0f}/s" for one in (series, rates[2]))
        rows.append([name, *medians, *judged(ratio, AIMS[stage.kind.name])])
    columns = ("a session through the API", "sessions", BARE, "ratio", "aim", "met")
    return [Section(f"Portal sessions through the API on {stage.kind.name}", columns, rows)]


def _questions(stage: Stage) -> list[SessionQuestion]:
    port = stage.servers[OURS].port
    questions = []
    with stage.app.app_context():
        with data.everybodys() as reader:
            emails = [ticket.guest.email for ticket in stage.tickets[OURS]]
            query = select(Customer.id, Customer.account_id).where(Customer.email.in_(emails))
            customers = reader.execute(query).all()
        with acting_as(ActorType.OPERATOR):
            made = {account: api_keys.create(account, clock.now(), livemode=False) for _, account in customers}
    for customer, account in customers:
        body = urlencode({"customer": customer})
        wire = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {made[account].token}\r\n"
            f"Idempotency-Key: KEY\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}"
        )
        questions.append(SessionQuestion(port, wire.encode(), b'"billing_portal.session"'))
    return questions
