"""Customers of programs: made, changed and deleted as at Stripe."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import test_clocks
from portal_site.billing.models import CustomerBalanceTransaction, Event
from tests import world
from tests.api.calls import Program, error
from tests.api.payments.shapes import check
from tests.world import reading

URL = "/v1/customers"
AT = 1_800_000_000


def _program(app: Flask) -> Program:
    with world.merchant() as made:
        account_id = made.account.id
    return Program(app, account_id)


def events(program: Program) -> list[tuple[str, Any]]:
    """The account's events, oldest first, as type and data."""
    query = select(Event.type, Event.data).where(Event.account_id == program.key.account_id).order_by(Event.sequence)
    with reading() as connection:
        return [(kind, data) for kind, data in connection.execute(query) if not kind.startswith("api_key")]


@pytest.fixture
def program(lite_app: Flask) -> Program:
    """A program of a new merchant's."""
    with lite_app.app_context():
        return _program(lite_app)


@pytest.mark.both_databases
def test_a_customer_is_made_changed_and_deleted(app: Flask) -> None:
    program = _program(app)
    sent = {
        "name": "Ada", "email": "ada@acme.example", "phone": "+33612345678", "description": "first", "address[city]": "Paris",
        "address[country]": "FR", "shipping[name]": "Ada", "shipping[address][line1]": "1 rue", "metadata[a]": "1",
        "metadata[b]": "2", "preferred_locales[0]": "fr", "tax_exempt": "exempt", "balance": "-500",
        "payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa",
    }  # fmt: skip
    response = program.post(URL, sent)
    assert response.status_code == 200, response.text
    made = check(response.json, "customer")
    assert (made["balance"], made["currency"], made["metadata"]) == (-500, "usd", {"a": "1", "b": "2"})
    assert made["address"]["city"] == "Paris"
    assert made["invoice_settings"]["default_payment_method"].startswith("pm_")
    name = made["id"]
    assert program.get(f"{URL}/{name}").json == made
    changed = program.post(
        f"{URL}/{name}", {"name": "Ada L", "address[line1]": "2", "metadata[a]": "", "phone": "", "balance": "100"}
    ).json
    check(changed, "customer")
    assert (changed["name"], changed["phone"], changed["balance"]) == ("Ada L", None, 100)
    assert (changed["address"]["city"], changed["address"]["line1"]) == ("Paris", "2")
    assert changed["metadata"] == {"b": "2"}
    assert program.post(f"{URL}/{name}", {"metadata": "", "shipping": ""}).json["metadata"] == {}  # type: ignore[index]
    with reading() as connection:
        moved = connection.execute(
            select(CustomerBalanceTransaction.amount).where(CustomerBalanceTransaction.customer_id == name)
        ).scalars()
        assert sorted(moved) == [-500, 600]
    gone = {"id": name, "object": "customer", "deleted": True}
    assert program.call("DELETE", f"{URL}/{name}").json == gone
    assert program.get(f"{URL}/{name}").json == gone
    assert error(program.post(f"{URL}/{name}", {"name": "x"}))[:3] == (
        404,
        f"No such customer: '{name}'",
        "resource_missing",
    )
    kinds = [kind for kind, _data in events(program)]
    assert kinds == [
        "customer.created", "payment_method.attached", "customer.updated", "customer.updated", "customer.updated",
        "customer.updated", "payment_method.detached", "customer.deleted",
    ]  # fmt: skip
    previous = events(program)[3][1]["previous_attributes"]
    assert previous["metadata"] == {"a": "1"}
    assert previous["name"] == "Ada"


def test_what_makes_no_sense_is_refused(program: Program) -> None:
    for sent, param in (
        ({"email": "nonsense"}, "email"),
        ({"tax_exempt": "maybe"}, "tax_exempt"),
        ({"test_clock": "clock_none"}, "test_clock"),
        ({"payment_method": "pm_card_nonsense"}, "payment_method"),
        ({"nope": "1"}, "nope"),
        ({"balance": "much"}, "balance"),
        ({"shipping[phone]": "1"}, "shipping[name]"),
        ({"preferred_locales[0]": "tlh"}, "preferred_locales"),
        ({"invoice_settings[default_payment_method]": "pm_none"}, "invoice_settings[default_payment_method]"),
        ({"metadata": "text"}, "metadata"),
    ):
        status, _words, _code, named = error(program.post(URL, sent))
        assert (status, named) == (400, param), sent
    assert program.get(URL).json["data"] == []  # type: ignore[index]
    assert events(program) == []


def test_a_declined_card_leaves_no_customer(program: Program) -> None:
    refused = program.post(URL, {"payment_method": "pm_card_visa_chargeDeclined"})
    assert error(refused)[::2] == (402, "card_declined")
    assert program.get(URL).json["data"] == []  # type: ignore[index]


def test_who_is_billed_is_not_deleted(lite_app: Flask) -> None:
    scene = world.scene()
    program = Program(lite_app, scene.account_id)
    status, words, _code, _param = error(program.call("DELETE", f"{URL}/{scene.customer.id}"))
    assert (status, scene.subscription.id in words) == (400, True)
    assert "deleted" not in program.get(f"{URL}/{scene.customer.id}").json  # type: ignore[operator]


def test_a_customer_lives_at_the_time_of_its_test_clock(program: Program) -> None:
    clock = test_clocks.create(AT, AT, program.key.account_id)
    made = program.post(URL, {"test_clock": clock.id}).json
    assert (made["test_clock"], made["created"]) == (clock.id, AT)  # type: ignore[index]
