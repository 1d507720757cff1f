"""How fast a merchant's program lists and creates through the API, beside a bare Flask page."""

import statistics

from sqlalchemy import select

from bench import data, load
from bench.report import Section
from bench.sessions import SessionQuestion
from bench.stage import BARE, OURS, Stage
from portal_site import clock
from portal_site.billing.api_access import api_keys
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Customer

BODY = "name=Ada&email=ada%40customer.example"


def measure(stage: Stage, rounds: int, seconds: float) -> list[Section]:
    """Lists of ten customers, new customers with an idempotency key, and the bare page, in alternating bursts."""
    port, token = stage.servers[OURS].port, _token(stage)
    asked = (
        [_question(port, token, "GET", "/v1/customers?limit=10", "", b'"has_more"')],
        [_question(port, token, "POST", "/v1/customers", BODY, b'"next_invoice_sequence"')],
        stage.questions(BARE),
    )
    rates: tuple[list[float], ...] = ([], [], [])
    for _ in range(rounds):
        for requests, series in zip(asked, rates, strict=True):
            series.append(load.burst(requests, seconds=seconds).rate)
    rows = []
    for name, series in zip(("list of ten customers", "new customer, with an idempotency key"), rates, strict=False):
        ratio = statistics.median(ours / bare for ours, bare in zip(series, rates[2], strict=True))
        rows.append([name, *(f"{statistics.median(one):,.0f}/s" for one in (series, rates[2])), f"{ratio:.2f}"])
    return [Section(f"API on {stage.kind.name}", ("what", "API", BARE, "ratio"), rows)]


def _token(stage: Stage) -> str:
    with stage.app.app_context():
        with data.everybodys() as reader:
            emails = [ticket.guest.email for ticket in stage.tickets[OURS]]
            account = str(reader.scalar(select(Customer.account_id).where(Customer.email.in_(emails)).limit(1)))
        with acting_as(ActorType.OPERATOR):
            return api_keys.create(account, clock.now(), livemode=False).token


def _question(port: int, token: str, method: str, path: str, body: str, marker: bytes) -> SessionQuestion:
    key = "Idempotency-Key: KEY\r\n" if method == "POST" else ""
    wire = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n{key}"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    return SessionQuestion(port, wire.encode(), marker)
