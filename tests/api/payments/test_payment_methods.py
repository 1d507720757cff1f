"""Payment methods of programs: tokens, attaching, changing, detaching; the portal shows the same ones."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Customer, PaymentMethod
from tests.api.calls import Program, error
from tests.api.payments.merchants import attached, get, kinds, new_customer, new_program, post
from tests.api.payments.shapes import check_error
from tests.client import text
from tests.conftest import enter
from tests.world import reading

URL = "/v1/payment_methods"
DEBTOR = {"billing_details__name": "Ada", "billing_details__email": "ada@acme.example"}


@pytest.fixture
def program(lite_app: Flask) -> Program:
    """A program of a new merchant's."""
    return new_program(lite_app)


@pytest.mark.both_databases
def test_a_method_is_made_attached_changed_and_detached(app: Flask) -> None:
    program = new_program(app)
    customer = new_customer(program)
    made = post(
        program, URL, "payment_method", type="card", card__token="tok_mastercard", metadata__a="1",
        billing_details__name="Ada",
    )  # fmt: skip
    assert (made["customer"], made["card"]["brand"], made["card"]["last4"]) == (None, "mastercard", "4444")
    name = made["id"]
    assert get(program, f"{URL}/{name}", "payment_method") == made
    assert error(program.post(f"{URL}/{name}", {"metadata[a]": "2"}))[0] == 400
    kept = post(program, f"{URL}/{name}/attach", "payment_method", customer=customer)
    assert kept == {**made, "customer": customer}
    changed = post(
        program, f"{URL}/{name}", "payment_method", metadata__b="2", card__exp_month="3", card__exp_year="2039",
        billing_details__address__city="Paris",
    )  # fmt: skip
    assert (changed["metadata"], changed["card"]["exp_year"]) == ({"a": "1", "b": "2"}, 2039)
    assert (changed["billing_details"]["name"], changed["billing_details"]["address"]["city"]) == ("Ada", "Paris")
    for path, data in ((URL, {"customer": customer}), (f"/v1/customers/{customer}/payment_methods", {"type": "card"})):
        assert get(program, path, "payment_method", **data)["data"] == [changed]
    assert get(program, f"/v1/customers/{customer}/payment_methods/{name}", "payment_method") == changed
    gone = post(program, f"{URL}/{name}/detach", "payment_method")
    assert gone["customer"] is None
    assert get(program, f"{URL}/{name}", "payment_method")["customer"] is None
    assert get(program, f"/v1/customers/{customer}/payment_methods", "payment_method")["data"] == []
    again = error(program.post(f"{URL}/{name}/attach", {"customer": customer}))
    assert (again[0], "may not be used again" in again[1]) == (400, True)
    assert error(program.post(f"{URL}/{name}/detach"))[0] == 400
    assert kinds(program)[1:] == ["payment_method.attached", "payment_method.updated", "payment_method.detached"]


def test_the_portal_shows_it(lite_app: Flask, program: Program) -> None:
    customer_id = new_customer(program, email="ada@acme.example")
    method = attached(program, customer_id)
    with reading() as connection:
        row = connection.execute(
            select(PaymentMethod.gateway, PaymentMethod.last4).where(PaymentMethod.id == method)
        ).one()
        assert tuple(row) == ("sandbox", "4242")
        found = connection.execute(select(Customer.id).where(Customer.id == customer_id)).one()
    client = enter(lite_app, found.id)
    assert "4242" in text(client.get("/").text)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"type": "card", "card[token]": "tok_nonsense"}, "card[token]"),
        (
            {"type": "card", "card[number]": "4111111111111111", "card[exp_month]": "1", "card[exp_year]": "2039"},
            "card[number]",
        ),
        ({"type": "card", "card[number]": "4242424242424242", "card[exp_year]": "2039"}, "card[exp_month]"),
        (
            {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "1", "card[exp_year]": "20"},
            "card[exp_year]",
        ),
        ({"type": "card"}, "card"),
        ({"type": "sepa_debit", "sepa_debit[iban]": "DE89370400440532013000"}, "billing_details[name]"),
        ({"type": "sepa_debit"}, "sepa_debit"),
        ({"type": "paypal"}, "type"),
        ({}, "type"),
    ],
)
def test_what_is_no_test_method_is_refused(program: Program, sent: dict[str, str], param: str) -> None:
    refused = program.post(URL, sent)
    assert error(refused)[::3] == (400, param)
    assert "4111111111111111" not in refused.text
    assert get(program, URL, "payment_method")["data"] == []


def test_debits_and_numbers(program: Program) -> None:
    debit = post(program, URL, "payment_method", type="sepa_debit", sepa_debit__iban="DE89370400440532013000", **DEBTOR)
    assert (debit["sepa_debit"]["last4"], debit["sepa_debit"]["country"]) == ("3000", "DE")
    card = post(
        program, URL, "payment_method", type="card", card__number="4242 4242 4242 4242", card__exp_month="8",
        card__exp_year="2034", card__cvc="123",
    )["card"]  # fmt: skip
    assert (card["exp_month"], card["exp_year"], card["last4"]) == (8, 2034, "4242")


@pytest.mark.parametrize(
    ("name", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
    ],
)
def test_a_card_that_declines_cannot_be_attached(
    program: Program, name: str, code: str, decline_code: str | None
) -> None:
    customer = new_customer(program)
    refused = program.post(f"{URL}/{name}/attach", {"customer": customer})
    found: Any = check_error(refused.json)
    assert (refused.status_code, found["type"], found["code"], found.get("decline_code")) == (
        402, "card_error", code, decline_code,
    )  # fmt: skip
    assert get(program, f"/v1/customers/{customer}/payment_methods", "payment_method")["data"] == []


def test_one_that_is_anothers_is_refused(program: Program) -> None:
    first, second = new_customer(program), new_customer(program)
    method = attached(program, first)
    assert attached(program, first, method) == method
    refused = error(program.post(f"{URL}/{method}/attach", {"customer": second}))
    assert (refused[0], "already been attached" in refused[1]) == (400, True)
    assert error(program.get(f"/v1/customers/{second}/payment_methods/{method}"))[0] == 404
    assert error(program.get(URL, {"customer": "cus_none"})) == (
        400, "No such customer: 'cus_none'", "resource_missing", "customer",
    )  # fmt: skip
    assert get(program, URL, "payment_method")["data"] == []
