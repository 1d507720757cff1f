"""A portal that is mounted below a path of a host that it shares: everything that leads somewhere has the path."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.models import Customer, Invoice, PortalConfiguration, PortalVisit
from portal_site.billing.portal_access import portal_sessions
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.billing.rules.portal.flows import Flow
from portal_site.mail import links
from portal_site.web import addresses
from tests import operators, world
from tests.api.calls import Program
from tests.client import PortalClient, parse
from tests.conftest import empty_all, make_app
from tests.web.processes import EDIT, SERVERS, Browser, Place
from tests.world import reading

BASE, PREFIX = "https://shop.example/billing", "/billing"
HOST = "https://shop.example"
ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-put", "hx-delete", "data-stay", "content")


class Client(PortalClient):
    """A browser on the host."""

    def open(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        kwargs.setdefault("base_url", HOST)
        return super().open(*args, **kwargs)


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The portal below the path, with mail."""
    folder: Path = tmp_path_factory.mktemp("mounted")
    app = make_app(f"sqlite:///{folder / 'portal.db'}", folder, base_url=BASE, smtp_url="smtp://127.0.0.1:1?tls=none")
    app.test_client_class = Client
    return app


@pytest.fixture
def below(mounted: Flask) -> Iterator[Flask]:
    """It, empty, in its context."""
    with mounted.app_context():
        empty_all()
        yield mounted


def _entered(app: Flask, scene: world.Scene, **options: Any) -> PortalClient:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    token = portal_sessions.open_session(scene.customer.id, clock.now(), **options).token
    followed = client.get(f"{PREFIX}/p/session/{token}")
    assert (followed.status_code, followed.location) == (303, f"{PREFIX}/")
    return client


def _leads(markup: str, names: Sequence[str] = ADDRESSES) -> set[str]:
    """All that leads somewhere on the own host."""
    elements = [element for element in parse(markup).iter() if isinstance(element.tag, str)]
    found = {element.get(name, "") for element in elements for name in names}
    return {address for address in found if address.startswith(("/", HOST))}


def test_every_link_form_and_file_of_every_page_is_below_the_path(below: Flask) -> None:
    scene = world.scene(last="open")
    client = _entered(below, scene)
    todo, seen = [f"{PREFIX}/"], set()
    while todo and len(seen) < 200:
        address = todo.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code in (200, 303) or address.endswith("/session-over"), address
        if answer.status_code == 303:
            assert answer.location.startswith(f"{PREFIX}/"), address
        elif answer.mimetype == "text/html":
            leads = _leads(answer.text)
            assert [lead for lead in leads if not lead.startswith(f"{PREFIX}/")] == [], address
            hidden = re.findall(r'name="(?:to|next)"\s+value="([^"]*)"', answer.text)
            assert all(value.startswith(f"{PREFIX}/") for value in hidden), address
            todo += [
                lead for lead in _leads(answer.text, ("href", "src", "hx-get", "data-stay")) if "/export/" not in lead
            ]
    assert len(seen) > 25
    assert any("/static/" in address for address in seen)
    assert any("/theme/" in address for address in seen)
    assert any("plan-change/quote" in address or "/list" in address for address in seen)


def test_forms_and_their_redirects_stay_below_the_path(below: Flask) -> None:
    client = _entered(below, world.scene())
    form = client.form(f"{PREFIX}/billing-information/edit")
    saved = client.send(f"{PREFIX}/billing-information/edit", {**form, "name": "Below"}, headers=_from(HOST))
    assert (saved.status_code, saved.location) == (303, f"{PREFIX}/billing-information")
    assert "Below" in client.get(saved.location).text
    for there in ("", "https://evil.example", "/", "/cart", "/billingx", "//evil.example/billing/", f"{PREFIX}"):
        chosen = client.send(f"{PREFIX}/language", {"language": "fr", "next": there}, headers=_from(HOST))
        assert (chosen.status_code, chosen.location) == (303, f"{PREFIX}/"), there
    chosen = client.send(f"{PREFIX}/language", {"language": "en", "next": f"{PREFIX}/invoices"}, headers=_from(HOST))
    assert chosen.location == f"{PREFIX}/invoices"
    gone = client.send(f"{PREFIX}/payment-methods", {"to": f"{PREFIX}/invoices"}, headers=_from(HOST))
    assert gone.location.startswith(f"{BASE}/sandbox/")
    refused = client.send(f"{PREFIX}/language", {"language": "fr"}, headers=_from("https://evil.example"))
    assert refused.status_code == 403


def _from(origin: str) -> dict[str, str]:
    return {"Origin": origin, "Referer": f"{origin}/billing/", "Sec-Fetch-Site": "same-origin"}


def test_who_is_refused_comes_back_to_the_page(below: Flask) -> None:
    scene = world.scene()
    client = _entered(below, scene)
    client.get(f"{PREFIX}/")
    out = client.send(f"{PREFIX}/log-out", headers=_from(HOST))
    assert (out.status_code, out.location) == (303, f"{PREFIX}/logged-out")
    assert "Clear-Site-Data" not in out.headers  # the shop's own pages are of the same origin
    token = portal_sessions.open_session(scene.customer.id, clock.now()).token
    followed = client.get(f"{PREFIX}/p/session/{token}?to={PREFIX}/invoices")
    assert followed.location == f"{PREFIX}/invoices"
    followed = client.get(f"{PREFIX}/p/session/{token}?to=/invoices")
    assert followed.location == f"{PREFIX}/"


def test_a_refused_page_is_remembered_with_its_path(below: Flask) -> None:
    scene = world.scene()
    client = _entered(below, scene)
    with world.transaction() as session:
        for visit in session.query(PortalVisit).execution_options(unscoped="a test"):
            visit.ended_at = clock.now()
    assert client.get(f"{PREFIX}/invoices?status=open").status_code == 403
    token = portal_sessions.open_session(scene.customer.id, clock.now()).token
    assert client.get(f"{PREFIX}/p/session/{token}").location == f"{PREFIX}/invoices?status=open"


def test_a_flow_begins_and_ends_below_the_path(below: Flask) -> None:
    client = _entered(below, world.scene(), flow=Flow("payment_method_update"))
    began = client.get(f"{PREFIX}/")
    assert (began.status_code, began.location) == (303, f"{PREFIX}/payment-methods/new")
    first = client.get(began.location)
    assert began.location not in _leads(first.text, ("href",))  # the first page has no way back to itself
    assert client.get(f"{PREFIX}/invoices").location == began.location


def test_cookies_are_for_the_path_only(below: Flask) -> None:
    client = _entered(below, world.scene())
    cookie = client.get_cookie("__Secure-portal", domain="shop.example", path=f"{PREFIX}/")
    assert cookie is not None
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", f"{PREFIX}/")
    assert cookie.origin_only


def test_only_what_is_below_the_path_is_the_portals(below: Flask) -> None:
    client = _entered(below, world.scene())
    for path in ("/", "/invoices", "/cart", "/v1/customers", "/billingx/invoices", "/p/session/x", "/Billing/"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert [lead for lead in _leads(answer.text) if not lead.startswith(f"{PREFIX}/")] == []
    moved = client.get(f"{PREFIX}?to=%2Fx&y=1")
    assert (moved.status_code, moved.location) == (308, f"{PREFIX}/?to=%2Fx&y=1")
    assert client.get("/billing/", base_url="https://elsewhere.example").status_code == 400
    assert client.get("/billing/billing/invoices").status_code == 404
    answer = client.get(f"{PREFIX}/", headers={"X-Forwarded-Prefix": "/evil"})
    assert "evil" not in answer.text
    assert client.get(f"{PREFIX}/").headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_proxy_asks_below_the_path(below: Flask) -> None:
    client = below.test_client()
    here = {"Host": "127.0.0.1:8000"}
    ask = f"{PREFIX}/internal/tls-ask?domain="
    assert client.get(f"{ask}shop.example", headers=here).status_code == 200
    assert client.get(f"{ask}evil.example", headers=here).status_code == 404


def test_what_is_sent_elsewhere_has_the_path(below: Flask) -> None:
    scene = world.scene()
    program = Program(below, scene.account_id)
    with reading() as reader:
        configuration_id = reader.execute(select(PortalConfiguration.id)).scalar_one()
        invoice_id = str(reader.scalar(select(Invoice.id).limit(1)))
    page_id = operators.set_login_page(configuration_id, enabled=True, new_url=False, at=clock.now())
    cancellation_id = operators.set_cancellation_page(scene.account_id, enabled=True, new_url=False)
    who = scene.customer
    with below.test_request_context(base_url=BASE):
        made = {
            "mail": links.address(scene.account_id, Purpose.INVOICE, who.id, who.email, invoice_id, clock.now()),
            "return": addresses.after_payment(invoice_id),
            "cancel": addresses.of(scene.account_id, "cancellation_requests.show_form", page_id=cancellation_id),
        }
    session = program.post(f"{PREFIX}/v1/billing_portal/sessions", {"customer": who.id}).json
    listed = program.get(f"{PREFIX}/v1/billing_portal/configurations").json
    made |= {"session": session["url"], "login": listed["data"][0]["login_page"]["url"]}  # type: ignore[index]
    assert listed["url"] == "/v1/billing_portal/configurations"  # type: ignore[index]
    assert made["login"] == f"{BASE}/login/{page_id}"
    for name, url in made.items():
        assert url.startswith(f"{BASE}/"), name
        answer = below.test_client().get(urlsplit(url).path)
        assert answer.status_code in (200, 303, 403), name
        if answer.status_code == 303:
            assert answer.location == f"{PREFIX}/"
        else:
            assert [lead for lead in _leads(answer.text) if not lead.startswith(f"{PREFIX}/")] == [], name


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_takes_the_path_as_it_comes(tmp_path: Path, server: str) -> None:
    with ExitStack() as stack:
        place = Place(tmp_path, stack)
        _, port = place.serve(server, PORTAL_BASE_URL="http://127.0.0.1:8000/billing")
        browser = Browser(port)
        assert browser.ask("GET", f"{PREFIX}/p/session/{place.link()}")[0] == 303
        assert browser.ask("GET", f"{PREFIX}{EDIT}")[0] == 200
        sent = {"csrf_token": browser.token, "email": "hedda@acme.example", "name": "Below"}
        assert browser.ask("POST", f"{PREFIX}{EDIT}", sent)[0] == 303
        assert place.read(select(Customer.name)) == "Below"
        answers = {
            path: browser.ask("GET", path)[0]
            for path in (EDIT, "/", PREFIX, f"{PREFIX}/", "/billing%2f", "/%62illing/")
        }
        assert answers == {EDIT: 404, "/": 404, PREFIX: 308, f"{PREFIX}/": 200, "/billing%2f": 200, "/%62illing/": 200}
