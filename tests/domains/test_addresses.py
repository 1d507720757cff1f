"""Links for customers of an account: on its domain while that works, else below the base URL."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.models import Invoice, PortalConfiguration
from portal_site.billing.portal_access import logins, portal_sessions
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.domains import custom_domains, rechecks
from portal_site.domains.custom_domains import DAY
from portal_site.mail import links
from portal_site.web import addresses
from tests import world
from tests.api.calls import SESSIONS, Program
from tests.client import PortalClient
from tests.domains.conftest import HOST, OWN, proven
from tests.domains.name_server import NameServer
from tests.portal.logging_in import mails
from tests.world import reading

THERE, HOME = f"http://{HOST}", f"http://{OWN}"


def _configuration(scene: world.Scene) -> str:
    with reading() as reader:
        mine = PortalConfiguration.account_id == scene.account_id
        return str(reader.scalar(select(PortalConfiguration.id).where(mine)))


def _api_session(app: Flask, scene: world.Scene) -> str:
    made = Program(app, scene.account_id).post(SESSIONS, {"customer": scene.customer.id}, Host=OWN)
    return str(made.json["url"])  # type: ignore[index]


def _api_login_page(app: Flask, scene: world.Scene) -> str:
    logins.set_page(_configuration(scene), enabled=True, new_url=False, at=clock.now())
    found = Program(app, scene.account_id).get("/v1/billing_portal/configurations", Host=OWN)
    return str(found.json["data"][0]["login_page"]["url"])  # type: ignore[index]


def _email_link(app: Flask, scene: world.Scene) -> str:
    with app.test_request_context(base_url=HOME):
        who = scene.customer
        return links.address(scene.account_id, Purpose.INVOICE, who.id, who.email, "in_none", clock.now())


def _after_payment(app: Flask, scene: world.Scene) -> str:
    with reading() as reader:
        mine = Invoice.customer_id == scene.customer.id
        invoice_id = str(reader.scalar(select(Invoice.id).where(mine).limit(1)))
    with app.test_request_context(base_url=HOME):
        return addresses.after_payment(invoice_id)


KINDS: dict[str, Callable[[Flask, world.Scene], str]] = {
    "a session of the API": _api_session,
    "a login page of the API": _api_login_page,
    "a link in an e-mail": _email_link,
    "the return from a bank": _after_payment,
}


def _off(app: Flask, scene: world.Scene, dns: NameServer) -> None:
    due = custom_domains.find_domain(scene.account_id).check_due_at or 0  # type: ignore[union-attr]
    dns.prove(HOST)
    for day in range(3):
        rechecks.check_due(dns.client, due + day * DAY)


@pytest.mark.parametrize("kind", KINDS)
def test_links_lead_to_the_domain_while_it_works(lite_app: Flask, dns: NameServer, kind: str) -> None:
    scene, other = world.scene("Mine"), world.scene("Other")
    made = KINDS[kind]
    assert made(lite_app, scene).startswith(f"{HOME}/")
    custom_domains.set_domain(scene.account_id, HOST, clock.now())
    assert made(lite_app, scene).startswith(f"{HOME}/")
    proven(dns, scene.account_id)
    assert made(lite_app, scene).startswith(f"{THERE}/")
    assert made(lite_app, other).startswith(f"{HOME}/")
    _off(lite_app, scene, dns)
    assert made(lite_app, scene).startswith(f"{HOME}/")
    proven(dns, scene.account_id)
    assert made(lite_app, scene).startswith(f"{THERE}/")
    custom_domains.remove_domain(scene.account_id, clock.now())
    assert made(lite_app, scene).startswith(f"{HOME}/")


def test_scheme_port_and_prefix_are_those_of_the_base_url(
    lite_app: Flask, dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = world.scene()
    proven(dns, scene.account_id)
    for base, expected in (
        ("https://billing.portal.example", f"https://{HOST}/logged-out"),
        ("https://billing.portal.example:8443", f"https://{HOST}:8443/logged-out"),
        ("https://shop.example/billing", f"https://{HOST}/billing/logged-out"),
    ):
        monkeypatch.setitem(lite_app.config, "SETTINGS", replace(lite_app.config["SETTINGS"], base_url=base))
        with lite_app.test_request_context(base_url=base):
            assert addresses.of(scene.account_id, "sessions.show_logged_out") == expected


@pytest.mark.case("C9")
def test_the_host_of_a_request_gets_into_no_link_that_is_kept(lite_app: Flask, dns: NameServer) -> None:
    scene = world.scene()
    made = Program(lite_app, scene.account_id).post(
        SESSIONS, {"customer": scene.customer.id}, Host=f"{OWN}:6666", X_Forwarded_Host="evil.example"
    )
    assert re.match(rf"{re.escape(HOME)}/p/session/", made.json["url"])  # type: ignore[index]


def test_a_customer_comes_back_from_the_provider_to_the_host_with_the_cookie(lite_app: Flask, dns: NameServer) -> None:
    from portal_site.billing.gateways.sandbox.models import SandboxSetup

    scene = world.scene()
    proven(dns, scene.account_id)
    for place in (THERE, HOME):
        client: PortalClient = lite_app.test_client()  # type: ignore[assignment]
        token = portal_sessions.open_session(scene.customer.id, clock.now()).token
        client.get(f"/p/session/{token}", base_url=place)
        client.get("/payment-methods", base_url=place)
        gone = client.send("/payment-methods", base_url=place)
        assert gone.location.startswith(f"{place}/")
        with reading() as reader:
            this = select(SandboxSetup.return_url).where(SandboxSetup.reference == gone.location.rpartition("/")[2])
            assert str(reader.scalar(this)).startswith(f"{place}/payment-methods/setups/")


def test_a_code_leads_back_to_the_host_where_it_was_asked_for(
    lite_app: Flask, dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser has the cookie of its request there, and nowhere else."""
    settings = replace(lite_app.config["SETTINGS"], smtp_url="smtp://127.0.0.1:1?tls=none")
    monkeypatch.setitem(lite_app.config, "SETTINGS", settings)
    scene = world.scene()
    proven(dns, scene.account_id)
    page_id = logins.set_page(_configuration(scene), enabled=True, new_url=False, at=clock.now())
    monkeypatch.setattr("tests.portal.logging_in.AT", clock.now())
    for place in (HOME, THERE):
        client: Any = lite_app.test_client()
        client.get(f"/login/{page_id}", base_url=place)
        assert client.send(f"/login/{page_id}", {"email": scene.customer.email}, base_url=place).status_code == 303
    shown = {re.findall(r"https?://[^/]+(?=/login/)", body)[0]: code for code, body in mails(lite_app)}
    assert set(shown) == {HOME, THERE}
    code = shown[THERE]
    assert client.get(f"/login/{page_id}/code?code={code}", base_url=THERE).status_code == 200
    sent = client.send(f"/login/{page_id}/code", {"code": code}, base_url=THERE)
    assert (sent.status_code, sent.location) == (303, "/")
    assert client.get("/", base_url=THERE).status_code == 200


def test_a_code_asked_for_on_a_domain_that_is_gone_leads_to_the_portals_own_host(
    lite_app: Flask, dns: NameServer
) -> None:
    scene = world.scene()
    proven(dns, scene.account_id)
    with lite_app.test_request_context(base_url=HOME):
        assert addresses.on(HOST, scene.account_id, "sessions.show_logged_out") == f"{THERE}/logged-out"
        assert addresses.on(None, scene.account_id, "sessions.show_logged_out") == f"{HOME}/logged-out"
        assert addresses.on("evil.example", scene.account_id, "sessions.show_logged_out") == f"{HOME}/logged-out"
        custom_domains.remove_domain(scene.account_id, clock.now())
        assert addresses.on(HOST, scene.account_id, "sessions.show_logged_out") == f"{HOME}/logged-out"
