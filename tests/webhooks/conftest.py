"""A receiver, and a merchant whose endpoint it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from portal_site.billing.customers import customers
from portal_site.billing.models import WebhookDelivery, WebhookEndpoint
from portal_site.billing.webhooks import endpoints, queue
from portal_site.config import LOOPBACK_NETWORKS
from portal_site.deliveries import sending
from portal_site.deliveries.connections import Sender
from tests import world
from tests.webhooks.receiver import Receiver, receiving

AT = world.HALF
MOST_TURNS = 100


@dataclass
class Hook:
    """An endpoint of a merchant's at a receiver."""

    account_id: str
    receiver: Receiver
    row: WebhookEndpoint
    secret: str

    def happen(self, *names: str, at: int = AT, account_id: str = "") -> None:
        """Make customers: an event for each."""
        for name in names:
            customers.create(account_id or self.account_id, False, {"name": name}, at)

    def send(self, at: int = AT, longest: float = 5) -> None:
        """Send all that waits at this time."""
        sender = Sender(LOOPBACK_NETWORKS, longest)
        for _ in range(MOST_TURNS):
            found = sending.waiting(at)
            if not found:
                return
            for one in found:
                sending.take_turn(sender, one.id, at)
        raise AssertionError("it never ends")

    def stored(self) -> WebhookEndpoint:
        """The endpoint as it is now."""
        return endpoints.get(self.account_id, False, self.row.id)

    def rows(self) -> list[WebhookDelivery]:
        """Its deliveries, oldest event first."""
        return list(queue.deliveries_of(self.row, 100))[::-1]

    def names(self) -> list[str]:
        """The customers of the events that came in, in their order."""
        return [self.read(place)["data"]["object"]["name"] for place in range(len(self.receiver.deliveries))]

    def read(self, place: int) -> Any:
        """A body that came in."""
        import json

        return json.loads(self.receiver.deliveries[place].body)


def hook(receiver: Receiver, account_id: str = "", path: str = "/hook", **wanted: Any) -> Hook:
    """An endpoint of an account's, else of a new one's."""
    if not account_id:
        with world.merchant() as made:
            account_id = made.account.id
    asked = {"url": f"{receiver.address}{path}", "enabled_events": ["customer.created"], **wanted}
    made_now = endpoints.create(account_id, False, asked, AT)
    return Hook(account_id, receiver, made_now.row, made_now.secret)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def shop(app: Flask, receiver: Receiver) -> Hook:
    """On both databases."""
    return hook(receiver)


@pytest.fixture
def lite_shop(lite_app: Flask, receiver: Receiver) -> Hook:
    """On SQLite."""
    return hook(receiver)
