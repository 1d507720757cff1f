"""A stored row that makes no sense is shown as such, and everything else as ever."""

import pytest
from flask import Flask
from sqlalchemy import text

from portal_site.billing.models import Invoice
from portal_site.db import db
from tests import world
from tests.client import PortalClient
from tests.conftest import enter
from tests.world import reading

BROKEN_SUBSCRIPTIONS = {
    "status": "UPDATE subscriptions SET status = 'frozen' WHERE id = :id",
    "document": "UPDATE subscriptions SET pending_update = '{\"invoice\": ' WHERE id = :id",
    "list": "UPDATE subscriptions SET default_tax_rates = '7' WHERE id = :id",
    "member": 'UPDATE subscriptions SET default_tax_rates = \'[{"id": "txr"}]\' WHERE id = :id',
    "interval": "UPDATE prices SET interval = 'fortnight' WHERE id IN"
    " (SELECT price_id FROM subscription_items WHERE subscription_id = :id)",
    "amount": "UPDATE prices SET unit_amount = 'a lot' WHERE id IN"
    " (SELECT price_id FROM subscription_items WHERE subscription_id = :id)",
}


def _execute(statement: str, **values: str) -> None:
    db.session.remove()
    with db.engine.begin() as connection:
        connection.execution_options(unscoped="the test breaks a row").execute(text(statement), values)


@pytest.fixture
def shop(lite_app: Flask) -> world.Shop:
    """A customer with two subscriptions."""
    lite_app.config["PROPAGATE_EXCEPTIONS"] = False
    yield world.shop()  # type: ignore[misc]
    lite_app.config["PROPAGATE_EXCEPTIONS"] = True


@pytest.mark.parametrize("broken", BROKEN_SUBSCRIPTIONS)
def test_a_subscription_that_makes_no_sense_is_told_beside_the_others(
    lite_app: Flask, shop: world.Shop, broken: str
) -> None:
    bad, good = shop.subscription.id, world.second_subscription(shop).id
    client: PortalClient = enter(lite_app, shop.customer)
    _execute(BROKEN_SUBSCRIPTIONS[broken], id=bad)
    for address in ("/", "/subscriptions", "/subscriptions/list"):
        page = client.get(address)
        assert page.status_code == 200
        assert f"The subscription {bad} cannot be shown at the moment." in page.text
        assert f"/subscriptions/{good}" in page.text
        assert f"/subscriptions/{bad}" not in page.text
    for address in ("/payment-methods", "/invoices", "/billing-information"):
        assert client.get(address).status_code == 200
    assert client.get(f"/subscriptions/{good}").status_code == 200
    alone = client.get(f"/subscriptions/{bad}")
    assert alone.status_code == 409
    assert "This cannot be shown at the moment" in alone.text


@pytest.mark.parametrize(
    "broken",
    ["UPDATE invoices SET status = 'torn' WHERE id = :id", "UPDATE invoices SET customer_address = '{' WHERE id = :id"],
)
def test_an_invoice_that_makes_no_sense_is_told_beside_the_others(
    lite_app: Flask, shop: world.Shop, broken: str
) -> None:
    with reading() as reader:
        invoice_id, number = reader.execute(Invoice.__table__.select()).mappings().one()["id"], "torn one"
    client = enter(lite_app, shop.customer)
    _execute(broken, id=invoice_id)
    _execute("UPDATE invoices SET number = :number", number=number)
    for address in ("/", "/invoices", "/invoices/rows"):
        page = client.get(address)
        assert page.status_code == 200
        assert ("The invoice torn one cannot be shown at the moment." in page.text) == ("status" in broken)
    assert client.get(f"/invoices/{invoice_id}").status_code == 409
