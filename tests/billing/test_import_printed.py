"""What imported invoices print: the merchant's address and tax ids, and the names of tax rates, wherever the files have them."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import Account, Invoice, InvoiceLineItem
from tests.billing.exports import CUSTOMER, EXPORT, GONE, INVOICE, LINE, NOW, RATE, TAX, Place, changed
from tests.world import reading

OWN = {"id": "txi_own", "object": "tax_id", "type": "eu_vat", "value": "DE123456789", "owner": {"type": "self"}}
PRINTED = {"type": "eu_vat", "value": "DE123456789"}
TVA = ("TVA", "20.0")
NO_RATES: list[tuple[Place, Any]] = [
    (("subscription", 0, "default_tax_rates"), []),
    (("subscription", 0, "items", "data", 0, "tax_rates"), []),
    (("subscription", 0, "items", "data", 1, "tax_rates"), []),
]


def _take(document: Any = EXPORT, **options: bool) -> ImportReport:
    return importer.import_objects(json.dumps(document).encode(), NOW, options=Options(**options))


def _one(column: Any) -> Any:
    with reading() as connection:
        return connection.execute(select(column)).scalar_one()


def _names() -> list[tuple[str | None, str | None]]:
    """Name and percentage of the taxes of the invoice, and then of its line."""
    return [
        (tax.get("display_name"), tax.get("percentage"))
        for column in (Invoice.total_taxes, InvoiceLineItem.taxes)
        for tax in _one(column)
    ]


def _without_rates(*changes: tuple[Place, Any]) -> dict[str, Any]:
    return changed([*NO_RATES, *changes])


def test_rates_are_named_by_the_subscription_on_invoice_and_lines(lite_app: Flask) -> None:
    _take()
    assert _names() == [TVA, TVA]


def test_rates_are_named_by_an_item_alone(lite_app: Flask) -> None:
    _take(_without_rates((("subscription", 0, "items", "data", 1, "tax_rates"), [RATE])))
    assert _names() == [TVA, TVA]


def test_rates_are_named_by_their_own_objects(lite_app: Flask) -> None:
    _take(_without_rates() | {"tax_rate": [RATE]})
    assert _names() == [TVA, TVA]


@pytest.mark.parametrize("place", [("default_tax_rates",), ("lines", "data", 0, "tax_rates")])
def test_rates_are_named_by_the_invoice_itself(lite_app: Flask, place: Place) -> None:
    _take(_without_rates((("invoice", 0, *place), [RATE])))
    assert _names() == [TVA, TVA]


@pytest.mark.parametrize("rate", ["txr_one", {**RATE, "percentage": "much"}, {**RATE, "id": ["txr_one"]}])
def test_a_rate_that_is_not_as_the_api_has_it_names_nothing(lite_app: Flask, rate: Any) -> None:
    report = _take(_without_rates((("invoice", 0, "default_tax_rates"), [rate])))
    assert report.added["invoices"] == 1
    assert _names() == [(None, None)] * 2


def test_rates_are_known_in_later_batches(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "BATCH", 1)
    second = {**CUSTOMER, "id": "cus_two", "email": "two@acme.example", "discount": None, "invoice_settings": {}}
    line = {**LINE, "id": "il_two", "parent": None, "discount_amounts": []}
    invoice = {**INVOICE, "id": "in_two", "customer": "cus_two", "number": "TWO-0001", "parent": None,
               "lines": {"object": "list", "data": [line]}}  # fmt: skip
    _take({**EXPORT, "customer": [CUSTOMER, second], "invoice": [INVOICE, invoice]})
    with reading() as connection:
        taxes = {row[0]: row[1] for row in connection.execute(select(Invoice.id, Invoice.total_taxes))}
    assert {name: tax[0]["display_name"] for name, tax in taxes.items()} == {"in_one": "TVA", "in_two": "TVA"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["txi_own"], [PRINTED]),
        ([{**OWN, "value": "DE999999999", "id": "txi_old"}], [{"type": "eu_vat", "value": "DE999999999"}]),
        ([{"id": "txi_own", "object": "tax_id", "deleted": True}], [PRINTED]),
        (["txi_own", "txi_gone"], None),
        ([], None),
        (None, None),
    ],
)
def test_an_invoice_has_the_tax_ids_that_it_names(lite_app: Flask, given: Any, named: Any) -> None:
    _take(changed([(("tax_id",), [*EXPORT["tax_id"], OWN]), (("invoice", 0, "account_tax_ids"), given)]))
    assert _one(Invoice.account_tax_ids) == named


@pytest.mark.parametrize(
    ("owner", "is_own"),
    [({"type": "account", "account": "acct_one"}, True), ({"type": "account", "account": "acct_other"}, False),
     ({"type": "application", "application": "ca_1"}, False), (GONE, True)],
)  # fmt: skip
def test_tax_ids_of_others_are_not_the_accounts(lite_app: Flask, owner: Any, is_own: bool) -> None:
    document = changed(
        [
            (("tax_id",), [*EXPORT["tax_id"], OWN]),
            (("tax_id", 1, "owner"), owner),
            (("invoice", 0, "on_behalf_of"), "acct_other"),
        ]
    )
    _take(document)
    with reading() as connection:
        tax_ids = connection.execute(select(Account.tax_ids).where(Account.id == "acct_one")).scalar_one()
    assert tax_ids == ([PRINTED] if is_own else [])


def test_a_tax_id_that_is_wrong_is_named_once(lite_app: Flask) -> None:
    report = _take({**EXPORT, "tax_id": [{**OWN, "value": 5}]})
    assert [finding.id for finding in report.findings()] == ["txi_own"]


def test_a_further_import_adds_tax_ids_without_doubles(app: Flask) -> None:
    second = {**OWN, "id": "txi_two", "type": "ch_vat", "value": "CHE123456789MWST"}
    _take()
    assert _one(Account.tax_ids) == []
    for dry_run, count in ((True, 0), (False, 2), (False, 2)):
        _take({**EXPORT, "tax_id": [*EXPORT["tax_id"], OWN, second]}, dry_run=dry_run)
        assert [tax_id["value"] for tax_id in _one(Account.tax_ids)] == ["DE123456789", "CHE123456789MWST"][:count]


def test_a_draft_that_was_finalized_there_prints_what_it_has_there(app: Flask) -> None:
    draft: list[tuple[Place, Any]] = [
        (("invoice", 0, "status"), "draft"), (("invoice", 0, "number"), None), (("invoice", 0, "total_taxes"), []),
        (("invoice", 0, "lines", "data", 0, "taxes"), []),
    ]  # fmt: skip
    _take(changed(draft))
    assert (_one(Invoice.account_tax_ids), _one(Invoice.total_taxes)) == (None, [])
    final: list[tuple[Place, Any]] = [
        (("invoice", 0, "account_tax_ids"), ["txi_own"]),
        (("invoice", 0, "customer_tax_exempt"), "none"),
        (("tax_id",), [*EXPORT["tax_id"], OWN]),
    ]
    assert _take(changed(final)).updated["invoices"] == 1
    assert (_one(Invoice.account_tax_ids), _one(Invoice.customer_tax_exempt)) == ([PRINTED], "none")
    assert _names() == [TVA, TVA]
    assert _one(Invoice.total_taxes)[0]["amount"] == TAX["amount"]
    assert _take(changed(final)).updated == {}


STREET = {
    "line1": "1 High Street",
    "line2": None,
    "city": "Leeds",
    "state": None,
    "postal_code": "LS1 1AA",
    "country": "GB",
}
OFFICE = {**STREET, "line1": "2 Low Street"}


@pytest.mark.parametrize(
    ("account", "address"),
    [
        ({"business_profile": {"name": "Acme", "support_address": STREET}, "company": {"address": OFFICE}}, STREET),
        ({"business_profile": {"name": "Acme"}, "company": {"address": OFFICE, "name": "Acme Ltd"}}, OFFICE),
        ({"business_profile": {"support_address": {"country": "GB"}}, "company": {"address": OFFICE}}, OFFICE),
        ({"business_profile": {"support_address": None}, "company": None}, None),
        ({"individual": {"address": STREET}}, None),
    ],
)
def test_the_address_is_what_customers_are_told_and_nobodys_home(
    lite_app: Flask, account: dict[str, Any], address: Any
) -> None:
    _take({**EXPORT, "account": [{"id": "acct_one", "object": "account", "created": 1, "country": "GB", **account}]})
    assert _one(Account.address) == address


def test_a_further_import_adds_the_address_where_there_is_none(lite_app: Flask) -> None:
    account = {"id": "acct_one", "object": "account", "created": 1}
    for profile, address in (({}, None), ({"support_address": STREET}, STREET), ({"support_address": OFFICE}, STREET)):
        _take({**EXPORT, "account": [{**account, "business_profile": profile}]})
        assert _one(Account.address) == address
