"""Attacks on every page: cross-site requests, foreign hosts, unusual URLs, and the headers of every response."""

import re
from typing import Any

import pytest
from flask import Flask, url_for
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError, OperationalError

from portal_site import clock
from portal_site.billing.models import Account, Invoice, PortalSession
from portal_site.billing.portal_access import portal_sessions
from portal_site.branding import logos
from portal_site.config import Settings
from portal_site.db import Base, db, scoping, transactions
from portal_site.db.page_query import PageQuery
from portal_site.web.rendering import i18n
from tests import world
from tests.client import PortalClient, parse
from tests.conftest import SECRET, Visit, enter, make_app
from tests.test_access import PUBLIC, ROUTES, STAFF
from tests.world import reading

EDIT = "/billing-information/edit"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.mark.case("C20")
@pytest.mark.case("C3")
@pytest.mark.parametrize(
    ("address", "status"),
    [("/", 200), ("/invoices/rows", 200), ("/nothing", 404), ("/invoices/in_none", 404), ("/log-out", 405), ("/p/session/x", 403),
     ("/billing-information", 200), ("/logged-out", 200)],
)  # fmt: skip
def test_every_answer_carries_the_same_headers_letter_for_letter(visit: Visit, address: str, status: int) -> None:
    response = visit(world.scene().customer).get(address)
    assert response.status_code == status
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.case("C20")
def test_a_fault_of_ours_carries_them_too_and_shows_nothing(sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite_app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setitem(sqlite_app.view_functions, "sessions.show_logged_out", lambda: 1 / 0)
    sqlite_app.testing = False
    try:
        response = sqlite_app.test_client().get("/logged-out")
    finally:
        sqlite_app.testing = True
    assert response.status_code == 500
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert "ZeroDivision" not in response.text
    assert "Something went wrong on our side" in response.text


def _headers(response: Any) -> dict[str, str | None]:
    return {name: response.headers.get(name) for name in HEADERS}


@pytest.mark.case("C20")
def test_a_redirect_and_each_refusal_carry_them_too(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = world.scene(last="open")
    opened = portal_sessions.open_session(scene.customer.id, clock.now())
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    monkeypatch.setitem(app.view_functions, "sessions.show_logged_out", _database_away)
    here = f"/subscriptions/{scene.subscription.id}"
    answers = [
        (303, client.get(f"/p/session/{opened.token}")),
        (200, client.get(here)),
        (303, client.send("/language", {"language": "en", "next": "/"})),
        (400, client.get("/", headers={"Host": "evil.example"})),
        (400, client.send("/language", {"language": "zz"})),
        (403, client.post("/log-out")),
        (409, client.send(f"{here}/plan-change")),
        (413, client.send(EDIT, {"name": "x" * 600_000})),
        (422, client.send(EDIT, {"email": "nonsense"})),
        (503, client.get("/logged-out")),
    ]
    for status, response in answers:
        assert response.status_code == status, response.request.path
        assert _headers(response) == HEADERS, status
        assert response.headers["Cache-Control"] == "no-store"


def _database_away() -> None:
    raise OperationalError("SELECT", None, Exception("away"))


@pytest.mark.case("C20")
@pytest.mark.case("C6")
def test_what_browsers_may_keep_carries_them_with_a_stricter_policy(lite_app: Flask) -> None:
    logo = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><script>alert(1)</script><path d="M0 0h40v40z"/></svg>'
    client = enter(lite_app, world.scene(logo=logo).customer)
    addresses = set(re.findall(r'(?:href|src)="(/(?:static|theme|brand)/[^"]+)"', client.get("/").text))
    assert {address.split("/")[1] for address in addresses} == {"static", "theme", "brand"}
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200
        is_logo = address.startswith("/brand/")
        stricter = logos.HEADERS if is_logo else {"Content-Security-Policy": "default-src 'none'"}
        assert {name: response.headers.get(name) for name in {**HEADERS, **stricter}} == {**HEADERS, **stricter}
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        if is_logo:
            assert response.headers["Content-Security-Policy"].endswith("; sandbox")
            assert response.content_type == "image/svg+xml"
            assert "script" not in response.text


def test_over_https_the_cookie_is_bound_to_the_host_and_the_browser_to_https(tmp_path: Any) -> None:
    app = make_app(
        f"sqlite:///{tmp_path / 'p.db'}", tmp_path, base_url="https://billing.acme.example", trusted_proxies=1
    )
    with app.app_context():
        scene = world.scene()
        opened = portal_sessions.open_session(scene.customer.id, clock.now())
        proxied = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "billing.acme.example",
            "X-Forwarded-For": "192.0.2.1",
        }
        response = app.test_client().get(f"/p/session/{opened.token}", headers=proxied)
        db.session.remove()
    assert response.headers["Set-Cookie"].startswith("__Host-portal=")
    assert "Secure" in response.headers["Set-Cookie"]
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


# --- forged requests --------------------------------------------------------------------------------------------------------

POSTS = [name for name, route in ROUTES.items() if route.method == "POST"]


@pytest.mark.case("C1")
@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize("endpoint", [*POSTS, "sessions.choose_language"])
def test_without_the_pages_token_nothing_happens(lite_app: Flask, endpoint: str, htmx: bool) -> None:
    client = enter(lite_app, world.scene(last="open").customer)
    client.get("/")
    address = "/language" if endpoint not in ROUTES else ROUTES[endpoint].address.format_map(_Any())
    headers = {"HX-Request": "true"} if htmx else {}
    other = enter(lite_app, world.scene("Other").customer)
    other.get("/")
    before = _everything()
    for token in ("", "nonsense", other.token):
        assert client.post(address, data={"csrf_token": token}, headers=headers).status_code == 403
    assert client.post(address, data={}, headers=headers).status_code == 403
    assert _everything() == before
    assert client.get("/").status_code == 200


class _Any(dict[str, str]):
    def __missing__(self, _name: str) -> str:
        return "any"


@pytest.mark.case("C1")
@pytest.mark.case("B1")
@pytest.mark.parametrize("htmx", [False, True])
def test_a_stranger_with_a_good_token_of_its_own_can_do_nothing(lite_app: Flask, htmx: bool) -> None:
    """The token only says that the request comes from a page of ours; who may do what is another question."""
    world.scene(last="open")
    stranger: PortalClient = lite_app.test_client()  # type: ignore[assignment]
    with stranger.session_transaction() as session:
        session["csrf_token"] = "a stranger's own"
    signed = URLSafeTimedSerializer(SECRET, salt="wtf-csrf-token").dumps("a stranger's own")
    before = _everything()
    knocked = 0
    for rule in lite_app.url_map.iter_rules():
        if (
            rule.endpoint in PUBLIC
            or rule.endpoint.startswith(("api.", *STAFF))
            or not {"POST", "PUT", "PATCH", "DELETE"} & (rule.methods or set())
        ):
            continue
        with lite_app.test_request_context():
            address = url_for(rule.endpoint, **dict.fromkeys(rule.arguments, "any"))
        headers = {"HX-Request": "true"} if htmx else {}
        response = stranger.post(address, data={"csrf_token": signed}, headers=headers)
        assert response.status_code == (401 if htmx else 403), address
        assert htmx or "Your session has ended" in response.text
        knocked += 1
    assert knocked == len(POSTS)
    assert _everything() == before


@pytest.mark.case("C1")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_a_request_from_elsewhere_is_refused_even_with_the_token(lite_app: Flask, headers: dict[str, str]) -> None:
    client = enter(lite_app, world.scene().customer)
    client.get("/")
    assert client.send("/log-out", headers=headers).status_code == 403
    assert client.get("/").status_code == 200
    assert (
        client.send("/log-out", headers={"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}).status_code
        == 303
    )


def _everything() -> dict[str, list[Any]]:
    """All rows of all tables, but for when somebody was last seen, counts of requests, and documents that were printed."""
    with reading() as connection:
        return {
            table.name: sorted(map(str, connection.execute(select(table))))
            for table in Base.metadata.sorted_tables
            if table.name not in ("portal_visits", "printed_documents", "rate_limit_counts")
        }


@pytest.mark.case("C2")
@pytest.mark.case("A3")
def test_get_requests_change_nothing(app: Flask) -> None:
    scene = world.scene(last="open")
    opened = portal_sessions.open_session(scene.customer.id, clock.now())
    before = _everything()
    client = app.test_client()
    assert client.head(f"/p/session/{opened.token}").status_code == 303
    client.get(f"/p/session/{opened.token}")
    todo, seen = ["/"], set()
    while todo:
        address = todo.pop()
        if address in seen:
            continue
        seen.add(address)
        for method in ("get", "head", "options"):
            response = getattr(client, method)(address)
        response = client.get(address)
        if response.mimetype == "text/html" and response.status_code == 200:
            links = {
                e.get(n, "")
                for e in parse(response.text).iter()
                if isinstance(e.tag, str)
                for n in ("href", "hx-get", "src")
            }
            todo += [link for link in links if link.startswith("/")]
    assert len(seen) > 20
    assert _everything() == before


# --- addresses --------------------------------------------------------------------------------------------------------------


@pytest.mark.case("C9")
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:80@evil.example", ""])
def test_another_host_is_refused(sqlite_app: Flask, host: str) -> None:
    response = sqlite_app.test_client().get("/logged-out", headers={"Host": host})
    assert response.status_code == 400
    assert "evil" not in response.text


@pytest.mark.case("C9")
def test_forwarded_hosts_count_only_behind_a_proxy_that_is_trusted(lite_app: Flask) -> None:
    client = enter(lite_app, world.scene().customer)
    client.get("/payment-methods")
    response = client.send("/payment-methods", headers={"X-Forwarded-Host": "evil.example"})
    assert "evil" not in response.location


@pytest.mark.case("C19")
@pytest.mark.parametrize(
    "address",
    ["/x.css", "/invoices/x.css", "/billing-information/x.js", "//evil.css", "/invoices.css", "/%2e%2e/x.css"],
)
def test_a_page_has_no_other_names_under_which_a_cache_would_keep_it(visit: Visit, address: str) -> None:
    response = visit(world.scene().customer).get(address)
    assert response.status_code in (400, 404)
    assert "Hedda" not in response.text


@pytest.mark.case("B9")
def test_what_a_cache_may_keep_is_named_by_its_content(visit: Visit) -> None:
    client = visit(world.scene(branding={"button": "#ff2e88"}).customer)
    html = client.get("/").text
    for address in re.findall(r'(?:href|src)="(/(?:static|theme)/[^"]+)"', html):
        response = client.get(address)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert re.search(r"[0-9a-f]{12}", address)
        assert "Set-Cookie" not in response.headers
    assert client.get("/theme/12131f-ff2e88-system-rounded-000000000000.css").status_code == 404
    assert client.get("/theme/red;}-x-y-z-w.css").status_code == 404
    assert client.get("/static/site-000000000000.css").status_code == 404


@pytest.mark.case("C16")
@pytest.mark.parametrize("value", ["en\r\nSet-Cookie: evil=1", "/\r\nX-Evil: 1", "\u2028", "é", "%0d%0aX-Evil: 1"])
def test_no_value_becomes_a_header(visit: Visit, value: str) -> None:
    client = visit(world.scene().customer)
    client.get("/")
    response = client.send("/language", {"language": "fr", "next": value})
    assert response.status_code == 303
    assert "X-Evil" not in response.headers
    assert "evil" not in str(response.headers)


@pytest.mark.case("C8")
@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://evil.example", "//evil.example"])
def test_a_return_address_that_got_into_the_database_is_still_not_linked(app: Flask, address: str) -> None:
    scene = world.scene(return_hosts=["acme.example"])
    client = enter(app, scene.customer, return_url="https://acme.example/account")
    assert 'href="https://acme.example/account"' in client.get("/").text
    with world.transaction() as session:
        mine = PortalSession.account_id == scene.account_id
        session.execute(PortalSession.__table__.update().where(mine).values(return_url=address))
    for page in ("/", "/session-over"):
        assert address not in client.get(page).text


@pytest.mark.case("C8")
def test_a_connected_accounts_customer_goes_back_to_where_the_platform_sends_it(app: Flask) -> None:
    with world.merchant("Platform", return_hosts=["platform.example"]) as platform:
        shop = {"id": "acct_shop", "platform_id": platform.account.id, "return_hosts": ["shop.example"]}
        platform.session.add(Account(**shop, created=platform.at, business_name="Shop", branding={}))
        customer = platform.customer("Hedda", "hedda@platform.example", "both")
    address = "https://platform.example/account"
    assert address in enter(app, customer, on_behalf_of="acct_shop", return_url=address).get("/").text


@pytest.mark.case("C18")
@pytest.mark.parametrize("name", ["locale", "after", "next"])
def test_long_input_costs_no_time(visit: Visit, name: str) -> None:
    import time

    client = visit(world.scene().customer)
    client.get("/")
    began = time.thread_time()
    client.get("/invoices", query_string={name: "a" * 60_000})
    i18n.match("x-" * 30_000)
    assert time.thread_time() - began < 0.5


def test_too_much_at_once_is_413(visit: Visit) -> None:
    client = visit(world.scene().customer)
    client.get("/")
    assert client.send("/billing-information/edit", {"name": "x" * 600_000}).status_code == 413


@pytest.mark.case("C21")
def test_no_secret_is_shown(sqlite_app: Flask) -> None:
    settings: Settings = sqlite_app.config["SETTINGS"]
    assert settings.secret_key == SECRET
    for address in ("/nothing", "/logged-out", "/p/session/x"):
        assert SECRET not in sqlite_app.test_client().get(address).text


@pytest.mark.case("B4")
def test_a_query_that_forgets_whose_rows_it_means_is_refused(app: Flask) -> None:
    mine = select(Invoice.id).where(Invoice.customer_id == "cus_x")
    everything = select(Invoice.id), select(Invoice.id).where(Invoice.id == "in_x"), sql("SELECT id FROM invoices")
    with world.transaction() as session, transactions.reading() as reader:
        for forgetful in (*everything, Invoice.__table__.delete()):
            for asked in (session, reader):
                with pytest.raises(scoping.Unscoped, match="invoices"):
                    asked.execute(forgetful)
        with pytest.raises(scoping.Unscoped, match="invoices"):
            PageQuery(invoices=everything[0]).fetch()
        for fine in (mine, *(query.execution_options(unscoped="a test") for query in everything)):
            assert session.execute(fine).all() == reader.execute(fine).all() == []


@pytest.mark.case("C21")
def test_a_failed_statement_is_told_without_its_values(app: Flask) -> None:
    secret = "zzz-secret-zzz"
    with reading() as connection, pytest.raises(DBAPIError) as error:
        connection.execute(sql("SELECT * FROM nowhere WHERE name = :name"), {"name": secret})
    assert secret not in str(error.value)
