"""The same accounts in the shape of every API version since 2013: a dry run and an import find the same amounts in each."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import (
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    Price,
    Subscription,
    SubscriptionItem,
)
from portal_site.db import Base
from portal_site.db.transactions import transaction
from tests.billing import exports
from tests.billing.api_versions import CHANGES, VERSIONS, Export, before
from tests.conftest import SHARED
from tests.world import reading

HERE = {"unscoped": "the test's only rows"}
NOW = exports.NOW
RATE = {**exports.RATE, "percentage": 20.0}
PRICE = {**exports.PRICE, "transform_quantity": None, "tax_behavior": "unspecified", "lookup_key": None}
# Seven seats at 12.00, half off by a coupon, 20 % tax, with a credit of 3.00: 84.00 − 42.00 + 8.40 − 3.00 = 47.40.
TAX = {**exports.TAX, "amount": 840, "taxable_amount": 4200}
COUPON = {**exports.COUPON, "id": "HALF", "percent_off": 50.0, "applies_to": None, "duration": "forever",
          "duration_in_months": None}  # fmt: skip
DISCOUNT = {"id": "di_one", "object": "discount", "start": NOW - 5 * exports.DAY, "end": None, "subscription": "sub_one",
            "customer": "cus_one", "promotion_code": None, "source": {"type": "coupon", "coupon": "HALF"}}  # fmt: skip
DETAILS = {"subscription": "sub_one", "subscription_item": "si_one", "proration": False, "proration_details": None}
LINE = {
    **exports.LINE, "amount": 8400, "discount_amounts": [{"amount": 4200, "discount": "di_one"}], "taxes": [TAX],
    "pricing": {"price_details": {"price": "price_one", "product": "prod_one"}, "unit_amount_decimal": "1200"},
    "parent": {"subscription_item_details": DETAILS, "type": "subscription_item_details"},
}  # fmt: skip
OWN: Export = {
    "product": [exports.PRODUCT],
    "price": [PRICE],
    "coupon": [COUPON],
    "customer": [{**exports.CUSTOMER, "discount": None}],
    "payment_method": [exports.METHOD],
    "subscription": [
        {**exports.SUBSCRIPTION, "discounts": [DISCOUNT], "default_tax_rates": [RATE], "default_payment_method": None,
         "items": {"object": "list", "data": [{**exports.ITEM, "price": PRICE, "tax_rates": []}]}}
    ],
    "invoice": [
        {**exports.INVOICE, "subtotal": 8400, "total": 5040, "total_excluding_tax": 4200, "amount_due": 4740,
         "amount_paid": 0, "amount_remaining": 4740, "starting_balance": -300, "total_taxes": [TAX],
         "total_discount_amounts": [{"amount": 4200, "discount": "di_one"}], "lines": {"object": "list", "data": [LINE]}}
    ],
}  # fmt: skip


def _recorded() -> Export:
    path = SHARED / "recorded-export.json"
    if not path.exists():
        pytest.skip("the recorded export is not here")
    return {kind: listed["data"] for kind, listed in json.loads(path.read_bytes()).items()}


def _take(export: Export, **options: bool) -> ImportReport:
    return importer.import_objects(json.dumps(export).encode(), NOW, options=Options(**options))


def _rows(*columns: Any) -> list[tuple[Any, ...]]:
    with reading() as connection:
        query = select(*columns).execution_options(**HERE)
        return sorted((tuple(row) for row in connection.execute(query)), key=repr)


def _amounts() -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is stored and decides or shows an amount. Ids are left out where old versions had none."""
    line, invoice = InvoiceLineItem, Invoice
    return {
        "customers": _rows(Customer.id, Customer.balance, Customer.email),
        "prices": _rows(Price.id, Price.unit_amount, Price.currency, Price.interval, Price.interval_count),
        "cards": _rows(PaymentMethod.customer_id, PaymentMethod.last4),
        "subscriptions": _rows(Subscription.customer_id, Subscription.status, Subscription.currency),
        "items": _rows(
            SubscriptionItem.price_id, SubscriptionItem.quantity, SubscriptionItem.current_period_start,
            SubscriptionItem.current_period_end,
        ),
        "discounts": _rows(Discount.customer_id, Discount.coupon_id, Discount.start, Discount.end),
        "invoices": _rows(
            invoice.id, invoice.status, invoice.created, invoice.subtotal, invoice.total, invoice.amount_due,
            invoice.amount_paid, invoice.amount_remaining,
        ),
        "lines": _rows(line.invoice_id, line.position, line.amount, line.price_id, line.quantity, line.proration),
    }  # fmt: skip


def _taxes_and_discounts() -> list[tuple[Any, ...]]:
    found = _rows(Invoice.id, Invoice.total_taxes, Invoice.total_discount_amounts)
    return [(name, [one["amount"] for one in taxes], [one["amount"] for one in off]) for name, taxes, off in found]


def _forget() -> None:
    with transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete(), execution_options=HERE)


@pytest.mark.parametrize("source", ["own", "recorded"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_amounts_of_every_version_are_the_same(lite_app: Flask, version: str, source: str) -> None:
    newest = OWN if source == "own" else _recorded()
    _take(newest)
    right, printed = _amounts(), _taxes_and_discounts()
    _forget()
    older = before(version, newest)
    told = _take(older, dry_run=True)
    assert _rows(Invoice.id) == []
    done = _take(older)
    assert told.added == done.added
    unwanted = ("left out", "missing", "cut short", "repeated", "conflict")
    assert [finding for finding in done.findings() if finding.result in unwanted] == []
    assert done.unknown_members == 0
    assert _amounts() == right
    assert _taxes_and_discounts() == printed


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_paid_for_is_the_subscriptions_in_every_version(lite_app: Flask, version: str) -> None:
    _take(before(version, OWN))
    [(name,)] = _rows(Subscription.id)
    assert _rows(Invoice.subscription_id) == _rows(InvoiceLineItem.subscription_id) == [(name,)]


def _files() -> list[Path]:
    return sorted((SHARED / "failing-imports").glob("*.json"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.stem)
def test_each_recorded_shape_keeps_its_amounts(lite_app: Flask, path: Path) -> None:
    """Of every invoice in a file that is not reported as left out, and of each of its lines."""
    document: Export = json.loads(path.read_bytes())
    told = importer.import_objects(path, NOW, options=Options(dry_run=True))
    done = importer.import_objects(path, NOW)
    assert (told.added, told.summary()) == (done.added, done.summary())
    left = {finding.id for finding in done.findings() if finding.result in ("left out", "cut short")}
    invoices = [one for one in document.get("invoice", ()) if one["id"] not in left]
    assert _rows(Invoice.id, Invoice.total) == sorted((one["id"], one["total"]) for one in invoices)
    lines = [(one["id"], line["amount"]) for one in invoices for line in one["lines"]["data"]]
    stored = _rows(InvoiceLineItem.invoice_id, InvoiceLineItem.amount)
    assert [line for line in stored if line[0] is not None] == sorted(lines)


def test_the_recorded_objects_are_all_there(lite_app: Flask) -> None:
    recorded = _recorded()
    _take(recorded)
    stored = _amounts()
    assert len(stored["prices"]) == len(recorded["price"])
    assert len(stored["cards"]) == len(recorded["payment_method"])
    assert [(row[0], row[4]) for row in stored["invoices"]] == sorted(
        (i["id"], i["total"]) for i in recorded["invoice"]
    )


def test_each_version_has_a_shape_of_its_own() -> None:
    shapes = {json.dumps(before(version, OWN), sort_keys=True) for version in VERSIONS}
    assert len(shapes) == len(CHANGES) + 1
