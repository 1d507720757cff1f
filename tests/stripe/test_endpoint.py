"""The endpoint at Stripe that sends events here, and the events that did not come."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import encryption
from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe import client, connections, endpoint, events, missed
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.models import ProviderEvent
from portal_site.billing.payments import provider_events
from tests import world
from tests.stripe.double import KEY, Double
from tests.world import reading

AT = world.HALF
HOUR = 60 * 60
URL = "https://billing.acme.example/webhooks/stripe/acct_1"


@pytest.fixture
def account_id(app: Flask, connector: StripeConnector) -> Iterator[str]:
    with time_machine.travel(AT, tick=False), acting_as(ActorType.OPERATOR):
        account_id = str(world.scene().account_id)
        connections.connect(connector, account_id, False, KEY, AT)
        yield account_id


def _endpoints(double: Double) -> list[dict[str, Any]]:
    return [one for name, one in double.objects.items() if name.startswith("we_")]


def _secret(account_id: str) -> str | None:
    row = connections.find(account_id, False)
    return encryption.decrypt("stripe", row.webhook_secret) if row and row.webhook_secret else None


def test_an_endpoint_is_made_once_with_its_secret_kept(
    account_id: str, connector: StripeConnector, double: Double
) -> None:
    assert endpoint.fault(connector, account_id, False) == "Stripe does not send events here yet."
    name = endpoint.register(connector, account_id, False, URL, AT)
    assert endpoint.register(connector, account_id, False, URL, AT + 5) == name
    (made,) = _endpoints(double)
    assert (made["id"], made["url"], made["api_version"]) == (name, URL, client.API_VERSION)
    assert (set(made["enabled_events"]), made["connect"]) == (set(events.TYPES), None)
    assert _secret(account_id) == f"whsec_of_{name}"
    assert endpoint.fault(connector, account_id, False) == ""


def test_one_that_is_behind_is_brought_up_to_date(account_id: str, connector: StripeConnector, double: Double) -> None:
    name = endpoint.register(connector, account_id, False, URL, AT)
    double.objects[name] |= {"enabled_events": ["customer.deleted"], "status": "disabled"}
    assert endpoint.fault(connector, account_id, False) == "The endpoint that sends events here is disabled at Stripe."
    assert endpoint.register(connector, account_id, False, URL, AT) == name
    assert set(double.objects[name]["enabled_events"]) == set(events.TYPES)
    assert double.objects[name]["status"] == "enabled"


@pytest.mark.parametrize("change", ["removed", "another address", "another version", "a lost answer"])
def test_one_that_cannot_be_kept_is_replaced_and_both_secrets_count_for_a_day(
    account_id: str, connector: StripeConnector, double: Double, change: str
) -> None:
    name = endpoint.register(connector, account_id, False, URL, AT)
    other = double.new("we", url="https://elsewhere.example", enabled_events=[], metadata={}, status="enabled")["id"]
    url = URL
    if change == "removed":
        del double.objects[name]
        assert (
            endpoint.fault(connector, account_id, False) == "The endpoint that sent events here was removed at Stripe."
        )
    elif change == "another address":
        url = f"{URL}2"
    elif change == "another version":
        double.objects[name]["api_version"] = "2020-01-01"
    else:
        del double.objects[name]
        double.faults[:] = ["", "lose"]
        with pytest.raises(GatewayUnavailable):
            endpoint.register(connector, account_id, False, URL, AT)
    new = endpoint.register(connector, account_id, False, url, AT + 60)
    assert [one["id"] for one in _endpoints(double)] == [other, new]
    row = connections.find(account_id, False)
    assert row is not None
    assert (_secret(account_id), row.former_secret_until) == (f"whsec_of_{new}", AT + 60 + 24 * HOUR)
    assert encryption.decrypt("stripe", row.former_secret or "") == f"whsec_of_{name}"


def test_what_keeps_it_from_being_made_is_said(account_id: str, connector: StripeConnector, double: Double) -> None:
    with pytest.raises(BillingError, match="Stripe refuses the endpoint for events: No."):
        endpoint.register(connector, account_id, False, "http://127.0.0.1:8000/", AT)
    double.lacks.add("webhook_endpoints")
    with pytest.raises(BillingError, match="The key is missing a right: Webhook Endpoints: write."):
        endpoint.register(connector, account_id, False, URL, AT)
    with pytest.raises(NotFound):
        endpoint.register(connector, account_id, True, URL, AT)


def test_only_the_accounts_own_endpoint_is_removed(account_id: str, connector: StripeConnector, double: Double) -> None:
    endpoint.register(connector, account_id, False, URL, AT)
    other = double.new("we", url=URL, enabled_events=[], metadata={"portal_account": "acct_2"}, status="enabled")["id"]
    endpoint.remove(connector, account_id, False)
    assert [one["id"] for one in _endpoints(double)] == [other]


def test_a_platforms_endpoint_gets_the_events_of_its_connected_accounts(
    account_id: str, connector: StripeConnector, double: Double
) -> None:
    connections.disconnect(account_id, False, AT)
    connections.connect(connector, account_id, False, KEY, AT, acts_for="acct_theirs")
    endpoint.register(connector, account_id, False, URL, AT)
    assert _endpoints(double)[0]["connect"] == "true"


# --- events that did not come -----------------------------------------------------------------------------------------


def _happens(double: Double, kind: str, reference: str, created: int) -> str:
    thing = {"id": reference, "metadata": {}}
    name = double.new("evt", object="event", type=kind, created=created, livemode=False, data={"object": thing})["id"]
    return str(name)


def _known(account_id: str) -> list[str]:
    with reading() as reader:
        mine = ProviderEvent.account_id == account_id
        return list(reader.scalars(select(ProviderEvent.id).where(mine).order_by(ProviderEvent.id)))


def test_events_that_did_not_come_are_asked_for_once_an_hour(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways = Gateways(connector, app.extensions["gateways"].shared("sandbox"))
    first = _happens(double, "charge.dispute.created", "du_1", AT + 60)
    assert provider_events.catch_up(gateways, AT + 120) == 0  # it was connected two minutes ago
    assert provider_events.catch_up(gateways, AT + HOUR) == 1
    double.calls.clear()
    assert provider_events.catch_up(gateways, AT + HOUR + 60) == 0
    assert double.calls == []
    second = _happens(double, "refund.updated", "re_1", AT + HOUR + 90)
    assert provider_events.catch_up(gateways, AT + 2 * HOUR) == 1  # the first one is told again
    assert _known(account_id) == [first, second]


def test_a_provider_that_does_not_answer_is_asked_again(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways = Gateways(connector, app.extensions["gateways"].shared("sandbox"))
    _happens(double, "refund.updated", "re_1", AT + 60)
    for fault in ("drop", "500", "429", "lose"):
        double.faults[:] = [fault]
        assert provider_events.catch_up(gateways, AT + HOUR) == 0
    assert provider_events.catch_up(gateways, AT + HOUR) == 1


def test_a_long_silence_is_made_up_for_in_parts(
    app: Flask, account_id: str, connector: StripeConnector, double: Double
) -> None:
    gateways, at = Gateways(connector, app.extensions["gateways"].shared("sandbox")), AT + 3 * 24 * HOUR
    for day in range(3):
        _happens(double, "refund.updated", f"re_{day}", AT + day * 24 * HOUR + 60)
    found, rounds = 0, 0
    while connections.due_for_events(at):
        found += provider_events.catch_up(gateways, at)
        rounds += 1
        assert rounds < 20
    assert (found, rounds) == (3, 3 * 24 * HOUR // missed.WINDOW)
