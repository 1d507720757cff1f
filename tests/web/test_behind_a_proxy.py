"""The servers that the README names, behind a proxy that terminates TLS, and Caddy with the README's configuration."""

import http.client
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from sqlalchemy import select

from portal_site.billing.gateways.sandbox.models import SandboxSetup
from portal_site.billing.models import Customer
from tests.client import parse
from tests.web.processes import EDIT, SERVERS, Place, free_port
from tests.web.proxies import HOST, PROXIES, start_proxy

BEHIND_TLS = {"PORTAL_BASE_URL": f"https://{HOST}", "PORTAL_TRUSTED_PROXIES": "1"}
FORWARDED = {
    "Host": "127.0.0.1",
    "X-Forwarded-Host": HOST,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.9",
}


@dataclass
class Browser:
    """A browser that reaches a server by a proxy's connection, and sends what browsers send with a form."""

    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: str = f"https://{HOST}"
    encrypted: bool = False
    cookie: str = ""
    host: str = HOST
    trusted: Path | None = None  # the certificate with which that of the host is signed; none: whoever it is

    def ask(self, method: str, path: str, data: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
        """The answer, with its text as `body`."""
        connection = self._connection()
        sent = {**self.headers, "Cookie": self.cookie, "Connection": "close"}
        if method == "POST":
            sent |= {"Origin": self.origin, "Referer": f"{self.origin}/", "Sec-Fetch-Site": "same-origin"}
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(data or {}) if method == "POST" else None, sent)
        response = connection.getresponse()
        response.body = response.read().decode()  # type: ignore[attr-defined]
        connection.close()
        self.cookie = (response.getheader("Set-Cookie") or self.cookie).partition(";")[0]
        return response

    def send(self, raw: bytes) -> str:
        """All that comes back after these bytes, in small letters."""
        answer = b""
        with self._socket() as connection:
            with suppress(OSError):  # who has read enough may close before all of it came
                connection.sendall(raw)
            with suppress(OSError):
                while part := connection.recv(65536):
                    answer += part
        return answer.decode("latin-1").lower()

    def _connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.host if self.encrypted else "127.0.0.1", self.port, timeout=60)
        connection.sock = self._socket()
        return connection

    def _socket(self) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        if self.encrypted:
            trusting = ssl.create_default_context(cafile=self.trusted)
            if self.trusted is None:
                trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            return trusting.wrap_socket(raw, server_hostname=self.host)
        return raw

    def token(self, path: str) -> str:
        """The token of the form on a page."""
        inputs = parse(self.ask("GET", path).body).iter("input")  # type: ignore[attr-defined]
        return next(str(one.get("value")) for one in inputs if one.get("name") == "csrf_token")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A portal's data, and its processes for as long as the test runs."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


@pytest.fixture(scope="module", params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, int]]:
    """A portal that trusts one proxy, and its port, by each server; one for all tests here, since its start takes long."""
    with ExitStack() as stack:
        place = Place(tmp_path_factory.mktemp("trusting"), stack)
        _, port = place.serve(request.param, **BEHIND_TLS)
        yield place, port


@pytest.fixture
def trusting(running: tuple[Place, int]) -> tuple[Place, int]:
    """The portal that trusts one proxy, with new data."""
    running[0].fill()
    return running


def _check_forms_and_addresses(place: Place, browser: Browser) -> None:
    """A customer follows a link, saves a form, and is sent to the payment provider and back, all of it under HTTPS."""
    followed = browser.ask("GET", f"/p/session/{place.link()}")
    assert followed.status == 303
    assert "Secure" in (followed.getheader("Set-Cookie") or "")
    assert followed.getheader("Strict-Transport-Security")
    sent = {"csrf_token": browser.token(EDIT), "email": "hedda@acme.example", "name": "Behind TLS"}
    assert browser.ask("POST", EDIT, sent).status == 303
    assert place.read(select(Customer.name)) == "Behind TLS"
    setup = browser.ask("POST", "/payment-methods", {"csrf_token": browser.token("/payment-methods")})
    assert setup.status == 303
    assert urlsplit(setup.getheader("Location") or "")[:2] == ("https", HOST)
    assert place.read(select(SandboxSetup.return_url)).startswith(f"https://{HOST}/")


@pytest.mark.case("C17")
def test_a_form_is_taken_behind_a_trusted_proxy(trusting: tuple[Place, int]) -> None:
    place, port = trusting
    _check_forms_and_addresses(place, Browser(port, FORWARDED))


@pytest.mark.case("C17")
@pytest.mark.parametrize("server", SERVERS)
def test_a_clients_own_forwarding_headers_mean_nothing_where_no_proxy_is_trusted(place: Place, server: str) -> None:
    _, port = place.serve(server)
    here = f"http://127.0.0.1:{port}"
    lying = {"Host": f"127.0.0.1:{port}", "X-Forwarded-Host": HOST, "X-Forwarded-Proto": "https"}
    browser = Browser(port, lying, origin=here)
    followed = browser.ask("GET", f"/p/session/{place.link()}")
    assert followed.status == 303  # under the real host, not the one that was claimed
    assert not followed.getheader("Strict-Transport-Security")
    token = browser.token(EDIT)
    sent = {"csrf_token": token, "email": "hedda@acme.example", "name": "Direct"}
    assert browser.ask("POST", EDIT, sent).status == 303
    browser.origin = f"https://{HOST}"
    assert browser.ask("POST", EDIT, sent).status == 403


@pytest.mark.case("C17")
def test_only_as_many_proxies_are_believed_as_are_trusted(trusting: tuple[Place, int]) -> None:
    """Each proxy adds to the end of a header; what stands before the trusted one's word is the client's."""
    place, port = trusting
    claimed = {**FORWARDED, "X-Forwarded-Host": f"evil.example, {HOST}", "X-Forwarded-Proto": "http, https"}
    browser = Browser(port, claimed)
    assert browser.ask("GET", f"/p/session/{place.link()}").getheader("Strict-Transport-Security")
    browser.headers = {**FORWARDED, "X-Forwarded-Host": f"{HOST}, evil.example"}
    assert browser.ask("GET", "/").status == 400


@pytest.mark.case("C17", "F20")
@pytest.mark.parametrize("proxy", PROXIES)
def test_the_readmes_proxy_configuration_works(trusting: tuple[Place, int], proxy: str) -> None:
    place, inside = trusting
    outside = start_proxy(place, proxy, inside)
    browser = Browser(outside, {"Host": HOST}, encrypted=True)
    _check_forms_and_addresses(place, browser)
    browser.headers = {"Host": HOST, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    followed = browser.ask("GET", "/")
    assert followed.status == 200
    assert followed.getheader("Strict-Transport-Security")
    assert "evil.example" not in followed.body  # type: ignore[attr-defined]


HEADERS = (
    "strict-transport-security", "content-security-policy", "x-content-type-options", "x-frame-options",
    "referrer-policy", "cache-control",
)  # fmt: skip
GET = b"GET / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n"
FORM = GET.replace(b"GET /", b"POST /language")
# What a proxy may refuse by itself, whether the server behind it would have refused it or not.
REFUSED = {
    "large body": FORM + b"Content-Length: 1500000\r\n\r\n" + b"a" * 1_500_000,
    "large body in pieces": FORM
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 20,
    "body over the program's limit": FORM + b"Content-Length: 600000\r\nConnection: close\r\n\r\n" + b"a" * 600_000,
    "pieces that are none": FORM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "long address": GET.replace(b"/ ", b"/" + b"a" * 40_000 + b" ") + b"Connection: close\r\n\r\n",
    "long header": GET + b"X: " + b"a" * 40_000 + b"\r\nConnection: close\r\n\r\n",
    "unusual method": GET.replace(b"GET", b"TRACE") + b"Connection: close\r\n\r\n",
}
NO_HTTP = {
    "nonsense": b"nonsense\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": FORM + b"Content-Length: 4\r\nContent-Length: 60\r\n\r\nabcd",
    "unknown coding": FORM + b"Transfer-Encoding: x\r\n\r\n",
    "unknown version": GET.replace(b"1.1", b"7.1") + b"\r\n",
    "endless header": GET + b"X: " + b"a" * 2_000_000 + b"\r\n\r\n",
}


def _check_headers(answer: str, name: str) -> None:
    assert re.match(r"http/1\.1 [45]\d\d ", answer), name
    assert [header for header in HEADERS if answer.count(f"\r\n{header}: ") != 1] == [], name


@pytest.mark.case("C17", "C20")
@pytest.mark.parametrize("proxy", PROXIES)
def test_what_a_proxy_refuses_has_the_headers_too(trusting: tuple[Place, int], proxy: str) -> None:
    place, inside = trusting
    browser = Browser(start_proxy(place, proxy, inside), encrypted=True)
    for name, raw in REFUSED.items():
        _check_headers(browser.send(raw), name)
    for name, raw in NO_HTTP.items():
        answer = browser.send(raw)
        if proxy == "nginx":
            _check_headers(answer, name)
        else:  # Caddy's library answers before anything that can be configured
            assert re.match(r"http/1\.1 [45]\d\d [^<]*\r\ncontent-type: text/plain; charset=utf-8\r\n[^<]*$", answer), (
                name
            )
    browser.headers = {"Host": HOST}
    assert browser.ask("GET", f"/p/session/{place.link()}").status == 303


@pytest.mark.case("C20")
@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_with_no_program_behind_it_has_the_headers_too(place: Place, proxy: str) -> None:
    browser = Browser(start_proxy(place, proxy, free_port()), encrypted=True)
    answer = browser.send(GET + b"Connection: close\r\n\r\n")
    assert answer.startswith("http/1.1 502 ")
    _check_headers(answer, proxy)
