"""Whatever is sent to whichever door, the answer is one of a handful, and never that something went wrong on our side."""

from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests import world
from tests.client import PortalClient
from tests.conftest import enter

EXPECTED = {200, 204, 303, 308, 400, 403, 404, 405, 409, 413, 422}
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
NAMES = st.sampled_from(
    ["email", "name", "phone", "type", "value", "amount", "payment_method", "language", "next", "kind", "number", "expiry", "cvc",
     "iban", "answer", "address_country", "address_state", "shipping_country", "csrf_token", "after", ""]
)  # fmt: skip


@pytest.fixture(scope="module")
def client(sqlite_app: Flask) -> PortalClient:
    """A customer who may do everything."""
    sqlite_app.config["PROPAGATE_EXCEPTIONS"] = True
    with sqlite_app.app_context():
        made = enter(sqlite_app, world.scene("Fuzzed", last="open").customer)
    made.get("/")
    return made


def _send(client: PortalClient, method: str, path: str, data: dict[str, str]) -> TestResponse:
    if method == "GET":
        return client.get(path, query_string=data)
    return client.send(path, data)


@pytest.mark.case("C13")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.sampled_from(["GET", "POST"]), VALUES, st.dictionaries(NAMES, VALUES, max_size=6))
@example(0, "GET", "\x00", {"after": "\x00"})
def test_no_answer_is_a_fault_of_ours(
    sqlite_app: Flask, client: PortalClient, door: int, method: str, word: str, data: dict[str, str]
) -> None:
    rules = sorted(sqlite_app.url_map.iter_rules(), key=str)
    rule: Any = rules[door % len(rules)]
    if rule.endpoint == "portal.log_out":
        return
    sent = {name: value.encode("utf-8", "ignore").decode() for name, value in data.items() if name != "csrf_token"}
    with sqlite_app.test_request_context():
        values = {name: word.encode("utf-8", "ignore").decode() or "x" for name in rule.arguments}
        path = sqlite_app.jinja_env.globals["url_for"](rule.endpoint, **values)  # type: ignore[operator]
    assert _send(client, method, path, sent).status_code in EXPECTED


@pytest.mark.case("B7")
@pytest.mark.parametrize("key", ["Bearer sk_test_abc", "Basic c2tfdGVzdF9hYmM6", "Bearer ek_live_abc"])
def test_an_api_key_opens_no_page_and_a_cookie_no_api(sqlite_app: Flask, client: PortalClient, key: str) -> None:
    stranger = sqlite_app.test_client()
    for path in ("/", "/invoices", "/billing-information/edit"):
        assert stranger.get(path, headers={"Authorization": key}).status_code == 403
    for path in ("/v1/customers", "/v1/billing_portal/sessions", "/v1/invoices"):
        assert client.get(path).status_code == 404


@pytest.mark.case("C13")
@pytest.mark.parametrize("word", TRICKS[:5])
def test_an_id_that_would_be_a_query_is_only_an_id_that_nothing_has(
    sqlite_app: Flask, client: PortalClient, word: str
) -> None:
    for rule in sqlite_app.url_map.iter_rules():
        if rule.arguments:
            with sqlite_app.test_request_context():
                path = sqlite_app.jinja_env.globals["url_for"](rule.endpoint, **dict.fromkeys(rule.arguments, word))  # type: ignore[operator]
            for method in ("GET", "POST"):
                assert _send(client, method, path, {"amount": "2400", "payment_method": word}).status_code in (
                    403,
                    404,
                    405,
                )
