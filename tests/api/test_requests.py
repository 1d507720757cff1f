"""What every request of the API has in common: parameters, errors, headers, lists."""

from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from portal_site.db import db
from tests import world
from tests.api.calls import SESSIONS, Program, error


@pytest.fixture
def program(lite_app: Flask) -> Program:
    """A program of a merchant with one customer."""
    return Program(lite_app, world.scene().account_id)


@pytest.mark.parametrize(
    ("data", "status", "words", "code", "param"),
    [
        ({}, 400, "Missing required param: customer.", "parameter_missing", "customer"),
        ({"customer": ""}, 400, "empty string", "parameter_invalid_empty", "customer"),
        ({"customer": "c", "foo": "1"}, 400, "Received unknown parameter: foo", "parameter_unknown", "foo"),
        ({"foo": "1", "bar[x][y]": "2"}, 400, "Received unknown parameters: foo, bar", "parameter_unknown", "foo"),
        ({"customer[id]": "c"}, 400, "Invalid string (customer)", None, "customer"),
        ({"customer": "c", "locale": "xx"}, 400, "Invalid locale: must be one of auto, bg,", None, "locale"),
        ({"customer": "c\0"}, 400, "Invalid string", None, "customer"),
        ({"customer": "c" * 5001}, 400, "too long", "parameter_invalid_string", "customer"),
        ({"expand[]": "foo"}, 400, "This property cannot be expanded (foo).", None, None),
        ({"expand": "x"}, 400, "Invalid array (expand)", None, "expand"),
        ({"customer": "cus_none"}, 400, "No such customer: 'cus_none'", "resource_missing", "customer"),
        ({"customer": "hedda@acme.example"}, 400, "No such customer", "resource_missing", "customer"),
    ],
)
def test_a_wrong_parameter_is_named(
    program: Program, data: dict[str, str], status: int, words: str, code: str | None, param: str | None
) -> None:
    found = error(program.post(SESSIONS, data))
    assert (found[0], found[2], found[3]) == (status, code, param)
    assert words in found[1]


@pytest.mark.case("C13")
@pytest.mark.parametrize(
    "body",
    [
        "a" * 600_000,
        "[" * 5000 + "=1",
        "&".join(f"a{n}=1" for n in range(2000)),
        "customer=%ff",
        "customer[[]]]]=1",
        "=" * 300,
    ],
)
def test_a_body_that_cannot_be_read_is_refused(program: Program, body: str) -> None:
    response = program.post(SESSIONS, body)
    assert response.status_code in (400, 413)
    assert response.json["error"]["type"] == "invalid_request_error"  # type: ignore[index]


@pytest.mark.case("C13")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.sampled_from(["GET", "POST"]), st.sampled_from(["/v1/customers", SESSIONS, "/v1/"]))
def test_no_text_is_answered_with_a_server_error(program: Program, words: str, method: str, path: str) -> None:
    response = program.call(method, path, words.encode("utf-8", "ignore").decode())
    assert response.status_code in (200, 400, 404)
    assert response.content_type == "application/json"


def test_json_is_not_taken_for_a_form(program: Program) -> None:
    client = program.app.test_client()
    response = client.post(SESSIONS, json={"customer": "x"}, headers={"Authorization": f"Bearer {program.token}"})
    assert error(response)[0] == 400
    assert "application/x-www-form-urlencoded" in error(response)[1]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("DELETE", "/v1/customers"), ("POST", "/v2/core/events")]
)
def test_an_unknown_route_is_an_error_that_sdks_can_read(program: Program, method: str, path: str) -> None:
    status, words, _code, _param = error(program.call(method, path))
    assert (status, f"({method}: {path})" in words) == (404, True)


@pytest.mark.case("E11")
def test_the_headers_that_sdks_read(program: Program) -> None:
    first, second = program.get("/v1/customers"), program.get("/v1/nothing", Stripe_Version="2024-06-20")
    assert first.headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert second.headers["Stripe-Version"] == "2024-06-20"
    assert first.headers["Request-Id"].startswith("req_")
    assert first.headers["Request-Id"] != second.headers["Request-Id"]
    assert first.headers["Cache-Control"] == "no-cache, no-store"
    assert error(program.get("/v1/customers", Stripe_Version="yesterday"))[0] == 400


def test_a_request_from_a_web_page_of_another_site_is_refused(program: Program) -> None:
    status, words, _code, _param = error(program.post(SESSIONS, {"customer": "c"}, Origin="https://elsewhere.example"))
    assert (status, "from a server" in words) == (403, True)


@pytest.mark.parametrize(("kind", "status", "retry"), [(OperationalError, 503, "true"), (IntegrityError, 500, None)])
def test_only_a_database_that_is_unavailable_is_worth_another_try(
    program: Program, monkeypatch: pytest.MonkeyPatch, kind: Any, status: int, retry: str | None
) -> None:
    def fail(*_args: Any) -> None:
        raise kind("SELECT secret", {}, Exception("something"))

    monkeypatch.setattr("portal_site.api.lists.one", fail)
    answer = program.get("/v1/customers/cus_x")
    assert (answer.status_code, answer.headers.get("Stripe-Should-Retry")) == (status, retry)
    assert "secret" not in answer.text


def _customers(count: int) -> tuple[str, list[str]]:
    with world.merchant() as made:
        ids = [made.customer(f"Customer {n}", f"c{n % 3}@acme.example", "one of many").id for n in range(count)]
    return made.account.id, ids


@pytest.mark.case("E10")
@pytest.mark.both_databases
def test_a_list_comes_page_by_page_in_both_directions(app: Flask) -> None:
    account, ids = _customers(25)
    program = Program(app, account)
    forwards: list[str] = []
    page: Any = {"has_more": True}
    while page["has_more"]:
        cursor = {"starting_after": forwards[-1]} if forwards else {}
        page = program.get("/v1/customers", {"limit": "7", **cursor}).json
        forwards += [customer["id"] for customer in page["data"]]
    assert sorted(forwards) == sorted(ids)
    before = program.get("/v1/customers", {"limit": "7", "ending_before": forwards[10]}).json
    assert [customer["id"] for customer in before["data"]] == forwards[3:10]  # type: ignore[index]
    assert before["has_more"]  # type: ignore[index]
    assert len(program.get("/v1/customers", {"limit": "0"}).json["data"]) == 1  # type: ignore[index]
    assert len(program.get("/v1/customers", {"limit": "1000"}).json["data"]) == 25  # type: ignore[index]
    by_address = program.get("/v1/customers", {"email": "c1@acme.example", "limit": "100"}).json
    assert {customer["email"] for customer in by_address["data"]} == {"c1@acme.example"}  # type: ignore[index]


@pytest.mark.case("E10")
def test_a_cursor_that_is_none_is_named(lite_app: Flask) -> None:
    account, ids = _customers(2)
    program = Program(lite_app, account)
    refused = error(program.get("/v1/customers", {"starting_after": "cus_none"}))
    assert refused == (400, "No such customer: 'cus_none'", "resource_missing", "starting_after")
    both = error(program.get("/v1/customers", {"starting_after": ids[0], "ending_before": ids[1]}))
    assert both[1].startswith("Received both starting_after and ending_before")
    wrong = error(program.get("/v1/customers", {"limit": "many"}))
    assert wrong == (400, "Invalid integer: many", "parameter_invalid_integer", "limit")
    hint = error(program.get("/v1/customers", {"expand[0]": "address"}))
    assert "try expanding 'data.address' instead" in hint[1]


@pytest.mark.both_databases
def test_a_page_of_many_customers_is_found_by_the_index(app: Flask) -> None:
    _customers(3)
    query = (
        "EXPLAIN {} SELECT id FROM customers WHERE account_id = 'a' AND livemode = false AND deleted_at IS NULL "
        "AND (created, id) < (5, 'x') ORDER BY created DESC, id DESC LIMIT 11"
    )
    with db.engine.connect() as connection:
        is_postgres = connection.dialect.name == "postgresql"
        if is_postgres:
            connection.execute(text("SET enable_seqscan = off"))
            connection.execute(text("SET enable_sort = off"))
        plan = str(connection.execute(text(query.format("" if is_postgres else "QUERY PLAN"))).all())
        connection.rollback()
    assert "ix_customers_list" in plan
    assert "TEMP B-TREE" not in plan
