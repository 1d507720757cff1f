"""Payment intents of programs: what a card does, with and without the customer, and what the intent says then."""

from typing import Any

import pytest
import time_machine
from flask import Flask

from portal_site import clock
from portal_site.billing.billing_run import runner, test_clocks
from tests.api.calls import Program, error, path_of
from tests.api.payments.merchants import answer, attached, browser, events, get, kinds, new_customer, new_program, post
from tests.api.payments.shapes import check, check_error

URL = "/v1/payment_intents"
DAY = 24 * 60 * 60
SLOW, SLOW_FAILS = "AT321904300235473204", "AT051904300235473205"
AT = 1_800_000_000


@pytest.fixture
def program(lite_app: Flask) -> Program:
    """A program of a new merchant's."""
    return new_program(lite_app)


def _made(program: Program, **members: Any) -> Any:
    return post(program, URL, "payment_intent", **{"amount": "2000", "currency": "eur", **members})


def _declined(program: Program, path: str, **data: Any) -> Any:
    """The error of a declined payment, with the intent in it."""
    response = program.post(path, data)
    assert response.status_code == 402, response.text
    found = check_error(response.json)
    check(found["payment_intent"], "payment_intent")
    assert found["payment_intent"]["status"] == "requires_payment_method"
    assert found["payment_intent"]["last_payment_error"]["code"] == found["code"]
    return found


@pytest.mark.both_databases
def test_a_payment_is_made_in_two_steps_and_given_back(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program)
    method = attached(program, customer)
    begun = len(events(program))
    made = _made(program, customer=customer, metadata__order="7", description="Order 7")
    assert (made["status"], made["amount_received"], made["latest_charge"]) == ("requires_payment_method", 0, None)
    name = made["id"]
    ready = post(program, f"{URL}/{name}", "payment_intent", payment_method=method)
    assert ready["status"] == "requires_confirmation"
    paid = post(program, f"{URL}/{name}/confirm", "payment_intent", off_session="true", expand__0="latest_charge")
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 2000)
    charge = check(paid["latest_charge"], "charge")
    assert (charge["paid"], charge["payment_intent"], charge["metadata"]) == (True, name, {"order": "7"})
    assert charge["payment_method_details"]["card"]["last4"] == "4242"
    assert get(program, f"{URL}/{name}", "payment_intent")["latest_charge"] == charge["id"]
    for data in ({"payment_intent": name}, {"customer": customer}, {}):
        assert [one["id"] for one in get(program, "/v1/charges", "charge", **data)["data"]] == [charge["id"]]
    part = post(
        program, "/v1/refunds", "refund", payment_intent=name, amount="500", reason="duplicate", metadata__a="1"
    )
    assert (part["status"], part["amount"], part["charge"]) == ("succeeded", 500, charge["id"])
    refused = error(program.post("/v1/refunds", {"charge": charge["id"], "amount": "1501"}))
    assert (refused[0], refused[3], "greater than unrefunded" in refused[1]) == (400, "amount", True)
    rest = post(program, "/v1/refunds", "refund", charge=charge["id"])
    assert rest["amount"] == 1500
    whole = get(program, f"/v1/charges/{charge['id']}", "charge")
    assert (whole["refunded"], whole["amount_refunded"]) == (True, 2000)
    assert error(program.post("/v1/refunds", {"charge": charge["id"]}))[2] == "charge_already_refunded"
    assert [one["id"] for one in get(program, "/v1/refunds", "refund", charge=charge["id"])["data"]] == [
        rest["id"],
        part["id"],
    ]
    assert post(program, f"/v1/refunds/{part['id']}", "refund", metadata__b="2")["metadata"] == {"a": "1", "b": "2"}
    assert get(program, f"/v1/refunds/{part['id']}", "refund")["metadata"] == {"a": "1", "b": "2"}
    assert kinds(program, begun) == [
        "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "refund.created", "charge.refunded",
        "refund.created", "charge.refunded", "refund.updated",
    ]  # fmt: skip
    for kind, found in events(program)[begun:]:
        check(found, kind.partition(".")[0])


def test_a_card_without_a_customer_pays_once(program: Program) -> None:
    card = post(program, "/v1/payment_methods", "payment_method", type="card", card__token="tok_visa")["id"]
    data = {"payment_method": card, "confirm": "true", "payment_method_types__0": "card"}
    paid = _made(program, **data)
    assert (paid["status"], paid["payment_method_types"]) == ("succeeded", ["card"])
    again = program.post(URL, {"amount": "2000", "currency": "eur", "payment_method": card, "confirm": "true"})
    assert (again.status_code, "may not be used again" in again.text) == (400, True)
    assert _made(program, payment_method="pm_card_visa", confirm="true")["status"] == "succeeded"
    inline = _made(
        program, payment_method_data__type="card", payment_method_data__card__token="tok_amex", confirm="true",
        expand__0="payment_method",
    )  # fmt: skip
    assert check(inline["payment_method"], "payment_method")["card"]["brand"] == "amex"


def test_a_card_can_be_saved_by_a_payment(program: Program) -> None:
    customer = new_customer(program)
    paid = _made(
        program, customer=customer, payment_method="pm_card_visa", confirm="true", setup_future_usage="off_session"
    )
    listed = get(program, f"/v1/customers/{customer}/payment_methods", "payment_method")["data"]
    assert [one["id"] for one in listed] == [paid["payment_method"]]


def test_a_decline_leaves_a_failed_charge_and_another_card_pays(program: Program) -> None:
    customer = new_customer(program)
    fails, works = attached(program, customer, "pm_card_chargeCustomerFail"), attached(program, customer)
    begun = len(events(program))
    data = {"amount": "2000", "currency": "eur", "customer": customer, "payment_method": fails, "confirm": "true"}
    found = _declined(program, URL, **data)
    assert (found["code"], found["decline_code"], found["payment_method"]["id"]) == (
        "card_declined",
        "generic_decline",
        fails,
    )
    intent = found["payment_intent"]
    failed = get(program, f"/v1/charges/{found['charge']}", "charge")
    assert (failed["status"], failed["paid"], failed["failure_code"]) == ("failed", False, "card_declined")
    assert intent["latest_charge"] == failed["id"]
    assert kinds(program, begun) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    refused = error(program.post("/v1/refunds", {"payment_intent": intent["id"]}))
    assert "does not have a successful charge" in refused[1]
    paid = post(program, f"{URL}/{intent['id']}/confirm", "payment_intent", payment_method=works)
    assert (paid["status"], paid["last_payment_error"]) == ("succeeded", None)
    assert len(get(program, "/v1/charges", "charge", payment_intent=intent["id"])["data"]) == 2


@pytest.mark.both_databases
def test_authentication_is_asked_for_off_session_and_given_on_session(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program)
    card = attached(program, customer, "pm_card_threeDSecure2Required")
    data = {"amount": "2000", "currency": "eur", "customer": customer, "payment_method": card, "confirm": "true"}
    found = _declined(program, URL, **data, off_session="true")
    assert (found["code"], found["decline_code"]) == ("authentication_required", "authentication_required")
    assert found["message"] == "Your card was declined. This transaction requires authentication."
    path = f"{URL}/{found['payment_intent']['id']}"
    asked = post(
        program, f"{path}/confirm", "payment_intent", payment_method=card, return_url="https://shop.example/done?a=1"
    )
    assert (asked["status"], asked["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    begun, client = len(events(program)), browser(app)
    there = answer(client, asked["next_action"]["redirect_to_url"]["url"], answer="complete")
    assert there.headers["Refresh"].startswith("0; url=https://shop.example/done?a=1&payment_intent=pi_")
    assert there.headers["Refresh"].endswith("&redirect_status=succeeded")
    assert kinds(program, begun) == ["charge.succeeded", "payment_intent.succeeded"]
    assert client.get(there.request.path).status_code == 200
    paid = get(program, path, "payment_intent")
    assert (paid["status"], paid["next_action"], paid["last_payment_error"]) == ("succeeded", None, None)


def test_a_customer_who_fails_the_check_has_paid_nothing(lite_app: Flask, program: Program) -> None:
    asked = _made(program, payment_method="pm_card_authenticationRequired", confirm="true")
    assert asked["next_action"]["type"] == "use_stripe_sdk"
    there = answer(browser(lite_app), asked["next_action"]["use_stripe_sdk"]["stripe_js"], answer="fail")
    assert "You can close this page." in there.text
    failed = get(program, f"{URL}/{asked['id']}", "payment_intent")
    assert (failed["status"], failed["latest_charge"]) == ("requires_payment_method", None)
    assert failed["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert get(program, "/v1/charges", "charge")["data"] == []


def test_an_intent_is_canceled_while_it_waits(program: Program) -> None:
    asked = _made(
        program, payment_method="pm_card_threeDSecureRequired", confirm="true", return_url="https://shop.example/"
    )
    canceled = post(program, f"{URL}/{asked['id']}/cancel", "payment_intent", cancellation_reason="abandoned")
    assert (canceled["status"], canceled["cancellation_reason"], canceled["next_action"]) == (
        "canceled",
        "abandoned",
        None,
    )
    for action in ("cancel", "confirm", "capture"):
        response = program.post(f"{URL}/{asked['id']}/{action}")
        found = check_error(response.json)
        assert (response.status_code, found["code"]) == (400, "payment_intent_unexpected_state")
        assert found["payment_intent"]["status"] == "canceled"
    assert kinds(program)[-1] == "payment_intent.canceled"


@pytest.mark.both_databases
@pytest.mark.parametrize(("iban", "status"), [(SLOW, "succeeded"), (SLOW_FAILS, "requires_payment_method")])
def test_a_slow_debit_is_settled_by_the_worker(app: Flask, iban: str, status: str) -> None:
    program = new_program(app)
    debit = {
        "payment_method_data__type": "sepa_debit", "payment_method_data__sepa_debit__iban": iban,
        "payment_method_data__billing_details__name": "Ada", "payment_method_data__billing_details__email": "a@acme.example",
        "mandate_data__customer_acceptance__type": "offline",
    }  # fmt: skip
    made = _made(program, **debit, confirm="true", expand__0="latest_charge")
    assert made["status"] == "processing"
    assert (made["latest_charge"]["status"], made["latest_charge"]["id"][:3]) == ("pending", "py_")
    assert get(program, "/v1/balance", "balance")["pending"][0]["amount"] == 2000
    assert error(program.post(f"{URL}/{made['id']}/cancel"))[2] == "payment_intent_unexpected_state"
    begun = len(events(program))
    with time_machine.travel(clock.now() + 2 * DAY, tick=False):
        runner.run(app.extensions["gateways"], clock.now(), str)
    assert kinds(program, begun) == []
    with time_machine.travel(clock.now() + 5 * DAY, tick=False):
        runner.run(app.extensions["gateways"], clock.now(), str)
    end = ["charge.succeeded", "payment_intent.succeeded"]
    assert kinds(program, begun) == (
        end if status == "succeeded" else ["charge.failed", "payment_intent.payment_failed"]
    )
    assert get(program, f"{URL}/{made['id']}", "payment_intent")["status"] == status
    charges = get(program, "/v1/charges", "charge", payment_intent=made["id"])["data"]
    assert [one["status"] for one in charges] == ["succeeded" if status == "succeeded" else "failed"]


def test_a_debit_of_a_customer_on_a_test_clock_follows_the_clock(lite_app: Flask, program: Program) -> None:
    held = test_clocks.create(AT, AT, program.key.account_id)
    customer = new_customer(program, test_clock=held.id)
    debit = post(
        program, "/v1/payment_methods", "payment_method", type="sepa_debit", sepa_debit__iban=SLOW,
        billing_details__name="Ada", billing_details__email="a@acme.example",
    )["id"]  # fmt: skip
    post(program, f"/v1/payment_methods/{debit}/attach", "payment_method", customer=customer)
    made = _made(program, customer=customer, payment_method=debit, confirm="true")
    assert (made["status"], made["created"]) == ("processing", AT)
    test_clocks.advance(lite_app.extensions["gateways"], held.id, AT + 5 * DAY, str)
    assert "payment_intent.succeeded" in kinds(program)


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        ({"amount": "10"}, "amount_too_small", "amount"),
        ({"amount": "999999999"}, "amount_too_large", "amount"),
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"amount": "much"}, "parameter_invalid_integer", "amount"),
        ({"currency": "xxx"}, None, "currency"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
        ({"payment_method_types[0]": "paypal"}, None, "payment_method_types"),
        ({"currency": "usd", "payment_method_types[0]": "sepa_debit"}, None, "currency"),
        ({"capture_method": "manual"}, None, "capture_method"),
        ({"off_session": "true"}, None, "off_session"),
        ({"confirm": "true"}, "payment_intent_unexpected_state", None),
        (
            {"confirm": "true", "payment_method": "pm_card_visa", "return_url": "javascript:x"},
            "url_invalid",
            "return_url",
        ),
        ({"nope": "1"}, "parameter_unknown", "nope"),
        ({"expand[]": "nope"}, None, None),
    ],
)
def test_what_makes_no_sense_is_refused(
    program: Program, sent: dict[str, str], code: str | None, param: str | None
) -> None:
    response = program.post(URL, {"amount": "2000", "currency": "eur", **sent})
    status, _words, found, named = error(response)
    assert (status, found, named) == (400, code, param), response.text
    check_error(response.json)
    assert get(program, URL, "payment_intent")["data"] == []
    assert events(program) == []


def test_a_method_of_somebody_elses_is_refused(program: Program) -> None:
    mine, other = new_customer(program), new_customer(program)
    method = attached(program, other)
    for customer, words in ((mine, "does not belong to the Customer"), (None, "belongs to a Customer")):
        data = {"amount": "2000", "currency": "eur", "payment_method": method}
        refused = error(program.post(URL, {**data, **({"customer": customer} if customer else {})}))
        assert (refused[0], words in refused[1]) == (400, True)


@pytest.mark.both_databases
def test_the_same_request_charges_once_and_answers_the_same(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program)
    fails = attached(program, customer, "pm_card_chargeCustomerFail")
    data = {"amount": "2000", "currency": "eur", "customer": customer, "payment_method": fails, "confirm": "true"}
    first, again = (program.post(URL, data, Idempotency_Key="one") for _ in range(2))
    assert (first.status_code, again.status_code) == (402, 402)
    assert (again.data, again.headers["Idempotent-Replayed"]) == (first.data, "true")
    assert len(get(program, "/v1/charges", "charge")["data"]) == 1
    other = program.post(URL, {**data, "amount": "3000"}, Idempotency_Key="one")
    assert other.json["error"]["type"] == "idempotency_error"  # type: ignore[index]


def test_a_new_try_ends_the_one_that_waits(lite_app: Flask, program: Program) -> None:
    asked = _made(
        program, payment_method="pm_card_threeDSecureRequired", confirm="true", return_url="https://shop.example/"
    )
    path, page = f"{URL}/{asked['id']}", asked["next_action"]["redirect_to_url"]["url"]
    assert error(program.post(path, {"amount": "3000"}))[2] == "payment_intent_unexpected_state"
    assert post(program, path, "payment_intent", metadata__a="1")["status"] == "requires_action"
    client = browser(lite_app)
    client.get(path_of(page))
    paid = post(program, f"{path}/confirm", "payment_intent", payment_method="pm_card_visa")
    assert paid["status"] == "succeeded"
    client.send(path_of(page), {"answer": "complete"})
    assert get(program, path, "payment_intent")["latest_charge"] == paid["latest_charge"]
    assert len(get(program, "/v1/charges", "charge", payment_intent=asked["id"])["data"]) == 1


@pytest.mark.parametrize("action", ["cancel", "confirm"])
def test_what_the_customer_has_completed_is_paid(lite_app: Flask, program: Program, action: str) -> None:
    asked = _made(
        program, payment_method="pm_card_threeDSecureRequired", confirm="true", return_url="https://shop.example/"
    )
    client, page = browser(lite_app), path_of(asked["next_action"]["redirect_to_url"]["url"])
    client.get(page)
    client.send(page, {"answer": "complete"})  # and the browser is closed before it comes back
    refused = error(program.post(f"{URL}/{asked['id']}/{action}"))
    assert (refused[0], refused[2]) == (400, "payment_intent_unexpected_state")
    assert get(program, f"{URL}/{asked['id']}", "payment_intent")["status"] == "succeeded"


def test_members_are_changed_and_taken_away(program: Program) -> None:
    made = _made(
        program,
        payment_method="pm_card_visa",
        description="first",
        shipping__name="Ada",
        shipping__address__city="Paris",
    )
    path = f"{URL}/{made['id']}"
    changed = post(
        program, path, "payment_intent", amount="3000", currency="usd", description="", payment_method="", shipping="",
        metadata__a="1",
    )  # fmt: skip
    assert (changed["amount"], changed["currency"], changed["description"]) == (3000, "usd", None)
    assert (changed["status"], changed["payment_method"], changed["shipping"]) == (
        "requires_payment_method",
        None,
        None,
    )
    assert error(program.post(path, {"amount": "1"}))[2] == "amount_too_small"
    paid = post(program, f"{path}/confirm", "payment_intent", payment_method="pm_card_visa")
    assert (paid["amount_received"], paid["metadata"]) == (3000, {"a": "1"})
    assert error(program.post(path, {"amount": "4000"}))[2] == "payment_intent_unexpected_state"
    assert post(program, path, "payment_intent", description="later")["description"] == "later"
