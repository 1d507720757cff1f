"""Fixtures of the tests that talk to a small double of Stripe."""

from collections.abc import Iterator

import pytest

from portal_site.billing.gateways.stripe.client import client
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from tests.stripe.double import KEY, Double, running


@pytest.fixture
def double() -> Iterator[Double]:
    """A double that nobody has asked for anything yet."""
    with running() as started:
        yield started


@pytest.fixture
def connector(double: Double) -> StripeConnector:
    """Makes gateways that talk to it."""
    return StripeConnector(double.address)


@pytest.fixture
def gateway(double: Double) -> StripeGateway:
    """An account's gateway to it, in test mode."""
    return StripeGateway(client(KEY, None, double.address), False, "eur", lambda _why: None)
