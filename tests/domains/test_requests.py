"""What there is on a custom domain: the portal of its account, and nothing else."""

import re
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site import clock
from portal_site.billing.models import PortalConfiguration, PortalSession, RememberedDevice
from portal_site.billing.portal_access import logins, portal_sessions
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.mail import links
from portal_site.web import hosts
from tests import operators, world
from tests.client import PortalClient
from tests.domains.conftest import HOST, OWN, proven
from tests.domains.name_server import NameServer
from tests.test_access import STAFF
from tests.world import reading

DASHBOARD = {name.rstrip(".") for name in STAFF}
THERE, HOME = f"http://{HOST}", f"http://{OWN}"


@pytest.fixture(autouse=True)
def mail_is_on(lite_app: Flask, on_own_host: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the login pages."""
    settings = replace(lite_app.config["SETTINGS"], smtp_url="smtp://127.0.0.1:1?tls=none")
    monkeypatch.setitem(lite_app.config, "SETTINGS", settings)


def _client(app: Flask) -> PortalClient:
    return app.test_client()  # type: ignore[return-value]


def _link(scene: world.Scene) -> str:
    return f"/p/session/{portal_sessions.open_session(scene.customer.id, clock.now()).token}"


def _login_page(account_id: str) -> str:
    with reading() as reader:
        row = reader.execute(select(PortalConfiguration.id).where(PortalConfiguration.account_id == account_id))
        page_id = logins.set_page(row.scalar_one(), enabled=True, new_url=False, at=clock.now())
    return f"/login/{page_id}"


def _pages(app: Flask, scene: world.Scene) -> dict[str, str]:
    """The pages by which customers of an account come in."""
    customer = scene.customer
    with app.test_request_context(base_url=HOME):
        email_link = links.address(
            scene.account_id, Purpose.SUBSCRIPTION, customer.id, customer.email, scene.subscription.id, clock.now()
        )
    return {
        "link": _link(scene),
        "login": _login_page(scene.account_id),
        "cancellation": f"/cancel/{operators.set_cancellation_page(scene.account_id, enabled=True, new_url=False)}",
        "email": "/m/" + email_link.rpartition("/")[2],
    }


ENTERED = {"link": 303, "login": 200, "cancellation": 200, "email": 200}
MISSING = {"link": 403, "login": 404, "cancellation": 404, "email": 403}


@pytest.mark.case("C10")
def test_each_account_has_its_pages_on_its_domain_and_on_the_portals_own_host(lite_app: Flask, dns: NameServer) -> None:
    mine, theirs = world.scene("Mine"), world.scene("Theirs")
    proven(dns, mine.account_id)
    for name, path in _pages(lite_app, mine).items():
        for place in (THERE, HOME):
            assert _client(lite_app).get(path, base_url=place).status_code == ENTERED[name], (name, place)
    for name, path in _pages(lite_app, theirs).items():
        answer = _client(lite_app).get(path, base_url=THERE)
        assert answer.status_code == MISSING[name], name
        assert "Theirs" not in answer.text
        assert "Hedda" not in answer.text
        unknown = _client(lite_app).get(f"{path.rpartition('/')[0]}/none", base_url=THERE)
        assert answer.status_code == unknown.status_code
        assert _client(lite_app).get(path, base_url=HOME).status_code == ENTERED[name], name


@pytest.mark.case("C10")
def test_a_cookie_of_another_account_lets_nobody_in(lite_app: Flask, dns: NameServer) -> None:
    """Browsers do not send it there; somebody who copies it learns nothing of whose it is."""
    mine, theirs = world.scene("Mine"), world.scene("Theirs")
    proven(dns, mine.account_id)
    client = _client(lite_app)
    client.get(_link(theirs), base_url=HOME)
    name = lite_app.config["SESSION_COOKIE_NAME"]
    stolen = client.get_cookie(name, domain=OWN)
    assert stolen is not None
    assert client.get("/", base_url=HOME).status_code == 200
    assert client.get_cookie(name, domain=HOST) is None
    client.set_cookie(name, stolen.value, domain=HOST)
    for path, status in (("/", 403), ("/invoices", 403), ("/session-over", 403), ("/nowhere", 404)):
        answer = client.get(path, base_url=THERE)
        assert answer.status_code == status, path
        assert "Theirs" not in answer.text, path
    client.get(_link(mine), base_url=THERE)
    assert client.get("/", base_url=THERE).status_code == 200


@pytest.mark.case("C10")
def test_a_device_of_another_account_lets_nobody_in_and_begins_nothing(lite_app: Flask, dns: NameServer) -> None:
    mine, theirs = world.scene("Mine"), world.scene("Theirs")
    proven(dns, mine.account_id)
    with world.transaction() as session:
        shown = PortalConfiguration.account_id == theirs.account_id
        configuration = session.scalars(select(PortalConfiguration).where(shown)).one()
        configuration.remembers_devices = configuration.login_page_enabled = True
        configuration.login_page_id = "page"
        session.add(
            RememberedDevice(
                id="dev_theirs", account_id=theirs.account_id, customer_id=theirs.customer.id, livemode=False,
                configuration_id=configuration.id, created=1, last_used_at=1, email=theirs.customer.email,
                expires_at=clock.now() + 1000, token_hash=portal_sessions.hash_token("stolen"),
            )
        )  # fmt: skip
    name = f"{lite_app.config['SESSION_COOKIE_NAME']}-device"
    client, count = _client(lite_app), select(func.count()).select_from(PortalSession)
    for place, status, sessions in ((THERE, 403, 0), (HOME, 200, 1)):
        client.set_cookie(name, "stolen", domain=place.removeprefix("http://"))
        answer = client.get("/", base_url=place)
        assert answer.status_code == status
        assert ("Theirs" in answer.text) == (place == HOME)
        with reading() as reader:
            assert reader.scalar(count) == sessions


@pytest.mark.case("C10")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers", "/v1/billing_portal/sessions", "/v1/nothing", "/v2/core", "/demo", "/demo/mail",
        "/gateways/sandbox/events", "/dashboard", "/setup", "/internal/tls-ask?domain=x.example",
    ],
)  # fmt: skip
def test_there_is_nothing_else_on_it(lite_app: Flask, dns: NameServer, path: str) -> None:
    proven(dns, world.scene().account_id)
    for answer in (_client(lite_app).get(path, base_url=THERE), _client(lite_app).post(path, base_url=THERE)):
        assert answer.status_code == 404


def test_whatever_is_added_stays_off_it_until_it_is_named(lite_app: Flask) -> None:
    endpoints = {rule.endpoint for rule in lite_app.url_map.iter_rules()}
    served = {name for name in endpoints if hosts._exists_on_domains(name)}
    assert {name.partition(".")[0] for name in endpoints - served} == {
        "api",
        "gateways",
        "returns",
        "tls_ask",
        *DASHBOARD,
    }
    assert not hosts._exists_on_domains("dashboard.show")
    assert not hosts._exists_on_domains("overview")


@pytest.mark.case("C9")
@pytest.mark.parametrize(
    "host",
    [
        "evil.example", f"{HOST}.evil.example", f"evil.{HOST}", "localhost", "127.0.0.1", "", f"{HOST}@evil.example", f"{HOST}:x",
        f"{HOST}.", "192.0.2.10",
    ],
)  # fmt: skip
def test_a_host_that_is_nobodys_is_refused(lite_app: Flask, dns: NameServer, host: str) -> None:
    proven(dns, world.scene().account_id)
    for path in ("/", "/logged-out", "/v1/customers", "/nowhere"):
        answer = _client(lite_app).get(path, headers={"Host": host})
        assert (answer.status_code, answer.mimetype) == (400, "text/plain")
        assert "evil" not in answer.text


@pytest.mark.case("C9")
def test_a_domain_that_is_claimed_only_is_nobodys(lite_app: Flask, dns: NameServer) -> None:
    from portal_site.domains import custom_domains

    custom_domains.set_domain(world.scene().account_id, HOST, clock.now())
    assert _client(lite_app).get("/logged-out", base_url=THERE).status_code == 400


@pytest.mark.case("C9")
def test_what_a_client_says_of_its_host_gets_into_no_link(lite_app: Flask, dns: NameServer) -> None:
    scene = world.scene()
    proven(dns, scene.account_id)
    client = _client(lite_app)
    lying = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "Forwarded": "host=evil.example"}
    client.get(_link(scene), base_url=THERE)
    page = client.get("/payment-methods", base_url=THERE, headers=lying)
    assert "evil" not in page.text
    gone = client.send("/payment-methods", base_url=THERE, headers=lying)
    assert gone.status_code == 303
    assert gone.location.startswith(f"{THERE}/")


@pytest.mark.case("C1")
def test_forms_work_on_the_domain_and_come_from_there_only(lite_app: Flask, dns: NameServer) -> None:
    scene = world.scene()
    proven(dns, scene.account_id)
    client = _client(lite_app)
    client.get(_link(scene), base_url=THERE)
    client.get("/billing-information/edit", base_url=THERE)
    form = {"email": "hedda@acme.example", "name": "On the domain"}
    for origin in (HOME, "http://evil.example", "null", f"https://{HOST}"):
        refused = client.send("/billing-information/edit", form, base_url=THERE, headers={"Origin": origin})
        assert refused.status_code == 403, origin
    stale, client.token = client.token, "wrong"
    assert client.send("/billing-information/edit", form, base_url=THERE).status_code == 403
    client.token = stale
    sent = client.send("/billing-information/edit", form, base_url=THERE, headers={"Origin": THERE})
    assert (sent.status_code, sent.location) == (303, "/billing-information")
    assert "On the domain" in client.get("/billing-information", base_url=THERE).text


def test_a_domain_says_nothing_of_the_names_below_it(lite_app: Flask, dns: NameServer) -> None:
    """An account may use what it registered, acme.example, beside hosts that have no TLS."""
    proven(dns, world.scene().account_id)
    there, home = (
        _client(lite_app)
        .get("/logged-out", base_url=place.replace("http", "https"))
        .headers["Strict-Transport-Security"]
        for place in (THERE, HOME)
    )
    assert (there, home) == ("max-age=31536000", "max-age=31536000; includeSubDomains")


@pytest.mark.case("C9")
def test_a_redirect_stays_on_the_host(lite_app: Flask, dns: NameServer) -> None:
    proven(dns, world.scene().account_id)
    answer = _client(lite_app).get("//evil.example//invoices", base_url=THERE)
    assert not re.match(r"(https?:)?//(?!billing\.acme\.example[/:])", answer.headers.get("Location", ""))
