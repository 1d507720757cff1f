"""What a search reads: rows on an index, newest first, and a bounded number of them."""

from collections.abc import Iterator
from typing import Any

import flask_migrate
import pytest
from flask import Flask, g
from sqlalchemy import insert, select, text, update

from portal_site import locations
from portal_site.api.customers import SEARCHED
from portal_site.api.search import clauses, language, pages
from portal_site.billing.api_access.api_keys import Caller
from portal_site.billing.models import Customer, CustomerTerm
from portal_site.db import db, migrations
from tests import world
from tests.api.calls import Program
from tests.world import reading

SEARCH = "/v1/customers/search"
MANY = 1600


def _fill(account_id: str, count: int, prefix: str) -> None:
    """Customers of whom every five hundredth is called Rare, and every second has the plan pro."""
    rows = [
        {
            "id": f"cus_{prefix}{number:05}", "account_id": account_id, "created": 1000 + number,
            "name": f"{'Rare' if number % 500 == 250 else 'Often'} Person {number}", "email": f"p{number}@acme.example",
            "phone": f"+44 {number}", "metadata_": {"plan": "Pro" if number % 2 else "Free", "user": str(number)},
        }
        for number in range(count)
    ]  # fmt: skip
    with world.transaction() as session:
        session.execute(insert(Customer), rows)


@pytest.fixture
def account_id(app: Flask) -> Iterator[str]:
    """An account with many customers, beside one with as many; the test acts for it."""
    with world.merchant() as made, app.test_request_context():
        g.caller = Caller("key_x", made.account.id, False, "sk_test_…", None)
        account = made.account.id
    with world.merchant("Other") as other:
        pass
    _fill(account, MANY, "own")
    _fill(other.account.id, MANY, "other")
    with app.test_request_context():
        g.caller = Caller("key_x", account, False, "sk_test_…", None)
        yield account


def _plan_of(query: Any) -> str:
    """How the database finds the rows of a select, if it may not read a whole table, as it does while that is small."""
    is_server = db.engine.dialect.name == "postgresql"
    words = query.compile(dialect=db.engine.dialect, compile_kwargs={"literal_binds": True})
    with db.engine.connect() as connection:
        if is_server:
            connection.exec_driver_sql("ANALYZE customers, customer_terms")
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN " if is_server else "EXPLAIN QUERY PLAN "
        statement = text((explain + str(words)).replace(":", "\\:")).execution_options(unscoped="a plan has no rows")
        return "\n".join(map(str, connection.execute(statement)))


LIST, EMAIL, TERMS = "ix_customers_list", "ix_customers_account_id_lower_email", "ix_customer_terms"


WAYS = {
    "email:'P17@acme.example'": EMAIL,
    "name:'rare'": TERMS,
    "name:'Rare Person 1500'": TERMS,
    "phone:'+44 17'": TERMS,
    "metadata['user']:'17'": TERMS,
    "metadata['plan']:'pro'": TERMS,
    "metadata['plan']:'pro' AND name~'999' AND created>1100": TERMS,
    "name:'rare' AND email:'p500@acme.example'": EMAIL,
    "created>2900": LIST,
    "created:1017": LIST,
    "name~'person 29'": LIST,
    "-metadata['plan']:'pro'": LIST,
    "phone:null": LIST,
    "email:'p17@acme.example' OR name~'rare'": LIST,
}


def test_each_clause_goes_by_an_index_in_the_order_of_the_list(
    account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As few beside the rows of the table as there are beside those of a large one.
    monkeypatch.setattr(pages, "LOOKED_AT", 20)
    for query, index in WAYS.items():
        plan = clauses.plan(language.parse(query), SEARCHED)
        [way] = plan.ways
        for place in (None, (2500, "cus_x")):
            behind = pages.places(way, place).offset(pages.literal_limit(19)).limit(pages.literal_limit(1))
            asked = Customer.deleted_at.is_(None) if plan.rest is None else plan.rest
            found = _plan_of(pages.rows_on(SEARCHED, way, asked, place, is_exact=plan.rest is None, count=11))
            for said in (found, _plan_of(behind)):
                assert index in said, (query, said)
                for slow in ("SCAN customers", "SCAN customer_terms", "Seq Scan", "Sort"):
                    assert slow not in said, (query, said)
            # SQLite sorts what was looked at, because it does not see that this is in order.
            assert "TEMP B-TREE" not in found or plan.rest is not None, (query, found)


def test_each_branch_of_an_or_goes_by_its_own_index(account_id: str) -> None:
    query = "email:'p17@acme.example' OR metadata['user']:'1400' OR name:'rare' OR created:1003"
    plan = clauses.plan(language.parse(query), SEARCHED)
    assert plan.rest is None
    for way, index in zip(plan.ways, (EMAIL, TERMS, TERMS, LIST), strict=True):
        found = _plan_of(pages.rows_on(SEARCHED, way, Customer.deleted_at.is_(None), None, is_exact=True, count=11))
        assert index in found, found


def _all(program: Program, query: str, limit: int = 2) -> tuple[list[str], int]:
    """The names that all pages of a search have, as a program goes through them, and the number of pages."""
    found: list[str] = []
    page: Any = {"next_page": None}
    for number in range(1, 1000):
        following = {"page": page["next_page"]} if page["next_page"] else {}
        page = program.get(SEARCH, {"query": query, "limit": str(limit), **following}).json
        found += [customer["name"] for customer in page["data"]]
        if not page["data"] or not page["has_more"]:
            return found, number
    raise AssertionError("it never ends")


def test_a_search_that_looks_at_few_rows_at_a_time_misses_none(
    app: Flask, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LOOKED_AT", 400)
    program = Program(app, account_id)
    rare = [f"Rare Person {number}" for number in (1250, 750, 250)]
    for query in (
        "name~'rare'", "name:'rare'", "name~'are pers'", "name:'Rare Person'", "name~'rare' OR email~'nobody'",
        "metadata['user']:'1250' OR metadata['user']:'250' OR metadata['user']:'750'",
        "metadata['plan']:'free' AND name~'rare'",
    ):  # fmt: skip
        assert _all(program, query)[0] == rare, query
    assert _all(program, "name~'nobody'") == ([], 1)
    pro = _all(program, "metadata['plan']:'pro' -name~'rare'", 100)[0]
    assert pro == [f"Often Person {number}" for number in range(MANY - 1, 0, -2)]


def test_what_one_page_looks_at_is_bounded(app: Flask, account_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LOOKED_AT", 100)
    monkeypatch.setattr(pages, "SELECTS", 6)
    monkeypatch.setattr(pages, "COUNTED", 700)
    query = {"query": "name:'Person 1'"}
    program, found, places = Program(app, account_id), [], []
    page: Any = {"next_page": None}
    while not places or page["next_page"]:
        following = {"page": page["next_page"]} if page["next_page"] else {}
        page = program.get(SEARCH, {**query, **following, "expand[]": "total_count"}).json
        found.append([customer["name"] for customer in page["data"]])
        places.append(page["next_page"])
        assert page["total_count"] == 0
    assert found == [[], [], ["Often Person 1"], []]
    assert program.get(SEARCH, {"query": "created>0", "expand[]": "total_count"}).json["total_count"] == 700  # type: ignore[index]
    assert program.get(SEARCH, {"query": "name:'rare'", "expand[]": "total_count"}).json["total_count"] == 3  # type: ignore[index]


def _terms(customer_id: str) -> set[tuple[str, str]]:
    with reading() as connection:
        query = select(CustomerTerm.field, CustomerTerm.term).where(CustomerTerm.customer_id == customer_id)
        return {(row.field, row.term) for row in connection.execute(query)}


def test_the_terms_follow_the_customer(app: Flask) -> None:
    long = "X" * 5000
    with world.merchant() as made:
        customer = made.customer(
            '  Ada "Q"\\ada OSEI', "ada@acme.example", "one", phone=None,
            metadata_={"Plan": "Old One", "long": long, "k" * 201: "x", "q'\"": "é"},
        )  # fmt: skip
    assert _terms(customer.id) == {
        ("name", "ada"), ("name", '"q"\\ada'), ("name", "osei"),
        ("metadata.Plan", "old one"), ("metadata.long", "x" * 200), ("metadata.q'\"", "é"),
    }  # fmt: skip
    program = Program(app, made.account.id)
    for query in (
        "metadata['Plan']:'OLD one'", f"metadata['long']:'{long[:1500]}'", f"metadata['{'k' * 201}']:'X'", "name:'osei'",
    ):  # fmt: skip
        count = len(program.get(SEARCH, {"query": query}).json["data"])  # type: ignore[index]
        assert count == (0 if "long" in query else 1), query
    mine = Customer.account_id == made.account.id, Customer.id == customer.id
    with world.transaction() as session:
        session.execute(update(Customer).where(*mine).values({"name": None, "phone": "+44", Customer.metadata_: {}}))
    assert _terms(customer.id) == {("phone", "+44")}
    with world.transaction() as session:
        session.execute(Customer.__table__.delete().where(*mine))
    assert _terms(customer.id) == set()


def test_the_migration_writes_the_terms_of_the_customers_that_are_there(app: Flask) -> None:
    scene = world.scene()
    before = _terms(scene.customer.id)
    db.session.remove()
    try:
        flask_migrate.downgrade(directory=str(locations.MIGRATIONS), revision="0028")
    finally:
        migrations.upgrade(app)
    assert _terms(scene.customer.id) == before == {("name", "hedda"), ("name", "berg"), ("phone", "+33612345678")}


def test_a_customer_is_stored_whatever_its_metadata_hold(app: Flask) -> None:
    with world.merchant() as made:
        pass
    odd = ["[]", "null", '{"a": null}', '{"a": {"b": 1}, "c": [1], "d": 1.5, "e": true}', '{"a": "\\u0000", "b": "x"}']
    odd += ["no JSON"] if db.engine.dialect.name == "sqlite" else []
    insert_ = text(
        "INSERT INTO customers (id, account_id, created, balance, delinquent, next_invoice_sequence, preferred_locales, "
        "tax_exempt, livemode, name, metadata) VALUES (:id, :account, 1, 0, false, 1, '[]', 'none', false, :name, :metadata)"
    )
    for number, metadata in enumerate(odd):
        with db.engine.begin() as connection:
            values = {"id": f"cus_{number}", "name": f"cus_{number}", "account": made.account.id, "metadata": metadata}
            connection.execute(insert_, values)
        assert ("name", f"cus_{number}") in _terms(f"cus_{number}")
