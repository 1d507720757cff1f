"""What programs rely on for years: pages that lose and repeat nothing, and members that do not go away."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal_site.db.transactions import transaction
from tests import world
from tests.api.calls import Program, error
from tests.api.payments.merchants import attached, new_customer, new_program

MEMBERS = json.loads((Path(__file__).parent / "members.json").read_text())
VERSIONS = ("2024-06-20", "2025-03-31.basil", "2026-08-26.dahlia", "2031-01-01.later")


def _pages(program: Program, path: str, between: Any) -> list[str]:
    seen: list[str] = []
    for number in range(20):
        cursor = {"starting_after": seen[-1]} if seen else {}
        page: Any = program.get(path, {"limit": "3", **cursor}).json
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            return seen
        between(number, seen)
    raise AssertionError("the list has no end")


@pytest.mark.case("E10")
def test_what_is_added_and_taken_away_meanwhile_moves_no_page(app: Flask) -> None:
    with world.merchant() as made:
        account_id = made.account.id
        ids = [str(made.customer(f"Customer {number}", "c@acme.example", "").id) for number in range(11)]
    program = Program(app, account_id)
    gone: list[str] = []

    def between(number: int, seen: list[str]) -> None:
        with transaction() as session:
            owner = session.get(world.Account, account_id)
            world.Merchant(session, 1, owner).customer(f"Late {number}", "late@acme.example", "")
        rest = [name for name in ids if name not in seen and name not in gone]
        for name in rest[:1]:
            gone.append(name)
            assert program.call("DELETE", f"/v1/customers/{name}").status_code == 200

    seen = _pages(program, "/v1/customers", between)
    assert len(seen) == len(set(seen))
    assert set(ids) - set(seen) <= set(gone)


@pytest.mark.case("E10")
@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"limit": "abc"}, "limit"),
        ({"starting_after": "cus_none"}, "starting_after"),
        ({"starting_after": "pi_of_another_kind"}, "starting_after"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_the_parameter(lite_app: Flask, params: dict[str, str], name: str) -> None:
    status, _words, code, param = error(new_program(lite_app).get("/v1/customers", params))
    assert (status, param) == (400, name)
    assert code


def _objects(program: Program) -> dict[str, Any]:
    customer = new_customer(program)
    method = attached(program, customer)
    paid = {"amount": "500", "currency": "eur", "customer": customer, "payment_method": method, "confirm": "true",
            "off_session": "true"}  # fmt: skip
    intent: Any = program.post("/v1/payment_intents", paid).json
    refund: Any = program.post("/v1/refunds", {"payment_intent": intent["id"], "amount": "100"}).json
    names = {
        "customer": f"customers/{customer}", "payment_method": f"payment_methods/{method}",
        "payment_intent": f"payment_intents/{intent['id']}", "charge": f"charges/{intent['latest_charge']}",
        "refund": f"refunds/{refund['id']}", "account": "account",
    }  # fmt: skip
    return {kind: f"/v1/{path}" for kind, path in names.items()}


@pytest.mark.case("E11")
def test_no_member_goes_away_whatever_version_a_program_was_written_for(lite_app: Flask) -> None:
    program = new_program(lite_app)
    for kind, path in _objects(program).items():
        answers = [program.get(path, Stripe_Version=version) for version in VERSIONS]
        assert [answer.headers["Stripe-Version"] for answer in answers] == list(VERSIONS)
        assert len({answer.text for answer in answers}) == 1, kind
        found: Any = answers[0].json
        assert set(MEMBERS[kind]) <= set(found), f"{kind} lost {set(MEMBERS[kind]) - set(found)}"
