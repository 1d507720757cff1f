"""What an invoice has to say of tax: each rate by its name, why there is none, and the numbers of both parties."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.importing import importer
from portal_site.billing.invoicing import drafts
from portal_site.billing.models import Account, Customer, Invoice, TaxId
from tests import world
from tests.billing.exports import EXPORT, changed
from tests.client import text
from tests.conftest import enter
from tests.scenarios.history import History
from tests.world import reading

VAT = {"id": "txr_vat", "display_name": "VAT", "percentage": "20", "inclusive": False}
CITY = {"id": "txr_city", "display_name": "City tax", "percentage": "1.5", "inclusive": True}
DIRECTIVE = "(Directive 2006/112/EC, article 226 (11a))"
REVERSE = f"Reverse charge: the recipient accounts for the VAT {DIRECTIVE}."


def _newest() -> str:
    with reading() as reader:
        order = Invoice.created.desc(), Invoice.id.desc()
        return str(reader.scalar(select(Invoice.id).where(Invoice.number.is_not(None)).order_by(*order).limit(1)))


def _page(app: Flask, customer: Any, invoice: str) -> str:
    return text(enter(app, customer).get(f"/invoices/{invoice}").text)


def _set_customer(history: History, **members: Any) -> None:
    with world.transaction() as session:
        mine = Customer.id == history.shop.customer.id, Customer.account_id == history.shop.customer.account_id
        session.execute(update(Customer).where(*mine).values(**members))


def _set_seller_tax_ids(history: History, *numbers: str) -> None:
    with world.transaction() as session:
        own = [{"type": "eu_vat", "value": number} for number in numbers]
        session.execute(update(Account).where(Account.id == history.shop.customer.account_id).values(tax_ids=own))


def _renewal(app: Flask, history: History, date: str) -> str:
    history.advance_to(date)
    return _page(app, history.shop.customer, _newest())


@pytest.mark.both_databases
def test_each_rate_has_its_name_and_percentage(app: Flask) -> None:
    history = History.start(app, tax=[VAT, CITY])
    page = _renewal(app, history, "2026-05-01")
    assert "Tax VAT 20% €1.97" in page
    assert "Included tax City tax 1.5% €0.15" in page
    assert "Reverse charge" not in page


@pytest.mark.both_databases
@pytest.mark.parametrize("how", ["renewal", "change", "draft"])
def test_a_reverse_charge_is_that_of_the_invoices_day(app: Flask, how: str) -> None:
    history = History.start(
        app, tax=[VAT], customer={"tax_exempt": "reverse"}, policy={"proration_behavior": "always_invoice"}
    )
    _set_seller_tax_ids(history, "DE123456789")
    if how == "draft":
        history.set_members(pause_collection={"behavior": "keep_as_draft", "resumes_at": None})
    if how == "change":
        history.advance_to("2026-04-16")
        history.change_plan("team", 3)
    else:
        history.advance_to("2026-05-01")
    if how == "draft":
        _set_customer(history, tax_exempt="none")  # the amounts are those of the draft, and so is why there is no tax
        with reading() as reader:
            draft = str(reader.scalar(select(Invoice.id).where(Invoice.status == "draft")))
        drafts.finalize(draft, clock.now())
    invoice = _newest()
    _set_customer(history, tax_exempt="none")
    _set_seller_tax_ids(history, "DE999999999")
    page = _page(app, history.shop.customer, invoice)
    assert REVERSE in page
    assert "DE123456789" in page
    assert "DE999999999" not in page
    if how != "draft":
        page = _renewal(app, history, "2026-06-01")
        assert "Reverse charge" not in page
        assert "DE999999999" in page


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (None, REVERSE), ({"country": "GR"}, REVERSE), ({"country": "fr"}, REVERSE),
        ({"country": "AU"}, "Reverse charge: the recipient accounts for the tax."),
    ],
)  # fmt: skip
def test_the_directive_is_named_where_it_is_in_force(app: Flask, address: Any, said: str) -> None:
    history = History.start(app, customer={"tax_exempt": "reverse", "address": address})
    assert said in _renewal(app, history, "2026-05-01")


def test_an_exemption_is_said_too(app: Flask) -> None:
    history = History.start(app, tax=[VAT], customer={"tax_exempt": "exempt"})
    assert "Tax exempt: no tax is charged to the recipient." in _renewal(app, history, "2026-05-01")


@pytest.mark.both_databases
def test_an_invoice_of_before_has_the_numbers_of_today(app: Flask) -> None:
    history = History.start(app)
    history.advance_to("2026-05-01")
    with world.transaction() as session:
        mine = Invoice.customer_id == history.shop.customer.id
        session.execute(update(Invoice).where(mine).values(account_tax_ids=None, customer_tax_exempt=None))
    _set_seller_tax_ids(history, "DE123456789", "ATU12345678")
    page = _page(app, history.shop.customer, _newest())
    assert "Acme DE123456789 ATU12345678" in page
    assert "Reverse charge" not in page


# --- imported invoices ----------------------------------------------------------------------------------------------------

OWN = [
    {"id": "txi_own", "object": "tax_id", "type": "eu_vat", "value": "DE123456789", "owner": {"type": "self"}},
    {"id": "txi_two", "object": "tax_id", "type": "ch_vat", "value": "CHE123456789MWST", "customer": None},
    {"id": "txi_app", "object": "tax_id", "type": "eu_vat", "value": "DE000000000", "owner": {"type": "application"}},
]


def _import(document: dict[str, Any]) -> None:
    for customer in document.get("customer", ()):
        customer["preferred_locales"] = []
    importer.import_objects(json.dumps(document).encode(), clock.now(), None)


def _own_numbers() -> list[str]:
    with reading() as reader:
        return [tax_id["value"] for tax_id in reader.scalar(select(Account.tax_ids)) or []]


def test_an_imported_invoice_says_the_same(lite_app: Flask) -> None:
    _import(
        changed(
            [
                (("invoice", 0, "customer_tax_exempt"), "reverse"), (("invoice", 0, "account_tax_ids"), ["txi_two"]),
                (("invoice", 0, "total_taxes"), []), (("tax_id",), [*EXPORT["tax_id"], *OWN]),
            ]
        )
    )  # fmt: skip
    page = _page(lite_app, "cus_one", "in_one")
    assert REVERSE in page
    assert "Acme CHE123456789MWST To" in page
    assert _own_numbers() == ["DE123456789", "CHE123456789MWST"]


def test_its_rates_have_the_names_that_the_subscription_has(lite_app: Flask) -> None:
    _import(changed([]))
    assert "Tax TVA 20% €0.84" in _page(lite_app, "cus_one", "in_one")


def test_a_rate_that_nobody_knows_has_no_name(lite_app: Flask) -> None:
    _import(changed([(("invoice", 0, "total_taxes", 0, "tax_rate_details", "tax_rate"), "txr_gone")]))
    assert "Tax €0.84" in _page(lite_app, "cus_one", "in_one")


def test_an_account_may_have_its_own_numbers_and_keeps_them(lite_app: Flask) -> None:
    given = [{"type": "eu_vat", "value": "DE123456789"}] * 2
    document = changed([(("account", 0, "tax_ids"), given)])
    _import(document)
    _import(document)
    _import(changed([(("tax_id",), OWN)]))
    assert _own_numbers() == ["DE123456789", "CHE123456789MWST"]


@pytest.mark.case("D17")
def test_a_customers_new_country_and_number_take_no_tax_away(app: Flask) -> None:
    """Whether a number is right, and what follows from it, is for the merchant to say: neither is decided by a form."""
    history = History.start(app, tax=[VAT], customer={"address": {"country": "FR", "city": "Lyon"}})
    history.advance_to("2026-04-16")
    client = enter(app, history.shop.customer)
    client.get("/tax-ids/new")
    assert client.send("/tax-ids", {"type": "eu_vat", "value": "DE 345 678 901"}).status_code == 303
    form = client.form("/billing-information/edit") | {
        "address_country": "DE", "address_line1": "Torstr. 1", "address_city": "Berlin", "address_postal_code": "10119",
    }  # fmt: skip
    client.send("/billing-information/country", form)
    assert client.send("/billing-information/edit", form).status_code == 303
    quote = history.quote("team", 2)
    assert [tax.amount > 0 for line in quote.invoice.lines if line.amount > 0 for tax in line.taxes] == [True]
    page = _renewal(app, history, "2026-05-01")
    assert "Tax VAT 20% €2.00" in page
    assert "Reverse charge" not in page
    assert "DE345678901" in page
    with reading() as reader:
        owned = TaxId.customer_id == history.shop.customer.id
        assert reader.scalar(select(TaxId.verification_status).where(owned)) == "pending"
        assert reader.scalar(select(Customer.address).where(Customer.id == history.shop.customer.id))["country"] == "DE"
