"""The account's domain in the dashboard: from its records to its links, and what cannot be one."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import time_machine
from flask import Flask

from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Event
from portal_site.db.transactions import transaction
from portal_site.domains import custom_domains
from portal_site.staff.roles import Role
from portal_site.staff.sessions import FRESH
from portal_site.web import hosts
from tests import world
from tests.client import PortalClient, text
from tests.dashboard.staff import account, employ, sign_in
from tests.domains.name_server import NameServer, name_server

OWN, HOST = "localhost", "billing.acme.example"


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(world.HALF, tick=False) as clock, acting_as(ActorType.OPERATOR):
        yield clock


@pytest.fixture
def dns(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """The name server that the portal asks. Nothing is remembered of domains."""
    monkeypatch.setitem(lite_app.config, "SETTINGS", replace(lite_app.config["SETTINGS"], base_url=f"http://{OWN}"))
    hosts.lookups().forget()
    with name_server() as server:
        server.set(OWN, "A", "192.0.2.10")
        monkeypatch.setitem(lite_app.extensions, "dns", server.client)
        yield server


@pytest.fixture
def account_id(dns: NameServer) -> str:
    return account()


@pytest.fixture
def owner(lite_app: Flask, account_id: str) -> PortalClient:
    client = sign_in(lite_app, employ(account_id))
    return client


def _events(account_id: str) -> list[str]:
    with transaction() as session:
        rows = session.query(Event).filter(Event.account_id == account_id).order_by(Event.sequence)
        return [row.type for row in rows if row.type.startswith("custom_domain")]


def _page(client: PortalClient, account_id: str) -> str:
    return text(client.get(f"/dashboard/{account_id}/domain").text)


def test_a_domain_from_its_records_to_its_links_and_its_end(
    owner: PortalClient, account_id: str, dns: NameServer
) -> None:
    there = f"/dashboard/{account_id}/domain"
    assert f"There is no domain yet. Customers see your portal at {OWN}." in _page(owner, account_id)
    assert owner.send(there, {"host": " Billing.ACME.example "}).status_code == 303
    domain = custom_domains.find_domain(account_id)
    assert domain is not None
    page = _page(owner, account_id)
    for words in ("Not verified yet", "TXT", f"_portal-challenge.{HOST}", domain.token, "CNAME", OWN):
        assert words in page
    owner.send(f"{there}/check", {})
    page = _page(owner, account_id)
    assert "The domain does not work yet." in page
    assert "There is no such TXT record yet. The host leads nowhere yet." in page
    dns.prove(HOST, domain.token)
    dns.set(HOST, "CNAME", OWN)
    owner.send(f"{there}/check", {})
    page = _page(owner, account_id)
    assert "The domain works." in page
    assert "The TXT record is there. The host leads here." in page
    assert hosts.lookups().host_of(account_id) == HOST
    assert "Domain" in text(owner.get(f"/dashboard/{account_id}").text)
    assert f"Remove {HOST}?" in text(owner.get(f"{there}/removal").text)
    assert custom_domains.find_domain(account_id) is not None
    assert owner.send(f"{there}/removal", {}).status_code == 303
    assert hosts.lookups().host_of(account_id) is None
    assert _events(account_id) == ["custom_domain.created", "custom_domain.verified", "custom_domain.deleted"]
    assert owner.send(f"{there}/removal", {}).status_code == 303  # twice
    assert len(_events(account_id)) == 3
    assert "Custom domain verified" in text(owner.get(f"/dashboard/{account_id}/log").text)


def test_the_apex_is_told_of_a_record_that_it_can_have(owner: PortalClient, account_id: str) -> None:
    owner.send(f"/dashboard/{account_id}/domain", {"host": "acme.example"})
    page = _page(owner, account_id)
    assert "ALIAS" in page
    assert "CNAME" not in page.replace("flattened CNAME", "")


@pytest.mark.case("C10")
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Host name is required."),
        (OWN, "This is no host name."),
        (f"x.{OWN}", "This host belongs to the portal itself."),
        ("co.uk", "Names below co.uk belong to different owners."),
        ("https://billing.acme.example/", "This is no host name."),
        ("*.acme.example", "A wildcard is not possible."),
        ("127.0.0.1", "This is an IP address."),
        ("billing.local", "This name only exists inside a network."),
        ("<script>.example", "This is no host name."),
        ("a" * 1001, "Use at most 1000 characters."),
    ],
)
def test_what_cannot_be_a_domain_is_said_at_the_field(
    owner: PortalClient, account_id: str, typed: str, said: str
) -> None:
    refused = owner.send(f"/dashboard/{account_id}/domain", {"host": typed})
    assert refused.status_code == 422
    assert said in text(refused.text)
    assert 'aria-invalid="true"' in refused.text
    assert custom_domains.find_domain(account_id) is None


@pytest.mark.case("C10")
def test_another_accounts_domain_cannot_be_taken(owner: PortalClient, account_id: str, dns: NameServer) -> None:
    other = account()
    domain = custom_domains.set_domain(other, HOST, world.HALF)
    there = f"/dashboard/{account_id}/domain"
    owner.send(there, {"host": HOST})  # anybody may say that a name is theirs
    dns.prove(HOST, domain.token)
    assert custom_domains.check_domain(other, dns.client, world.HALF).works
    refused = owner.send(f"{there}/check", {})
    mine = custom_domains.find_domain(account_id)
    assert mine is not None
    assert (refused.status_code, mine.works) == (303, False)  # its token is not there
    dns.prove(HOST, domain.token, mine.token)
    refused = owner.send(f"{there}/check", {})
    assert refused.status_code == 422
    assert "Another account already uses this host." in text(refused.text)
    assert hosts.lookups().owner_of(HOST) == other


def test_what_changes_the_domain_asks_who_it_is(
    owner: PortalClient, account_id: str, now: time_machine.Traveller
) -> None:
    now.shift(FRESH + 1)
    for path, data in (("", {"host": HOST}), ("/removal", {})):
        led = owner.send(f"/dashboard/{account_id}/domain{path}", data)
        assert (led.status_code, "/dashboard/proof" in led.location) == (303, True)
    assert custom_domains.find_domain(account_id) is None


def test_who_may_not_see_the_domain_gets_no_link_to_it(lite_app: Flask, account_id: str) -> None:
    client = sign_in(lite_app, employ(account_id, Role.ADMIN))
    assert f"/dashboard/{account_id}/domain" not in client.get(f"/dashboard/{account_id}").text
