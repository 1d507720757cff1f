"""Setup intents and Checkout sessions: a customer's payment method is saved, by a program or on the sandbox's page."""

from typing import Any

import pytest
import time_machine
from flask import Flask

from portal_site import clock
from portal_site.billing.billing_run import clean_up, runner
from tests.api.calls import Program, error, path_of
from tests.api.payments.merchants import answer, attached, browser, events, get, kinds, new_customer, new_program, post
from tests.api.payments.shapes import check, check_error
from tests.client import text

SETUPS, SESSIONS = "/v1/setup_intents", "/v1/checkout/sessions"
SHOP = "https://shop.example"
DAY = 24 * 60 * 60
CARD = {"number": "4242424242424242", "expiry": "12/39", "cvc": "123"}
DEBIT = {
    "payment_method_data__type": "sepa_debit", "payment_method_data__sepa_debit__iban": "DE89370400440532013000",
    "payment_method_data__billing_details__name": "Ada", "payment_method_data__billing_details__email": "a@acme.example",
}  # fmt: skip


@pytest.fixture
def program(lite_app: Flask) -> Program:
    """A program of a new merchant's."""
    return new_program(lite_app)


def _session(program: Program, customer: str, **more: Any) -> Any:
    sent = {
        "mode": "setup", "customer": customer, "currency": "eur", "success_url": f"{SHOP}/done?id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{SHOP}/back", **more,
    }  # fmt: skip
    return post(program, SESSIONS, "checkout.session", **sent)


@pytest.mark.both_databases
def test_a_customer_saves_a_card_on_the_page_and_it_is_charged(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program, email="ada@acme.example")
    made = _session(program, customer, metadata__a="1", client_reference_id="7", setup_intent_data__metadata__b="2")
    assert (made["status"], made["customer_details"]) == ("open", None)
    assert made["success_url"] == f"{SHOP}/done?id={made['id']}"
    client, begun = browser(app), len(events(program))
    assert f'href="{SHOP}/back"' in client.get(path_of(made["url"])).text
    there = answer(client, made["url"], kind="card", **CARD)
    assert there.headers["Refresh"] == f"0; url={SHOP}/done?id={made['id']}"
    assert kinds(program, begun) == ["payment_method.attached", "setup_intent.succeeded", "checkout.session.completed"]
    for kind, found in events(program)[begun:]:
        check(found, kind.rpartition(".")[0])
    done = get(program, f"{SESSIONS}/{made['id']}", "checkout.session", **{"expand[]": "setup_intent.payment_method"})
    assert (done["status"], done["url"], done["customer_details"]["email"]) == ("complete", None, "ada@acme.example")
    intent = done["setup_intent"]
    assert (intent["status"], intent["metadata"]) == ("succeeded", {"b": "2"})
    method = check(intent["payment_method"], "payment_method")
    assert (method["customer"], method["card"]["last4"]) == (customer, "4242")
    paid = post(
        program, "/v1/payment_intents", "payment_intent", amount="700", currency="eur", customer=customer,
        payment_method=method["id"], off_session="true", confirm="true",
    )  # fmt: skip
    assert paid["status"] == "succeeded"
    assert error(program.post(f"{SESSIONS}/{made['id']}/expire"))[0] == 400


def test_a_check_at_the_bank_that_fails_leads_back_to_the_form(lite_app: Flask, program: Program) -> None:
    customer = new_customer(program)
    made, client = _session(program, customer), browser(lite_app)
    asked = answer(client, made["url"], kind="card", **{**CARD, "number": "4000002500003155"})
    there = answer(client, asked.request.path, answer="fail")
    assert there.headers["Refresh"] == f"0; url={made['url']}"
    assert get(program, f"{SESSIONS}/{made['id']}", "checkout.session")["status"] == "open"
    asked = answer(client, made["url"], kind="card", **{**CARD, "number": "4000002500003155"})
    answer(client, asked.request.path, answer="complete")
    done = get(program, f"{SESSIONS}/{made['id']}", "checkout.session", **{"expand[]": "setup_intent"})
    assert done["status"] == "complete"
    paid = post(
        program, "/v1/payment_intents", "payment_intent", amount="700", currency="eur", customer=customer,
        payment_method=done["setup_intent"]["payment_method"], off_session="true", confirm="true",
    )  # fmt: skip
    assert paid["status"] == "succeeded"


def test_a_page_takes_the_types_that_are_wanted(lite_app: Flask, program: Program) -> None:
    customer, client = new_customer(program), browser(lite_app)
    debit = _session(program, customer, payment_method_types__0="sepa_debit")
    page = client.get(path_of(debit["url"]))
    assert "Card number" not in text(page.text)
    assert client.send(path_of(debit["url"]), {"kind": "card", **CARD}).status_code == 422
    answer(client, debit["url"], kind="iban", iban="DE89370400440532013000")
    done = get(program, f"{SESSIONS}/{debit['id']}", "checkout.session", **{"expand[]": "setup_intent"})
    mandate = get(program, f"/v1/mandates/{done['setup_intent']['mandate']}", "mandate")
    assert (mandate["status"], mandate["payment_method"]) == ("active", done["setup_intent"]["payment_method"])
    assert "IBAN" not in text(
        client.get(path_of(_session(program, customer, payment_method_types__0="card")["url"])).text
    )


@pytest.mark.both_databases
def test_a_session_expires(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program)
    first, second = _session(program, customer), _session(program, customer)
    ended = post(program, f"{SESSIONS}/{first['id']}/expire", "checkout.session")
    assert (ended["status"], ended["url"]) == ("expired", None)
    assert browser(app).get(path_of(first["url"])).status_code == 404
    base = app.config["SETTINGS"].base_url
    with time_machine.travel(clock.now() + DAY + 60, tick=False), app.test_request_context(base_url=base):
        runner.run(app.extensions["gateways"], clock.now(), str)
    found = get(program, SESSIONS, "checkout.session", customer=customer)["data"]
    assert [(one["id"], one["status"]) for one in found] == [(second["id"], "expired"), (first["id"], "expired")]
    assert kinds(program).count("checkout.session.expired") == 2
    assert get(program, f"{SETUPS}/{first['setup_intent']}", "setup_intent")["status"] == "canceled"
    assert get(program, SESSIONS, "checkout.session", status="open")["data"] == []


def test_what_a_session_cannot_be_is_refused(program: Program) -> None:
    customer = new_customer(program)
    whole = {"mode": "setup", "customer": customer, "currency": "eur", "success_url": SHOP}
    for changed, param in (
        ({"mode": "payment"}, "mode"), ({"mode": "subscription"}, "mode"), ({"mode": "x"}, "mode"),
        ({"success_url": "javascript:x"}, "success_url"), ({"cancel_url": "shop"}, "cancel_url"),
        ({"customer": "cus_none"}, "customer"), ({"customer": ""}, "customer"), ({"currency": ""}, "currency"),
        ({"expires_at": "1"}, "expires_at"), ({"payment_method_types[0]": "klarna"}, "payment_method_types"),
    ):  # fmt: skip
        assert error(program.post(SESSIONS, {**whole, **changed}))[::3] == (400, param), changed
    assert get(program, SESSIONS, "checkout.session")["data"] == []
    intent = _session(program, customer)["setup_intent"]
    for action in ("confirm", "cancel"):
        refused = program.post(
            f"{SETUPS}/{intent}/{action}", {"payment_method": "pm_card_visa"} if action == "confirm" else None
        )
        assert error(refused)[2] == "setup_intent_unexpected_state"


@pytest.mark.both_databases
def test_a_program_saves_a_card(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program)
    begun = len(events(program))
    made = post(
        program, SETUPS, "setup_intent", customer=customer, description="For later", metadata__a="1", usage="on_session"
    )
    assert (made["status"], made["usage"]) == ("requires_payment_method", "on_session")
    assert made["client_secret"].startswith(f"{made['id']}_secret_")
    path = f"{SETUPS}/{made['id']}"
    found = check_error(program.post(f"{path}/confirm").json)
    assert (found["code"], found["setup_intent"]["id"]) == ("setup_intent_unexpected_state", made["id"])
    done = post(program, f"{path}/confirm", "setup_intent", payment_method="pm_card_visa", expand__0="payment_method")
    assert (done["status"], done["payment_method"]["customer"]) == ("succeeded", customer)
    assert (
        error(program.post(f"{path}/confirm", {"payment_method": "pm_card_visa"}))[2] == "setup_intent_unexpected_state"
    )
    assert error(program.post(f"{path}/cancel"))[2] == "setup_intent_unexpected_state"
    assert kinds(program, begun) == ["setup_intent.created", "payment_method.attached", "setup_intent.succeeded"]
    assert [one["id"] for one in get(program, SETUPS, "setup_intent", customer=customer)["data"]] == [made["id"]]
    clean_up.remove_old_rows(clock.now() + 200 * DAY)
    assert get(program, path, "setup_intent")["status"] == "succeeded"


def test_a_declined_card_is_not_saved(program: Program) -> None:
    customer = new_customer(program)
    response = program.post(
        SETUPS, {"customer": customer, "payment_method": "pm_card_visa_chargeDeclined", "confirm": "true"}
    )
    found = check_error(response.json)
    assert (response.status_code, found["code"], found["setup_intent"]["status"]) == (
        402, "card_declined", "requires_payment_method",
    )  # fmt: skip
    intent = get(program, f"{SETUPS}/{found['setup_intent']['id']}", "setup_intent")
    assert intent["last_setup_error"]["decline_code"] == "generic_decline"
    assert kinds(program)[-1] == "setup_intent.setup_failed"
    canceled = post(program, f"{SETUPS}/{intent['id']}/cancel", "setup_intent", cancellation_reason="abandoned")
    assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "abandoned")


@pytest.mark.parametrize(("given", "status"), [("complete", "succeeded"), ("fail", "requires_payment_method")])
def test_the_bank_asks_before_a_card_is_saved(lite_app: Flask, program: Program, given: str, status: str) -> None:
    customer = new_customer(program)
    asked = post(
        program, SETUPS, "setup_intent", customer=customer, payment_method="pm_card_authenticationRequired", confirm="true",
        return_url=f"{SHOP}/done",
    )  # fmt: skip
    assert asked["status"] == "requires_action"
    there = answer(browser(lite_app), asked["next_action"]["redirect_to_url"]["url"], answer=given)
    is_saved = status == "succeeded"
    assert there.headers["Refresh"].endswith(f"redirect_status={'succeeded' if is_saved else 'failed'}")
    intent = get(program, f"{SETUPS}/{asked['id']}", "setup_intent")
    assert intent["status"] == status
    assert len(get(program, f"/v1/customers/{customer}/payment_methods", "payment_method")["data"]) == is_saved
    if is_saved:
        paid = post(
            program, "/v1/payment_intents", "payment_intent", amount="700", currency="eur", customer=customer,
            payment_method=intent["payment_method"], off_session="true", confirm="true",
        )  # fmt: skip
        assert paid["status"] == "succeeded"
    else:
        assert intent["last_setup_error"]["code"] == "setup_intent_authentication_failure"


def test_a_debit_needs_a_mandate(program: Program) -> None:
    customer = new_customer(program)
    data = {"customer": customer, "confirm": "true", **DEBIT}
    sent = {
        name.replace("__", "[", 1).replace("__", "][") + ("]" if "__" in name else ""): value
        for name, value in data.items()
    }
    assert error(program.post(SETUPS, sent))[2:] == ("parameter_missing", "mandate_data")
    online = {
        "mandate_data__customer_acceptance__type": "online",
        "mandate_data__customer_acceptance__online__ip_address": "::1",
    }
    made = post(program, SETUPS, "setup_intent", **data, **online)
    mandate = get(program, f"/v1/mandates/{made['mandate']}", "mandate")
    assert mandate["customer_acceptance"]["online"]["ip_address"] == "::1"
    assert error(program.get("/v1/mandates/mandate_none"))[::2] == (404, "resource_missing")
    paid = post(
        program, "/v1/payment_intents", "payment_intent", amount="700", currency="eur", customer=customer,
        payment_method=made["payment_method"], confirm="true", expand__0="latest_charge",
    )  # fmt: skip
    assert paid["latest_charge"]["payment_method_details"]["sepa_debit"]["mandate"] == made["mandate"]
    assert attached(program, customer)


def test_without_a_customer_a_method_is_used_up(app: Flask) -> None:
    program = new_program(app)
    made = post(program, SETUPS, "setup_intent", payment_method="pm_card_visa", confirm="true")
    assert (made["status"], made["customer"]) == ("succeeded", None)
    shown = get(program, f"{SETUPS}/{made['id']}", "setup_intent", **{"expand[]": "payment_method"})
    assert (shown["payment_method"]["id"], shown["payment_method"]["customer"]) == (made["payment_method"], None)
    customer = new_customer(program)
    again = program.post(f"/v1/payment_methods/{made['payment_method']}/attach", {"customer": customer})
    assert "previously used" in error(again)[1]
    refused = program.post(SETUPS, {"payment_method": attached(program, customer), "confirm": "true"})
    assert error(refused)[::3] == (400, "payment_method")
    asks = post(program, SETUPS, "setup_intent", payment_method="pm_card_authenticationRequired", confirm="true")
    assert asks["status"] == "requires_action"
    assert kinds(program)[-1] == "setup_intent.requires_action"
    assert get(program, f"{SETUPS}/{asks['id']}", "setup_intent")["status"] == "requires_action"
    accepted = {"mandate_data__customer_acceptance__type": "offline"}
    debit = post(program, SETUPS, "setup_intent", confirm="true", **DEBIT, **accepted)
    mandate = get(program, f"/v1/mandates/{debit['mandate']}", "mandate")
    assert mandate["payment_method"] == debit["payment_method"]


def test_nothing_is_saved_for_a_customer_who_was_deleted(lite_app: Flask, program: Program) -> None:
    customer = new_customer(program)
    asked = post(
        program, SETUPS, "setup_intent", customer=customer, payment_method="pm_card_authenticationRequired", confirm="true",
        return_url=f"{SHOP}/done",
    )  # fmt: skip
    session = _session(program, customer)
    assert program.call("DELETE", f"/v1/customers/{customer}").status_code == 200
    there = answer(browser(lite_app), asked["next_action"]["redirect_to_url"]["url"], answer="complete")
    assert there.status_code == 200
    assert get(program, f"{SETUPS}/{asked['id']}", "setup_intent")["status"] == "requires_action"
    assert post(program, f"{SETUPS}/{asked['id']}/cancel", "setup_intent")["status"] == "canceled"
    there = answer(browser(lite_app), session["url"], kind="card", **CARD)
    assert there.headers["Refresh"] == f"0; url={SHOP}/back"
    assert get(program, f"{SESSIONS}/{session['id']}", "checkout.session")["status"] == "expired"
