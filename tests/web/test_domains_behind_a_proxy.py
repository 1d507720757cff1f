"""Custom domains over TLS: Caddy, which asks the portal for each host, and nginx, with the files in deploy/."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.models import Account, CustomDomain, Customer
from portal_site.billing.portal_access import portal_sessions
from portal_site.db import db
from tests import world
from tests.web.processes import EDIT, Place
from tests.web.proxies import HOST, PROXIES, authority, start_for_domains
from tests.web.test_behind_a_proxy import BEHIND_TLS, Browser

DOMAIN, CLAIMED, NOBODYS = "billing.acme.example", "billing.claimed.example", "billing.nobody.example"


@dataclass
class Served:
    """A portal behind a proxy, with one account whose domain works and one that has only claimed one."""

    place: Place
    proxy: str
    port: int
    other_link: str

    def browser(self, host: str) -> Browser:
        """One that trusts the authority of the proxy and nobody else, where there is one."""
        trusted = authority(self.place) if self.proxy == "caddy" else self.place.folder / f"{host}.crt"
        return Browser(self.port, {"Host": host}, f"https://{host}", encrypted=True, host=host, trusted=trusted)


@pytest.fixture(scope="module", params=PROXIES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ExitStack() as stack:
        place = Place(tmp_path_factory.mktemp("domains"), stack)
        with place.app.app_context():
            other = world.scene("Other")
            with world.transaction() as session:
                mine = session.get_one(Customer, place.customer_id).account_id
                for account_id, host, at in ((mine, DOMAIN, clock.now()), (other.account_id, CLAIMED, None)):
                    assert session.get(Account, account_id)
                    session.add(
                        CustomDomain(account_id=account_id, host=host, token="t", created=1, verified_at=at, failures=0)
                    )
            link = portal_sessions.open_session(other.customer.id, clock.now(), link_life=3600).token
            db.session.remove()
        _, inside = place.serve("portal run", **BEHIND_TLS)
        port = start_for_domains(place, request.param, inside, (HOST, DOMAIN))
        yield Served(place, request.param, port, f"/p/session/{link}")


@pytest.mark.case("C9", "C10")
@pytest.mark.parametrize("host", [DOMAIN, HOST])
def test_forms_work_on_a_host_with_a_certificate_of_its_own(served: Served, host: str) -> None:
    browser = served.browser(host)
    browser.headers = {**browser.headers, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    followed = browser.ask("GET", f"/p/session/{served.place.link()}")
    assert (followed.status, followed.getheader("Location")) == (303, "/")
    assert (followed.getheader("Set-Cookie") or "").startswith("__Host-portal=")
    expected = "max-age=31536000" if host == DOMAIN else "max-age=31536000; includeSubDomains"
    assert followed.getheader("Strict-Transport-Security") == expected
    sent = {"csrf_token": browser.token(EDIT), "email": "hedda@acme.example", "name": f"On {host}"}
    assert browser.ask("POST", EDIT, sent).status == 303
    assert served.place.read(select(Customer.name).where(Customer.id == served.place.customer_id)) == f"On {host}"
    gone = browser.ask("POST", "/payment-methods", {"csrf_token": browser.token("/payment-methods")})
    assert (gone.getheader("Location") or "").startswith(f"https://{host}/")
    browser.origin = f"https://{HOST if host == DOMAIN else DOMAIN}"
    assert browser.ask("POST", EDIT, sent).status == 403


@pytest.mark.case("C10")
def test_there_is_nothing_but_the_accounts_portal(served: Served) -> None:
    browser = served.browser(DOMAIN)
    assert browser.ask("GET", served.other_link).status == 403
    assert browser.ask("GET", "/v1/customers").status == 404
    for host in (DOMAIN, HOST):
        assert served.browser(host).ask("GET", f"/internal/tls-ask?domain={HOST}").status == 404
    assert served.browser(HOST).ask("GET", served.other_link).status == 303


@pytest.mark.case("C9", "C10")
@pytest.mark.parametrize("host", [CLAIMED, NOBODYS, f"x.{DOMAIN}", f"x.{HOST}"])
def test_a_host_that_is_nobodys_gets_no_certificate(served: Served, host: str) -> None:
    with pytest.raises(ssl.SSLError, match=r"alert|certificate|ALERT|UNRECOGNIZED"):
        Browser(served.port, {"Host": host}, encrypted=True, host=host).ask("GET", "/")


@pytest.mark.case("C9")
def test_a_host_that_differs_from_that_of_the_connection_is_not_served(served: Served) -> None:
    browser = served.browser(DOMAIN)
    browser.headers = {"Host": "evil.example"}
    assert browser.ask("GET", "/logged-out").status in (400, 421)
