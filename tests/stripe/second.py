"""A second instance of the portal, in whose API the gateway of the first one finds what it would find at Stripe.

It has a database of its own. It is called over loopback, or in the same process by the same library with another way to carry a
request, which is quick enough for thousands of calls; faults come between in both.
"""

import socket
import struct
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import stripe
from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from portal_site.billing.api_access import api_keys
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from portal_site.billing.models import IntentCharge, IntentRefund, PaymentIntent
from portal_site.db.transactions import transaction
from tests import world
from tests.conftest import empty_all, make_app
from tests.stripe.faults import ECHO, Cut, Faults
from tests.world import reading

ADDRESS = "http://127.0.0.1:8000"
AT = 1_700_000_000  # when its merchant and the key were made
Rows = list[Any]


class Carrier(stripe.HTTPClient):
    """Carries the requests of Stripe's library to a program in the same process."""

    name = "in-process"

    def __init__(self, program: Faults) -> None:
        super().__init__()
        self._program = program

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_more: Any) -> Any:
        """The body, the status and the headers of the answer."""
        sent = EnvironBuilder.from_environ(
            EnvironBuilder(url, method=method.upper(), headers=dict(headers), data=post_data).get_environ()
        )
        try:
            answer = Client(self._program, use_cookies=False).open(sent)
        except Cut as error:
            raise stripe.APIConnectionError(f"no answer: {error}", should_retry=False) from error
        found = {name.lower(): value for name, value in answer.headers.items()}
        return answer.get_data(as_text=True), answer.status_code, {**found, "Request-Id": "req"}

    def close(self) -> None:
        """There is nothing to close."""


@dataclass
class Second:
    """A second instance with one merchant, whose key is `token`. `line` is what stands before it."""

    app: Flask
    line: Faults
    account_id: str = ""
    token: str = ""

    @classmethod
    def made(cls, folder: Path, address: str = ADDRESS) -> "Second":
        """A new one, without a merchant yet, whose pages are at this address."""
        app = make_app(f"sqlite:///{folder / 'second.db'}", folder, base_url=address)
        app.testing = False  # what fails in it is an answer, too
        app.config["PROPAGATE_EXCEPTIONS"] = False
        return cls(app, Faults(app))

    def begin(self) -> "Second":
        """Empty, with a merchant, and the line is good."""
        self.line.clear()
        with self.app.app_context():
            empty_all()
            with world.merchant("Second") as made:
                self.account_id = made.account.id
            self.token = api_keys.create(self.account_id, AT, livemode=False).token
        return self

    @property
    def client(self) -> stripe.StripeClient:
        """Stripe's library, which calls in the same process."""
        return stripe.StripeClient(
            self.token, stripe_version=clients.API_VERSION, base_addresses={"api": ADDRESS}, max_network_retries=0,
            http_client=Carrier(self.line),
        )  # fmt: skip

    def gateway(self, noted: list[str] | None = None) -> StripeGateway:
        """The gateway in the same process."""
        return StripeGateway(self.client, False, "eur", ([] if noted is None else noted).append)

    def method(self, number: str, customer: str | None = None) -> tuple[str, str]:
        """A customer with a payment method that behaves like a test number: the ids of both."""
        with self.app.app_context(), transaction() as session:
            made = world.Merchant(session, AT, session.get(world.Account, self.account_id))
            owner = (
                session.get(world.Customer, customer) if customer else made.customer("Ada", "ada@acme.example", "usual")
            )
            assert owner is not None
            return owner.id, made.method(owner, number).id

    def intents(self, *customers: str) -> Rows:
        """All payment intents, or those of these customers."""
        return self._rows(PaymentIntent, customers)

    def charges(self, *customers: str) -> Rows:
        """All charges, or those of these customers."""
        return self._rows(IntentCharge, customers)

    def refunds(self, *customers: str) -> Rows:
        """All refunds, or those of these customers."""
        return self._rows(IntentRefund, customers)

    def _rows(self, kind: Any, customers: Collection[str]) -> Rows:
        mine = select(kind.__table__).where(kind.account_id == self.account_id)
        with self.app.app_context(), reading() as reader:
            return list(reader.execute(mine.where(kind.customer_id.in_(customers)) if customers else mine))

    def bank_says(self, before: str, after: str, decline_code: str | None = None) -> None:
        """What becomes of the charges that wait: `requires_action` for the customer, `processing` for the bank."""
        values = {"status": after, "decline_code": decline_code, "settles_at": None}
        with self.app.app_context(), transaction() as session:
            session.execute(update(SandboxCharge).where(SandboxCharge.status == before).values(**values))

    def books(self, attempts: Rows, refunds: Rows, *customers: str) -> tuple[Rows, Rows]:
        """The charges of these attempts and these refunds as it has them, in the members of the sandbox's rows."""
        keys = {attempt.id: attempt.idempotency_key for attempt in attempts}
        states = {"requires_payment_method": "declined", "canceled": "declined"}
        charges = [
            SimpleNamespace(idempotency_key=keys[row.metadata["attempt"]], amount=row.amount,
                            status=states.get(row.status, row.status))
            for row in self.intents(*customers) if row.metadata.get("attempt") in keys
        ]  # fmt: skip
        names = {refund.id for refund in refunds}
        given = [
            SimpleNamespace(idempotency_key=row.metadata["refund"], amount=row.amount, status=row.status)
            for row in self.refunds(*customers) if row.metadata.get("refund") in names
        ]  # fmt: skip
        return charges, given


class NearConnector(StripeConnector):
    """Makes the gateways of accounts that have connected Stripe, which call in the same process."""

    def __init__(self, second: Second) -> None:
        super().__init__(ADDRESS)
        self._client = second.client

    def client_of(self, row: Any) -> Any:
        """The library, whatever the key is."""
        return self._client


class _Handler(BaseHTTPRequestHandler):
    """Hands requests to a program. Connections stay open, as at Stripe."""

    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    program: Faults

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environ = EnvironBuilder(
            self.path, f"http://127.0.0.1:{self.server.server_address[1]}", method=self.command, data=body,
            headers=list(self.headers.items()),
        ).get_environ()  # fmt: skip
        try:
            chunks, status, headers = run_wsgi_app(self.program, environ, buffered=True)
        except Cut as error:
            self._cut(str(error))
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        answer = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + b"".join(chunks)
        with suppress(ConnectionError):  # who does not wait has gone
            self.wfile.write(answer * (2 if environ.get(ECHO) else 1))

    def _cut(self, how: str) -> None:
        self.close_connection = True
        if how.startswith("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for part in (self.rfile, self.wfile, self.connection):
                part.close()

    do_GET = do_POST = do_DELETE = _handle

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(program: Faults, port: int = 0) -> Iterator[str]:
    """The address on loopback at which a program answers, on any port or on this one."""
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"program": program}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def check_books(second: Second, attempts: Mapping[str, Any], *customers: str) -> None:
    """Each charge at the provider is one attempt's, no attempt and no intent was paid twice, and no refund is above its charge.

    `attempts` are those of the first instance, by id.
    """
    intents = {row.id: row for row in second.intents(*customers)}
    paid: dict[str, int] = {}
    for row in intents.values():
        attempt = attempts[row.metadata["attempt"]]
        assert (row.amount, row.currency) == (attempt.amount, attempt.currency)
        assert row.metadata["invoice"] == attempt.invoice_id
        if row.status in ("succeeded", "processing"):
            paid[attempt.id] = paid.get(attempt.id, 0) + 1
    assert max(paid.values(), default=0) <= 1, "an attempt was charged twice"
    took: dict[str, int] = {}
    for charge in second.charges(*customers):
        if charge.status in ("succeeded", "pending"):
            took[charge.payment_intent_id] = took.get(charge.payment_intent_id, 0) + charge.amount
    for name, amount in took.items():
        assert amount == intents[name].amount, "an intent was charged twice"
        assert intents[name].status in ("succeeded", "processing")
    given: dict[str, int] = {}
    for refund in second.refunds(*customers):
        if refund.status != "failed":
            given[refund.payment_intent_id] = given.get(refund.payment_intent_id, 0) + refund.amount
    assert all(amount <= took[name] for name, amount in given.items()), "more was given back than was taken"
