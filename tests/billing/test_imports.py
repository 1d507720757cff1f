"""Imports: all of a file or nothing, repeatable, and every refusal names the object."""

import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import (
    Account,
    Customer,
    Invoice,
    InvoiceLineItem,
    PortalConfiguration,
    Product,
    Subscription,
    SubscriptionItem,
)
from portal_site.db import Base
from tests import world
from tests.client import text
from tests.conftest import SHARED, enter
from tests.world import reading

NOW = 1_790_000_000
CUSTOMER = {"id": "cus_one", "object": "customer", "created": NOW, "email": "one@acme.example", "livemode": False}
PRODUCT = {"id": "prod_one", "object": "product", "name": "Team", "created": NOW, "livemode": False}
PRICE = {
    "id": "price_one", "object": "price", "product": "prod_one", "currency": "eur", "unit_amount": 1200, "type": "recurring",
    "created": NOW, "livemode": False, "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
}  # fmt: skip


def _take(document: Any, **options: Any) -> ImportReport:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    account_id = options.pop("account_id", None)
    return importer.import_objects(text, NOW, account_id, options=Options(strict=True, **options))


def _rows() -> int:
    with reading() as connection:
        return sum(connection.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables)


def test_an_export_is_imported(app: Flask) -> None:
    report = _take({"customer": [CUSTOMER], "product": {"object": "list", "data": [PRODUCT]}, "price": [PRICE]})
    assert report.added == {"customers": 1, "products": 1, "prices": 1}
    with reading() as connection:
        assert connection.scalar(select(Customer.email)) == "one@acme.example"
        assert connection.scalar(select(PortalConfiguration.is_default)) is True


def test_a_products_marketing_features_are_imported_in_their_order(app: Flask) -> None:
    features = [{"name": "5 projects"}, {"name": "Support within a day"}]
    _take({"product": [{**PRODUCT, "marketing_features": features}, {**PRODUCT, "id": "prod_two"}], "price": [PRICE]})
    with reading() as connection:
        imported = dict(connection.execute(select(Product.id, Product.marketing_features)).all())
    assert imported == {"prod_one": features, "prod_two": []}


def test_a_second_run_changes_nothing(app: Flask) -> None:
    document = {"customer": [CUSTOMER], "product": [PRODUCT], "price": [PRICE]}
    _take(document)
    before = _rows()
    report = _take(document)
    assert (report.added, report.present) == ({}, 3)
    assert _rows() == before


def _subscription(name: str, period_end: int, status: str = "active") -> dict[str, Any]:
    period = {"current_period_start": period_end - 30 * 86400, "current_period_end": period_end}
    item = {"id": f"si_{name}", "object": "subscription_item", "price": PRICE, "quantity": 1, "created": NOW, **period}
    return {
        "id": f"sub_{name}", "object": "subscription", "customer": "cus_one", "status": status, "created": NOW - 86400,
        "currency": "eur", "billing_cycle_anchor": period["current_period_start"], "start_date": NOW - 86400,
        "collection_method": "charge_automatically", "livemode": False, "items": {"object": "list", "data": [item]},
    }  # fmt: skip


def test_subscriptions_are_billed_here_only_when_asked_and_never_for_the_past(app: Flask) -> None:
    document = {
        "customer": [CUSTOMER], "product": [PRODUCT], "price": [PRICE],
        "subscription": [
            _subscription("runs", NOW + 86400), _subscription("stale", NOW - 86400), _subscription("over", NOW, "canceled")
        ],
    }  # fmt: skip
    mine = select(Subscription.id, Subscription.due_at).order_by(Subscription.id)
    _take(document)
    with reading() as connection:
        assert {due for _, due in connection.execute(mine)} == {None}
    report = _take(document, renew=True)
    assert (report.renewed, report.stale) == (1, 1)
    assert "1 subscriptions are renewed here" in report.sentence()
    with reading() as connection:
        assert dict(connection.execute(mine).all()) == {"sub_over": None, "sub_runs": NOW + 86400, "sub_stale": None}  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [True, False])
def test_what_comes_without_a_quantity_is_one_piece_but_for_what_is_metered(app: Flask, at_once: bool) -> None:
    usage = {**PRICE, "id": "price_usage", "recurring": {**PRICE["recurring"], "usage_type": "metered"}}
    subscription = _subscription("runs", NOW + 86400)
    first = subscription["items"]["data"][0]
    del first["quantity"]
    subscription["items"]["data"].append({**first, "id": "si_usage", "price": "price_usage"})
    sold = {"product": [PRODUCT], "price": [PRICE, usage]}
    bought = {"customer": [CUSTOMER], "subscription": [subscription]}
    for document in ({**sold, **bought},) if at_once else (sold, bought):
        _take(document)
    with reading() as connection:
        found = connection.execute(select(SubscriptionItem.price_id, SubscriptionItem.quantity)).all()
    assert {name: count for name, count in found} == {"price_one": 1, "price_usage": None}  # noqa: C416


def test_unknown_members_and_types_are_counted(app: Flask) -> None:
    report = _take({"customer": [{**CUSTOMER, "shoe_size": 44}], "shoe": [{}, {}]})
    assert (report.unknown_members, report.unknown_objects) == (1, 2)
    assert "2 objects of other types were left out" in report.sentence()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"customer": "\\ud800"}', "not JSON"),
        (b"[]", "list of objects for each type"),
        ({"customer": 3}, "“customer” is not a list"),
        ({"customer": [3]}, "customer number 1"),
        ({"customer": [{"email": "x"}]}, "customer number 1: id"),
        ({"customer": [{**CUSTOMER, "created": "yesterday"}]}, "customer cus_one: created"),
        ({"customer": [{**CUSTOMER, "balance": 2**63}]}, "customer cus_one: balance"),
        ({"customer": [{**CUSTOMER, "name": "a\0b"}]}, "NUL character"),
        ({"customer": [CUSTOMER, CUSTOMER]}, "cus_one is in the file 2 times"),
        ({"price": [PRICE]}, "price_one refers to product prod_one"),
        ({"product": [{**PRODUCT, "livemode": True}], "price": [PRICE]}, "of the other mode"),
        ({"price": [{**PRICE, "currency": "EURO"}], "product": [PRODUCT]}, "price price_one: currency"),
        ({"customer": [{**CUSTOMER, "name": "x" * 6000}]}, "customer cus_one: name"),
        ({"account": [{"id": "acct_1"}, {"id": "acct_2"}]}, "several accounts"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_by_name_and_nothing_is_kept(app: Flask, document: Any, said: str) -> None:
    with pytest.raises(ImportRefused) as error:
        _take(document)
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert _rows() == 0


def test_an_id_of_another_account_is_refused(app: Flask) -> None:
    with world.merchant("Acme") as acme, world_customer(acme):
        pass
    with world.merchant("Other") as other:
        account_id = other.account.id
    before = _rows()
    with pytest.raises(ImportRefused, match="cus_one belongs to another account"):
        _take({"customer": [CUSTOMER]}, account_id=account_id)
    assert _rows() == before


def world_customer(merchant: world.Merchant) -> Any:
    merchant.session.add(
        Customer(account_id=merchant.account.id, **{k: CUSTOMER[k] for k in ("id", "created", "email")})
    )
    return merchant.session.no_autoflush


def test_the_account_has_to_be_named_where_there_are_several(app: Flask) -> None:
    with world.merchant("Acme") as acme:
        account_id = acme.account.id
    with world.merchant("Other"):
        pass
    with pytest.raises(ImportRefused, match="name one with --account"):
        _take({"customer": [CUSTOMER]})
    with pytest.raises(ImportRefused, match="no account acct_none"):
        _take({"customer": [CUSTOMER]}, account_id="acct_none")
    assert _take({"customer": [CUSTOMER]}, account_id=account_id).added == {"customers": 1}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    member=st.sampled_from(sorted({*CUSTOMER, *PRICE} - {"object"})),
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
)
def test_no_member_however_wrong_is_more_than_a_sentence(lite_app: Flask, member: str, value: Any) -> None:
    document = {"customer": [{**CUSTOMER, member: value}], "price": [{**PRICE, member: value}], "product": [PRODUCT]}
    try:
        _take(document, dry_run=True)
    except ImportRefused as refused:
        assert len(str(refused).splitlines()) == 1


# --- the recorded export ------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(app: Flask) -> dict[str, Any]:
    """A real export, taken over twice."""
    path = SHARED / "recorded-export.json"
    if not path.exists():
        pytest.skip("the recorded export is not here")
    _take(path.read_bytes())
    _take(path.read_bytes())
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def test_the_recorded_export_is_taken_over_exactly(app: Flask, recorded: dict[str, Any]) -> None:
    with reading() as connection:
        for model, kind in ((Customer, "customer"), (Subscription, "subscription"), (Invoice, "invoice")):
            ids = {row[0] for row in connection.execute(select(model.id))}
            assert ids == {thing["id"] for thing in recorded[kind]["data"]}
        totals = dict(connection.execute(select(Invoice.id, Invoice.total)).all())
        lines = dict(connection.execute(select(InvoiceLineItem.id, InvoiceLineItem.amount)).all())
        assert connection.scalar(select(func.count()).select_from(Account)) == 1
    assert totals == {invoice["id"]: invoice["total"] for invoice in recorded["invoice"]["data"]}
    for invoice in recorded["invoice"]["data"]:
        assert {line["id"]: lines[line["id"]] for line in invoice["lines"]["data"]} == {
            line["id"]: line["amount"] for line in invoice["lines"]["data"]
        }


def test_the_recorded_customers_portal_shows_its_plan_and_proration(app: Flask, recorded: dict[str, Any]) -> None:
    client = enter(app, "cus_TOnR0Lf2celqmf")
    page = text(client.get("/").text)
    assert "per year" in page
    mine = [i for i in recorded["invoice"]["data"] if i["customer"] == "cus_TOnR0Lf2celqmf"]
    assert mine
    prorations = 0
    for invoice in mine:
        shown = text(client.get(f"/invoices/{invoice['id']}").text)
        for line in invoice["lines"]["data"]:
            assert " ".join(line["description"].split()) in shown
            prorations += "nused time" in line["description"] or "emaining time" in line["description"]
    assert prorations == 2
