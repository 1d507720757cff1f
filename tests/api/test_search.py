"""Searching customers."""

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from portal_site.billing.models import Customer
from tests import world
from tests.api.calls import Program, error

SEARCH = "/v1/customers/search"
PEOPLE = {
    "Ada Osei": ("ada@osei.example", "+442079460958", {"plan": "Old", "user": "7"}),
    "Hedda Berg": ("hedda@acme.example", None, {"plan": "new"}),
    "Bergman, O'Neil": ("neil@acme.example", None, {}),
    "100% Fjord_": (None, None, {"plan": "old"}),
}


@pytest.fixture
def program(app: Flask) -> Program:
    """A program of a merchant with these customers, each created a second after the other."""
    with world.merchant() as made:
        ids = [made.customer(name, "x@acme.example", "one of four").id for name in PEOPLE]
    with world.transaction() as session:
        for number, (name, customer_id) in enumerate(zip(PEOPLE, ids, strict=True)):
            email, phone, metadata = PEOPLE[name]
            mine = Customer.account_id == made.account.id, Customer.id == customer_id
            values = {"email": email, "phone": phone, Customer.metadata_: metadata, "created": 1000 + number}
            session.execute(update(Customer).where(*mine).values(values))
    world.scene("Other")  # somebody else's customer has the same address as one of these
    return Program(app, made.account.id)


def _found(program: Program, query: str) -> list[str]:
    answer = program.get(SEARCH, {"query": query})
    assert answer.status_code == 200, answer.text
    return [customer["name"] for customer in answer.json["data"]]  # type: ignore[index]


ADA, HEDDA, NEIL, FJORD = PEOPLE


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("email:'hedda@acme.example'", [HEDDA]),
        ('email:"HEDDA@ACME.EXAMPLE"', [HEDDA]),
        ("name:'berg'", [HEDDA]),  # a word, not a part of one
        ("name~'berg'", [NEIL, HEDDA]),
        (r"name:'o\'neil'", [NEIL]),
        ("name~'100%'", [FJORD]),
        ("name~'rd_'", [FJORD]),
        ("name~'r_d'", []),
        ("phone:null", [FJORD, NEIL, HEDDA]),
        ("-phone:null", [ADA]),
        ("-email~'acme'", [FJORD, ADA]),  # who has none has no such address either
        ("metadata['plan']:'old'", [FJORD, ADA]),
        ("-metadata['plan']:'old'", [NEIL, HEDDA]),
        ("metadata['plan']:null", [NEIL]),
        ("metadata['a\"b']:'x'", []),
        ("created>1001", [FJORD, NEIL]),
        ("created>=1001 created<1003", [NEIL, HEDDA]),
        ("created:1000", [ADA]),
        ("email~'acme' AND name~'berg'", [NEIL, HEDDA]),
        ("email~'osei' OR name~'fjord'", [FJORD, ADA]),
        ("name:'Nobody'", []),
    ],
)
def test_a_query_finds_whom_it_describes(program: Program, query: str, names: list[str]) -> None:
    assert _found(program, query) == names


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("hedda", "unable to understand"),
        ("email:", "unable to understand"),
        ("email:'x", "unable to understand"),
        ("email:'x' AND name:'y' OR phone:'z'", "unable to understand"),
        (" AND ".join(["email:'x'"] * 11), "at most 10 clauses"),
        ("balance>5", "Field `balance` is an unsupported search field for resource `customers`."),
        ("name~'ab'", "needs at least 3 characters"),
        ("name>'a'", "takes a quoted text"),
        ("created:'yesterday'", "takes a number"),
        ("created~5", "takes a number"),
        ("x" * 100_000, "unable to understand"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(program: Program, query: str, words: str) -> None:
    status, said, _code, param = error(program.get(SEARCH, {"query": query}))
    assert (status, param) == (400, "query") if len(query) < 5000 else status == 400
    assert words in said or "too long" in said


def test_the_pages_of_a_search(program: Program) -> None:
    first = program.get(SEARCH, {"query": "created>0", "limit": "3", "expand[]": "total_count"}).json
    assert (first["object"], first["has_more"], first["total_count"]) == ("search_result", True, 4)  # type: ignore[index]
    second = program.get(SEARCH, {"query": "created>0", "limit": "3", "page": first["next_page"]}).json  # type: ignore[index]
    assert [one["name"] for one in (*first["data"], *second["data"])] == [FJORD, NEIL, HEDDA, ADA]  # type: ignore[index]
    assert (second["has_more"], second["next_page"], "total_count" in second) == (False, None, False)  # type: ignore[index]
    assert error(program.get(SEARCH, {"query": "created>0", "page": "nonsense"}))[3] == "page"
    assert error(program.get(SEARCH, {}))[1] == "Missing required param: query."
    assert error(program.get(SEARCH, {"query": "created>0", "starting_after": "x"}))[2] == "parameter_unknown"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="email:~'\"[]metadata \\andornull<>=-19ü", max_size=40))
def test_no_query_is_answered_with_a_server_error(program: Program, query: str) -> None:
    assert program.get(SEARCH, {"query": query}).status_code in (200, 400)
