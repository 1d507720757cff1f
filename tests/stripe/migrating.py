"""What the tests of migrations share: an account that is connected to a double of Stripe Billing, and its import."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe

from portal_site.billing.billing_run import runner
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe import connections
from portal_site.billing.gateways.stripe.client import API_VERSION
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.importing import importer
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.migration import take_over, undoing
from portal_site.billing.migration.checks import Method
from portal_site.billing.migration.reading.export import Export
from portal_site.billing.migration.stripe_api import Pace, StripeApi
from portal_site.billing.migration.take_over import Options, Outcome
from tests import world
from tests.stripe.billing_double import NOW, BillingDouble
from tests.stripe.double import KEY, running


@dataclass
class Waiting:
    """A clock of its own for the pace of calls: whoever sleeps is at the later instant at once."""

    at: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """The instant."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Be later."""
        self.slept.append(seconds)
        self.at += seconds


class InProcess(stripe.HTTPClient):
    """The official library's way to a double in the same process."""

    name = "in process"

    def __init__(self, double: BillingDouble) -> None:
        super().__init__()
        self.double = double

    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Any, post_data: Any = None
    ) -> tuple[str, int, dict[str, str]]:
        """The double's answer."""
        parts = urlsplit(url)
        params = dict(parse_qsl(post_data or parts.query, keep_blank_values=True))
        key = headers.get("Idempotency-Key") if method == "post" else None
        status, document = self.double.answer(method.upper(), parts.path, params, key)
        return json.dumps(document), status, {}

    def close(self) -> None:
        """Nothing is open."""


class NearConnector(StripeConnector):
    """Calls the double without a network between, for tests that do so thousands of times."""

    def __init__(self, double: BillingDouble) -> None:
        super().__init__(double.address)
        self._client = stripe.StripeClient(KEY, stripe_version=API_VERSION, http_client=InProcess(double))

    def client_of(self, row: StripeConnection, read: int = 0) -> Any:
        """The one that there is."""
        return self._client


@dataclass
class Move:
    """An account here that moves over from the double."""

    double: BillingDouble
    account_id: str
    connector: StripeConnector
    waiting: Waiting = field(default_factory=Waiting)

    @property
    def api(self) -> StripeApi:
        """Stripe, as a command that begins asks it."""
        row = connections.find(self.account_id, False)
        assert row is not None
        return StripeApi(self.connector.client_of(row), Pace(20, self.waiting.monotonic, self.waiting.sleep))

    def now(self) -> int:
        """The time, here and at Stripe."""
        return self.double.now

    def bring(self, folder: Path, **options: Any) -> ImportReport:
        """Read the account and import it."""
        export = Export(folder, "acct_double")
        export.read(self.api, self.now())
        report = importer.import_objects(
            folder, self.now(), self.account_id, options=importer.Options(gateway="stripe", **options)
        )
        export.clear()
        return report

    def take(self, method: Method = Method.PAUSE, **options: Any) -> dict[str, Outcome]:
        """Take over; the outcomes by subscription."""
        return by_name(take_over.take_over(self.api, self.account_id, Options(method, **options), self.now))

    def undo(self, *only: str) -> dict[str, Outcome]:
        """Undo these, or all."""
        return by_name(undoing.undo(self.api, self.account_id, False, frozenset(only), self.now))

    def go_to(self, at: int) -> None:
        """Let time go by at Stripe and here."""
        self.double.advance(at)
        runner.run(Gateways(self.connector), at, lambda _subscription: "https://portal.example/back")


def by_name(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    """Outcomes by the subscription that they are about; each has one."""
    return {outcome.subscription: outcome for outcome in outcomes}


@contextmanager
def moving(subscriptions: int = 0, *, near: bool = False, **members: Any) -> Iterator[Move]:
    """An account that is connected to a double with so many subscriptions; `near` leaves the network out."""
    with running(BillingDouble(**members)) as double:
        assert isinstance(double, BillingDouble)
        double.fill(subscriptions)
        with world.merchant() as made:
            account_id = made.account.id
        connector = StripeConnector(double.address)
        connections.connect(connector, account_id, False, KEY, NOW)
        yield Move(double, account_id, NearConnector(double) if near else connector)
