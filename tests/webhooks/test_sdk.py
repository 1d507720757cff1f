"""Stripe's SDK for Python, unchanged: endpoints and events over HTTP, and the delivery that it then checks."""

from typing import Any

import pytest
import stripe
from flask import Flask

from tests import world
from tests.api.calls import Program
from tests.web.test_server import running


def test_the_sdk_makes_an_endpoint_and_reads_events(lite_app: Flask, sqlite_app: Flask) -> None:
    with world.merchant() as made:
        account_id = made.account.id
    token = Program(lite_app, account_id).token
    with running(sqlite_app) as (_host, port):
        client: Any = stripe.StripeClient(token, base_addresses={"api": f"http://127.0.0.1:{port}"}).v1
        wanted = {"url": "https://shop.example/hook", "enabled_events": ["customer.created", "charge.refunded"]}
        endpoint = client.webhook_endpoints.create({**wanted, "metadata": {"a": "1"}})
        assert endpoint.secret.startswith("whsec_")
        changed = client.webhook_endpoints.update(endpoint.id, {"disabled": True, "enabled_events": ["*"]})
        assert (changed.status, changed.enabled_events) == ("disabled", ["*"])
        assert [one.id for one in client.webhook_endpoints.list().auto_paging_iter()] == [endpoint.id]
        ids = [client.customers.create({"name": name}).id for name in ("Ada", "Bea", "Cleo")]
        found = client.events.list({"limit": 1, "types": ["customer.created"]})
        assert [event.data.object.id for event in found.auto_paging_iter()] == ids[::-1]
        event = client.events.retrieve(found.data[0].id)
        assert (event.type, event.request.id[:4], event.pending_webhooks) == ("customer.created", "req_", 0)
        assert client.webhook_endpoints.delete(endpoint.id).deleted
        with pytest.raises(stripe.InvalidRequestError) as missing:
            client.webhook_endpoints.retrieve(endpoint.id)
        assert missing.value.http_status == 404
