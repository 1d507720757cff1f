"""`/v1/webhook_endpoints`: what programs make of them, and what is refused."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from portal_site.billing.webhooks import endpoints
from tests.api.calls import Program, error
from tests.api.payments.merchants import get, new_program, post
from tests.api.payments.shapes import check
from tests.world import reading

PATH = "/v1/webhook_endpoints"
NEW = {"url": "https://shop.example/hook", "enabled_events[]": "invoice.paid"}


def _create(program: Program, **data: Any) -> Any:
    made = program.post(PATH, {**NEW, **data})
    assert made.status_code == 200, made.text
    return check(made.json, "webhook_endpoint")


def test_an_endpoint_from_its_creation_to_its_end(app: Flask) -> None:
    program = new_program(app)
    made = _create(program, description="Books", **{"metadata[a]": "1", "api_version": "2026-08-26.dahlia"})
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert (made["status"], made["enabled_events"], made["metadata"]) == ("enabled", ["invoice.paid"], {"a": "1"})
    one = f"{PATH}/{made['id']}"
    assert get(program, one, "webhook_endpoint") == made
    changed = post(
        program, one, "webhook_endpoint", enabled_events__0="*", disabled="true", description="", metadata__b="2"
    )
    assert (changed["enabled_events"], changed["status"], changed["description"]) == (["*"], "disabled", None)
    assert changed["metadata"] == {"a": "1", "b": "2"}
    assert post(program, one, "webhook_endpoint", disabled="false")["status"] == "enabled"
    assert [each["id"] for each in get(program, PATH, "webhook_endpoint")["data"]] == [made["id"]]
    gone = program.call("DELETE", one)
    assert check(gone.json, "deleted_webhook_endpoint")["deleted"] is True
    assert error(program.get(one))[::2] == (404, "resource_missing")
    assert error(program.post(one, {"disabled": "true"}))[0] == 404
    assert get(program, PATH, "webhook_endpoint")["data"] == []
    with reading() as reader:
        everything = str(
            [reader.execute(text(f"SELECT * FROM {name}")).all() for name in ("webhook_endpoints", "events")]
        )
    assert secret not in everything


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "shop.example"}, "url"),
        ({"url": "https://user:pass@shop.example/"}, "url"),
        ({"url": "https://shop.example:22/"}, "url"),
        ({"url": "https://shop.example:99999/"}, "url"),
        ({"url": "http://127.0.0.1:9000/"}, "url"),
        ({"url": "http://localhost/"}, "url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "https://shop.example/a b"}, "url"),
        ({"url": ""}, "url"),
        ({"enabled_events[]": "invoice.payed"}, "enabled_events[0]"),
        ({"enabled_events[]": "api_key.created"}, "enabled_events[0]"),
        ({"enabled_events[1]": "*"}, "enabled_events"),
        ({"api_version": "2020-08-27"}, "api_version"),
        ({"connect": "maybe"}, "connect"),
        ({"color": "red"}, "color"),
    ],
)
@pytest.mark.case("C12")
def test_what_is_refused(lite_app: Flask, data: dict[str, str], param: str) -> None:
    program = new_program(lite_app)
    answer = error(program.post(PATH, {**NEW, **data}))
    assert (answer[0], answer[3]) == (400, param), answer
    assert program.get(PATH).json["data"] == []  # type: ignore[index]


def test_live_mode_needs_https(lite_app: Flask) -> None:
    test = new_program(lite_app)
    live = Program(lite_app, test.key.account_id, livemode=True)
    plain = {**NEW, "url": "http://shop.example/hook"}
    assert error(live.post(PATH, plain))[1:] == (
        "Invalid URL: In live mode, URLs must use HTTPS", "url_invalid", "url",
    )  # fmt: skip
    assert _create(test, url="http://shop.example/hook")["livemode"] is False
    assert live.post(PATH, NEW).json["livemode"] is True  # type: ignore[index]
    assert len(get(live, PATH, "webhook_endpoint")["data"]) == 1


def test_there_are_sixteen_at_most(lite_app: Flask) -> None:
    program = new_program(lite_app)
    for number in range(endpoints.MOST):
        _create(program, url=f"https://shop.example/{number}")
    assert "maximum of 16" in error(program.post(PATH, NEW))[1]


@pytest.mark.case("B1")
def test_another_account_finds_none(app: Flask) -> None:
    name = _create(new_program(app))["id"]
    other = new_program(app, "Other")
    for method, data in (("GET", None), ("POST", {"disabled": "true"}), ("DELETE", None)):
        assert error(other.call(method, f"{PATH}/{name}", data))[::2] == (404, "resource_missing")
    assert error(other.get(PATH, {"starting_after": name}))[0] == 400
