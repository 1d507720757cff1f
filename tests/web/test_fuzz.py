"""Fuzzing: every route answers any input with an expected status, and never with a server error."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests import world
from tests.client import PortalClient
from tests.conftest import enter
from tests.test_access import ROUTES, own_things

EXPECTED = {200, 204, 303, 308, 400, 401, 403, 404, 405, 409, 413, 422}
TRICKS = [
    "' OR 1=1--",
    "1; DROP TABLE customers",
    '" UNION SELECT 1',
    "%00",
    "../../etc/passwd",
    "\x00",
    "{{7*7}}",
    "é" * 300,
    "9" * 400,
]
VALUES = st.one_of(st.text(max_size=40), st.sampled_from(TRICKS))
FIELDS = [
    "email", "name", "phone", "type", "value", "amount", "payment_method", "language", "next", "kind", "number", "expiry", "cvc",
    "iban", "answer", "address_country", "address_state", "shipping_country", "csrf_token", "after", "", "reason", "comment",
    "quote", "attempt", "promotion_code", "until", "quantity", "price",
]  # fmt: skip
NAMES = st.sampled_from(FIELDS)


@pytest.fixture(scope="module")
def client(sqlite_app: Flask) -> PortalClient:
    """A customer who may do everything."""
    sqlite_app.config["PROPAGATE_EXCEPTIONS"] = True
    with sqlite_app.app_context():
        made = enter(sqlite_app, world.scene("Fuzzed", last="open").customer)
    made.get("/")
    return made


def _path(rule: str, word: str) -> str:
    """An address of a route with this word for each of its arguments, whatever that has to be."""
    return re.sub(r"<[^>]+>", lambda _argument: quote(word, safe=""), rule)


def _send(client: PortalClient, method: str, path: str, data: dict[str, str]) -> TestResponse:
    if method == "GET":
        return client.get(path, query_string=data)
    return client.send(path, data)


@pytest.mark.case("C13")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.sampled_from(["GET", "POST"]), VALUES, st.dictionaries(NAMES, VALUES, max_size=6))
@example(0, "GET", "\x00", {"after": "\x00"})
def test_no_request_is_answered_with_a_server_error(
    sqlite_app: Flask, client: PortalClient, route: int, method: str, word: str, data: dict[str, str]
) -> None:
    rules = sorted(sqlite_app.url_map.iter_rules(), key=str)
    rule: Any = rules[route % len(rules)]
    if rule.endpoint == "portal.log_out":
        return
    sent = {name: value.encode("utf-8", "ignore").decode() for name, value in data.items() if name != "csrf_token"}
    assert (
        _send(client, method, _path(rule.rule, word.encode("utf-8", "ignore").decode() or "x"), sent).status_code
        in EXPECTED
    )


@pytest.mark.case("B7")
@pytest.mark.parametrize("key", ["Bearer sk_test_abc", "Basic c2tfdGVzdF9hYmM6", "Bearer ek_live_abc"])
def test_an_api_key_opens_no_page_and_a_cookie_no_api(sqlite_app: Flask, client: PortalClient, key: str) -> None:
    stranger = sqlite_app.test_client()
    for path in ("/", "/invoices", "/billing-information/edit"):
        assert stranger.get(path, headers={"Authorization": key}).status_code == 403
    for path in ("/v1/customers", "/v1/billing_portal/sessions", "/v1/invoices"):
        assert client.get(path).status_code == stranger.get(path, headers={"Authorization": key}).status_code == 401


@pytest.mark.case("C13")
@pytest.mark.parametrize("word", TRICKS[:5])
def test_an_id_that_would_be_a_query_is_only_an_id_that_nothing_has(
    sqlite_app: Flask, client: PortalClient, word: str
) -> None:
    for rule in sqlite_app.url_map.iter_rules():
        if rule.arguments:
            path = _path(rule.rule, word)
            for method in ("GET", "POST"):
                answer = _send(client, method, path, {"amount": "2400", "payment_method": word})
                is_to_sign_in = answer.status_code == 303 and answer.location.startswith("/dashboard/sign-in")
                assert is_to_sign_in or answer.status_code in (401, 403, 404, 405)


def _multipart(names: list[str]) -> bytes:
    """A body in which every field is a file, and the first one text as well."""
    part = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\ntext\r\n'
    parts = [part.format(names[0], ""), *(part.format(name, '; filename="a.txt"') for name in names)]
    return "".join([*parts, "--x--\r\n"]).encode()


MULTIPART = "multipart/form-data; boundary=x"
BODIES: dict[str, tuple[str, bytes]] = {
    "files": (MULTIPART, _multipart(FIELDS)),
    "files alone": (MULTIPART, _multipart(["", *FIELDS])),
    "a part without a name": (MULTIPART, b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\n1\r\n--x--\r\n'),
    "multipart without parts": (MULTIPART, b"nonsense"),
    "multipart without a boundary": ("multipart/form-data", b"nonsense"),
    "json": ("application/json", json.dumps({name: [1, None, {"a": "b"}] for name in FIELDS}).encode()),
    "a json list": ("application/json", b'[1, "two"]'),
    "broken json": ("application/json", b"{"),
    "bytes": ("application/x-www-form-urlencoded; charset=nonsense", b"email=\xff\xfe&\x00=%ff%fe&name=%ed%a0%80"),
}


@pytest.mark.case("C17")
@pytest.mark.parametrize("body", BODIES)
def test_a_body_of_another_kind_is_no_fault_of_ours(lite_app: Flask, body: str) -> None:
    scene = world.scene("Posted", last="open")
    own = own_things(lite_app, scene)
    client = enter(lite_app, scene.customer)
    client.get("/")
    kind, sent = BODIES[body]
    for endpoint, route in ROUTES.items():
        if route.method == "POST" and endpoint != "portal.log_out":
            headers = {"X-CSRFToken": client.token}
            answer = client.post(route.address.format(**own), data=sent, content_type=kind, headers=headers)
            assert answer.status_code in EXPECTED, endpoint
