"""A portal on a host of its own, whose DNS is a server of the tests, with nothing remembered of the test before."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from portal_site import clock
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import CustomDomain
from portal_site.domains import custom_domains
from portal_site.web import hosts
from tests.domains.name_server import NameServer, name_server

OWN = "billing.portal.example"
HOST = "billing.acme.example"


@pytest.fixture
def dns() -> Iterator[NameServer]:
    """A name server that knows the portal's own host."""
    with name_server() as server:
        server.set(OWN, "A", "192.0.2.10")
        yield server


@pytest.fixture(autouse=True)
def on_own_host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's base URL is on a real host name, without TLS."""
    for name in {"app", "lite_app"} & set(request.fixturenames):
        app: Flask = request.getfixturevalue(name)
        monkeypatch.setitem(app.config, "SETTINGS", replace(app.config["SETTINGS"], base_url=f"http://{OWN}"))
        hosts.lookups().forget()


@pytest.fixture(autouse=True)
def operator() -> Iterator[None]:
    """Domains are set and checked by an operator."""
    with acting_as(ActorType.OPERATOR):
        yield


def proven(dns: NameServer, account_id: str, host: str = HOST) -> CustomDomain:
    """Give an account a domain that works."""
    domain = custom_domains.set_domain(account_id, host, clock.now())
    dns.prove(host, domain.token)
    domain = custom_domains.check_domain(account_id, dns.client, clock.now())
    assert domain.works
    return domain
