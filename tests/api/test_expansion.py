"""`expand[]`: members come as whole objects, in one select for all of them, and only those of the account."""

import gzip
import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal_site.billing.models import Customer, Subscription, TestClock
from tests import world
from tests.api.calls import SESSIONS, Program, error
from tests.api.test_portal_sessions import NO_FACTS, RECORDED, SCHEMAS
from tests.conftest import Recorder

DEFAULT = "invoice_settings.default_payment_method"
EVERYTHING = (
    DEFAULT, "subscriptions", "tax_ids", "test_clock", "address", "discount.source.coupon", "discount.promotion_code",
)  # fmt: skip


def _paths(*names: str) -> dict[str, str]:
    return {f"expand[{number}]": name for number, name in enumerate(names)}


def _customer(program: Program, customer_id: str, *names: str) -> Any:
    answer = program.get(f"/v1/customers/{customer_id}", _paths(*names))
    assert answer.status_code == 200, answer.text
    return answer.json


def _buyers(count: int) -> tuple[str, list[str]]:
    """An account, and customers of it with a clock, a card, a tax id, a discount, and a subscription of two items."""
    with world.merchant() as made:
        clock = TestClock(id="clock_x", account_id=made.account.id, created=1, frozen_time=world.START)
        made.session.add(clock)
        prices = [made.price(made.product(name), 1000, "eur") for name in ("Team", "Extra")]
        coupon = made.coupon("Friends", percent_off="33.33")
        code = made.promotion_code("FRIENDS", coupon)
        ids = []
        for number in range(count):
            buyer = made.customer(f"Buyer {number}", "buyer@acme.example", "one of many", test_clock_id="clock_x")
            made.method(buyer, world.VISA)
            made.tax_id(buyer, "eu_vat", f"ATU1234567{number % 10}")
            made.subscription(buyer, [(price, 2) for price in prices], started=20)
            made.session.flush()
            discount = world.Discount(
                id=f"di_{number}", account_id=made.account.id, customer_id=buyer.id, coupon_id=coupon.id, start=1,
                promotion_code_id=code.id,
            )  # fmt: skip
            made.session.add(discount)
            ids.append(buyer.id)
    return made.account.id, ids


@pytest.fixture
def buyer(app: Flask) -> tuple[Program, str]:
    """A program, and the one customer of its account."""
    account, [customer_id] = _buyers(1)
    return Program(app, account), customer_id


def test_references_become_objects_and_lists_appear(buyer: tuple[Program, str]) -> None:
    program, customer_id = buyer
    plain, whole = _customer(program, customer_id), _customer(program, customer_id, *EVERYTHING)
    assert "subscriptions" not in plain
    assert "tax_ids" not in plain
    method = whole["invoice_settings"]["default_payment_method"]
    assert (method["object"], method["id"]) == ("payment_method", plain["invoice_settings"]["default_payment_method"])
    assert (method["card"]["last4"], method["customer"]) == ("4242", customer_id)
    assert (whole["test_clock"]["object"], whole["test_clock"]["id"]) == (
        "test_helpers.test_clock",
        plain["test_clock"],
    )
    assert whole["discount"]["source"]["coupon"]["percent_off"] == 33.33
    assert whole["discount"]["promotion_code"]["code"] == "FRIENDS"
    for name, kind in (("subscriptions", "subscription"), ("tax_ids", "tax_id")):
        listed = whole[name]
        assert (listed["object"], listed["has_more"]) == ("list", False)
        assert listed["url"] == f"/v1/customers/{customer_id}/{name}"
        assert [(one["object"], one["customer"]) for one in listed["data"]] == [(kind, customer_id)]
    [subscription] = whole["subscriptions"]["data"]
    assert [item["price"]["unit_amount_decimal"] for item in subscription["items"]["data"]] == ["1000", "1000"]
    changed = {"subscriptions", "tax_ids", "test_clock", "discount", "invoice_settings"}
    assert {name for name in whole if whole[name] != plain.get(name)} == changed


def test_objects_inside_of_objects_are_expanded_up_to_four_levels(buyer: tuple[Program, str]) -> None:
    program, customer_id = buyer
    below = ("subscriptions.data.customer", "subscriptions.data.default_payment_method", f"{DEFAULT}.customer")
    whole = _customer(program, customer_id, *below)
    assert whole["subscriptions"]["data"][0]["customer"]["name"] == "Buyer 0"
    assert whole["subscriptions"]["data"][0]["default_payment_method"] is None
    assert whole["invoice_settings"]["default_payment_method"]["customer"]["id"] == customer_id
    listed = program.get("/v1/customers", _paths("data", "data.subscriptions.data.customer")).json["data"]  # type: ignore[index]
    assert listed[0]["subscriptions"]["data"][0]["customer"]["object"] == "customer"
    found = program.get("/v1/customers/search", {"query": "created>0", **_paths("total_count", f"data.{DEFAULT}")}).json
    assert (found["total_count"], found["data"][0]["invoice_settings"]["default_payment_method"]["object"]) == (  # type: ignore[index]
        1, "payment_method",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("/v1/customers/{}", "foo", "This property cannot be expanded (foo)."),
        ("/v1/customers/{}", "email", "This property cannot be expanded (email)."),
        ("/v1/customers/{}", "data.subscriptions", "This property cannot be expanded (data.subscriptions)."),
        ("/v1/customers/{}", "subscriptions.customer", "This property cannot be expanded (subscriptions.customer)."),
        ("/v1/customers/{}", "total_count", "This property cannot be expanded (total_count)."),
        ("/v1/customers/{}", "", "This property cannot be expanded ()."),
        ("/v1/customers/{}", "tax_ids..data", "This property cannot be expanded (tax_ids..data)."),
        ("/v1/customers/{}", "a" * 9000, f"This property cannot be expanded ({'a' * 500})."),
        (
            "/v1/customers",
            "subscriptions",
            "This property cannot be expanded (subscriptions). You may want to try expanding 'data.subscriptions' instead.",
        ),
        ("/v1/customers", "data.subscriptions.foo", "This property cannot be expanded (data.subscriptions.foo)."),
        ("/v1/customers", "total_count", "You may want to try expanding 'data.total_count' instead."),
        ("/v1/customers", "data.subscriptions.data.customer.test_clock", "You cannot expand more than 4 levels"),
        ("/v1/customers/{}", "subscriptions.data.customer.test_clock.x", "You cannot expand more than 4 levels"),
    ],
)
def test_what_cannot_be_expanded_is_refused_by_name(lite_app: Flask, path: str, name: str, words: str) -> None:
    scene = world.scene()
    refused = error(Program(lite_app, scene.account_id).get(path.format(scene.customer.id), _paths(name)))
    assert (refused[0], refused[2], refused[3]) == (400, None, None)
    assert words in refused[1]


def test_a_page_of_many_takes_as_many_selects_as_a_page_of_one(app: Flask, recorder: Recorder) -> None:
    names = [f"data.{name}" for name in EVERYTHING] + ["data.subscriptions.data.customer"]
    counts, shown = [], []
    for count in (1, 12):
        account, _ids = _buyers_again(count)
        program = Program(app, account)
        recorder.statements.clear()
        data = program.get("/v1/customers", {"limit": "100", **_paths(*names)}).json["data"]  # type: ignore[index]
        counts.append(sum(statement.lstrip().startswith("SELECT") for statement in recorder.statements))
        shown.append(sum(len(one["subscriptions"]["data"]) for one in data))
    assert shown == [1, 12]
    assert counts[0] == counts[1]
    assert counts[0] <= 16


def _buyers_again(count: int) -> tuple[str, list[str]]:
    with world.transaction() as session:
        for table in (world.Discount, TestClock):
            session.execute(
                table.__table__.delete(), execution_options={"unscoped": "ids that the test gives are free again"}
            )
    return _buyers(count)


def test_a_list_inside_an_object_shows_ten(app: Flask) -> None:
    with world.merchant() as made:
        price = made.price(made.product("Team"), 1000, "eur")
        few, many = (made.customer(name, "x@acme.example", "several") for name in ("Few", "Many"))
        wanted = [made.subscription(many, [(price, 1)], started=days).id for days in range(11, 0, -1)]
        ended = made.subscription(many, [(price, 1)], started=1, status="canceled")
        other = made.subscription(few, [(price, 1)], started=40)
    program = Program(app, made.account.id)
    listed = program.get("/v1/customers", _paths("data.subscriptions")).json["data"]  # type: ignore[index]
    by_name = {one["name"]: one["subscriptions"] for one in listed}
    assert ([one["id"] for one in by_name["Few"]["data"]], by_name["Few"]["has_more"]) == ([other.id], False)
    shown = [one["id"] for one in by_name["Many"]["data"]]
    assert (len(shown), by_name["Many"]["has_more"]) == (10, True)
    assert set(shown) < set(wanted)
    assert ended.id not in shown
    created = [one["created"] for one in by_name["Many"]["data"]]
    assert created == sorted(created, reverse=True)


@pytest.mark.case("A6")
def test_nothing_of_another_account_is_shown_whatever_an_id_says(app: Flask) -> None:
    scene, other = world.scene(), world.scene("Other")
    with world.transaction() as session:
        mine = Customer.account_id == scene.account_id, Customer.id == scene.customer.id
        session.execute(update(Customer).where(*mine).values(default_payment_method_id=other.method.id))
        mine_too = Subscription.customer_id == scene.customer.id
        session.execute(update(Subscription).where(mine_too).values(latest_invoice_id="in_none"))
    names = (DEFAULT, "subscriptions.data.latest_invoice")
    whole = _customer(Program(app, scene.account_id), scene.customer.id, *names)
    assert whole["invoice_settings"]["default_payment_method"] == other.method.id
    assert whole["subscriptions"]["data"][0]["latest_invoice"] == "in_none"


def test_a_session_has_its_customer_and_configuration(app: Flask) -> None:
    scene = world.scene()
    data = {"customer": scene.customer.id, **_paths("customer.tax_ids", "configuration", "flow")}
    made = Program(app, scene.account_id).post(SESSIONS, data).json
    assert made["customer"]["name"] == "Hedda Berg"  # type: ignore[index]
    assert made["customer"]["tax_ids"]["data"] == []  # type: ignore[index]
    assert made["configuration"]["object"] == "billing_portal.configuration"  # type: ignore[index]


@pytest.mark.case("B1")
def test_a_restricted_key_sees_no_more_by_expanding(lite_app: Flask) -> None:
    scene = world.scene()
    program = Program(lite_app, scene.account_id, customer_portal="write")
    data = {"customer": scene.customer.id}
    assert program.post(SESSIONS, {**data, **_paths("configuration")}).status_code == 200
    status, words, _code, _param = error(program.post(SESSIONS, {**data, **_paths("customer")}))
    assert (status, "customers=read" in words) == (403, True)
    both = Program(lite_app, scene.account_id, customer_portal="write", customers="read")
    assert both.post(SESSIONS, {**data, **_paths("customer")}).status_code == 200


def test_a_deleted_customer_has_nothing_to_expand(lite_app: Flask) -> None:
    scene = world.scene()
    with world.transaction() as session:
        mine = Customer.account_id == scene.account_id, Customer.id == scene.customer.id
        session.execute(update(Customer).where(*mine).values(deleted_at=1))
    assert _customer(Program(lite_app, scene.account_id), scene.customer.id, *EVERYTHING) == {
        "id": scene.customer.id, "object": "customer", "deleted": True,
    }  # fmt: skip


@NO_FACTS
def test_what_is_expanded_has_the_members_that_clients_know(lite_app: Flask) -> None:
    account, [customer_id] = _buyers(1)
    whole = _customer(Program(lite_app, account), customer_id, *EVERYTHING)
    recorded = json.loads(RECORDED.read_text())
    schemas = json.loads(gzip.decompress(SCHEMAS.read_bytes()))["components"]["schemas"]
    price = whole["subscriptions"]["data"][0]["items"]["data"][0]["price"]
    discount = whole["discount"]
    assert set(recorded["price"]["always"]) == set(price)
    assert set(recorded["coupon"]["always"]) == set(discount["source"]["coupon"])
    for name, found in (("promotion_code", discount["promotion_code"]), ("tax_id", whole["tax_ids"]["data"][0])):
        assert set(found) <= set(schemas[name]["properties"])
