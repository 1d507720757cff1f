"""Nobody finds what another account's program made, whichever route is asked, and no live key makes payments."""

from typing import Any

import pytest
from flask import Flask

from tests import world
from tests.api.calls import Program, error
from tests.api.payments.merchants import attached, get, new_customer, new_program, post

SHOP = "https://shop.example"
SESSION = {"mode": "setup", "currency": "eur", "success_url": SHOP}
OF_ID = [
    ("POST", "/v1/customers/{customer}", {"name": "x"}),
    ("DELETE", "/v1/customers/{customer}", None),
    ("GET", "/v1/customers/{customer}/payment_methods", None),
    ("GET", "/v1/customers/{customer}/payment_methods/{method}", None),
    ("GET", "/v1/payment_methods/{method}", None),
    ("POST", "/v1/payment_methods/{method}", {"metadata[a]": "1"}),
    ("POST", "/v1/payment_methods/{method}/attach", {"customer": "{own}"}),
    ("POST", "/v1/payment_methods/{method}/detach", None),
    ("GET", "/v1/payment_methods/{loose}", None),
    ("POST", "/v1/payment_methods/{loose}/attach", {"customer": "{own}"}),
    ("GET", "/v1/setup_intents/{setup}", None),
    ("POST", "/v1/setup_intents/{setup}/confirm", {"payment_method": "pm_card_visa"}),
    ("POST", "/v1/setup_intents/{setup}/cancel", None),
    ("GET", "/v1/mandates/{mandate}", None),
    ("GET", "/v1/checkout/sessions/{session}", None),
    ("POST", "/v1/checkout/sessions/{session}/expire", None),
    ("GET", "/v1/payment_intents/{intent}", None),
    ("POST", "/v1/payment_intents/{intent}", {"description": "x"}),
    ("POST", "/v1/payment_intents/{intent}/confirm", {"payment_method": "pm_card_visa"}),
    ("POST", "/v1/payment_intents/{intent}/cancel", None),
    ("POST", "/v1/payment_intents/{intent}/capture", None),
    ("GET", "/v1/charges/{charge}", None),
    ("GET", "/v1/refunds/{refund}", None),
    ("POST", "/v1/refunds/{refund}", {"metadata[a]": "1"}),
]
OF_PARAMETER = [
    ("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": "{customer}"}, "customer"),
    ("POST", "/v1/setup_intents", {"customer": "{customer}"}, "customer"),
    ("POST", "/v1/setup_intents", {"customer": "{own}", "payment_method": "{method}"}, "payment_method"),
    (
        "POST",
        "/v1/checkout/sessions",
        {**SESSION, "customer": "{customer}"},
        "customer",
    ),
    ("POST", "/v1/payment_intents", {"amount": "700", "currency": "eur", "customer": "{customer}"}, "customer"),
    (
        "POST",
        "/v1/payment_intents",
        {"amount": "700", "currency": "eur", "payment_method": "{method}"},
        "payment_method",
    ),
    (
        "POST",
        "/v1/payment_intents",
        {"amount": "700", "currency": "eur", "payment_method": "{loose}"},
        "payment_method",
    ),
    ("POST", "/v1/refunds", {"charge": "{charge}"}, "charge"),
    ("POST", "/v1/refunds", {"payment_intent": "{intent}"}, "payment_intent"),
    ("POST", "/v1/customers", {"payment_method": "{method}"}, "payment_method"),
    ("GET", "/v1/payment_intents", {"customer": "{customer}"}, "customer"),
    ("GET", "/v1/charges", {"customer": "{customer}"}, "customer"),
    ("GET", "/v1/payment_methods", {"customer": "{customer}"}, "customer"),
    ("GET", "/v1/setup_intents", {"starting_after": "{setup}"}, "starting_after"),
    ("GET", "/v1/checkout/sessions", {"ending_before": "{session}"}, "ending_before"),
    ("GET", "/v1/refunds", {"starting_after": "{refund}"}, "starting_after"),
]
LISTS = ["customers", "payment_intents", "charges", "refunds", "setup_intents", "checkout/sessions"]


def _everything(program: Program) -> dict[str, str]:
    """One of each, by the names that the tables above have for them."""
    customer = new_customer(program)
    method = attached(program, customer)
    loose = post(program, "/v1/payment_methods", "payment_method", type="card", card__token="tok_visa")["id"]
    setup = post(program, "/v1/setup_intents", "setup_intent", customer=customer)["id"]
    session = post(
        program,
        "/v1/checkout/sessions",
        "checkout.session",
        mode="setup",
        customer=customer,
        currency="eur",
        success_url=SHOP,
    )
    pay = {"amount": "700", "currency": "eur"}
    paid = post(program, "/v1/payment_intents", "payment_intent", **pay, payment_method="pm_card_visa", confirm="true")
    refund = post(program, "/v1/refunds", "refund", payment_intent=paid["id"], amount="1")["id"]
    return {
        "customer": customer, "method": method, "loose": loose, "setup": setup, "session": session["id"],
        "mandate": setup.replace("seti_", "mandate_"), "intent": paid["id"], "charge": paid["latest_charge"], "refund": refund,
    }  # fmt: skip


def _filled(data: dict[str, str] | None, names: dict[str, str]) -> dict[str, str] | None:
    return {
        name: value.format_map(names) if value.startswith("{") else value for name, value in (data or {}).items()
    } or None


@pytest.mark.case("B1")
@pytest.mark.both_databases
def test_what_another_account_made_is_not_there(app: Flask) -> None:
    theirs, other = _everything(new_program(app, "Theirs")), new_program(app, "Other")
    names = {**theirs, "own": new_customer(other)}
    for method, path, data in OF_ID:
        answer = other.call(method, path.format_map(names), _filled(data, names))
        assert error(answer)[::2] == (404, "resource_missing"), (method, path, answer.text)
    for method, path, data, param in OF_PARAMETER:
        answer = other.call(method, path, _filled(data, names))
        assert error(answer)[::2] == (400, "resource_missing"), (method, path, data, answer.text)
        assert error(answer)[3] == param
    for path in LISTS:
        assert [one["id"] for one in other.get(f"/v1/{path}").json["data"]] == (
            [names["own"]] if path == "customers" else []
        )  # type: ignore[index]
    assert get(other, "/v1/balance", "balance")["available"][0]["amount"] == 0


@pytest.mark.case("B1")
def test_a_live_key_makes_no_payments(lite_app: Flask) -> None:
    with world.merchant() as made:
        account_id = made.account.id
    names = {**_everything(Program(lite_app, account_id)), "own": "cus_x"}
    live = Program(lite_app, account_id, livemode=True)
    paths: list[tuple[str, str, Any]] = [*OF_ID, *((one[0], one[1], one[2]) for one in OF_PARAMETER)]
    for method, path, data in [*paths, ("GET", "/v1/balance", None), ("GET", "/v1/account", None)]:
        status, words, code, _param = error(live.call(method, path.format_map(names), _filled(data, names)))
        assert (status, code, "test mode only" in words) == (400, "livemode_mismatch", True), path


def test_the_account_says_that_it_can_charge(lite_app: Flask) -> None:
    program = new_program(lite_app)
    account = get(program, "/v1/account", "account")
    assert (account["id"], account["charges_enabled"]) == (program.key.account_id, True)
    balance = get(program, "/v1/balance", "balance")
    assert balance["available"] == [{"amount": 0, "currency": account["default_currency"], "source_types": {"card": 0}}]


def test_a_restricted_key_sees_no_more_by_expanding(lite_app: Flask) -> None:
    program = new_program(lite_app)
    names = _everything(program)
    narrow = Program(lite_app, program.key.account_id, payment_intents="read")
    assert narrow.get(f"/v1/payment_intents/{names['intent']}").status_code == 200
    for member in ("latest_charge", "customer", "payment_method"):
        refused = narrow.get(f"/v1/payment_intents/{names['intent']}", {"expand[]": member})
        assert refused.status_code == 403
    assert narrow.post("/v1/refunds", {"charge": names["charge"]}).status_code == 403
