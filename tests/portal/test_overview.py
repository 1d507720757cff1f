"""The overview: all sections, urgent ones first, and only those that the configuration allows."""

import pytest
import time_machine
from flask import Flask

from portal_site.billing.rules.portal.portal_features import (
    CustomerUpdate,
    Features,
    InvoiceHistory,
    PaymentMethodUpdate,
)
from tests import world
from tests.client import text
from tests.conftest import Recorder, Visit, enter


@pytest.mark.both_databases
def test_the_overview(visit: Visit) -> None:
    page = text(visit(world.scene().customer).get("/").text)
    assert "Team" in page
    assert "2 seats · €12.00 each per month" in page
    assert "Visa" in page
    assert "1 rue de la Paix" in page
    assert page.index("Payment methods") < page.index("Billing information") < page.index("Invoice history")


@pytest.mark.both_databases
def test_an_open_invoice_stands_first_with_its_button(visit: Visit) -> None:
    html = visit(world.scene(last="open").customer).get("/").text
    page = text(html)
    assert page.index("is unpaid") < page.index("Payment overdue")
    assert "Pay €24.00" in page


def test_what_is_switched_off_is_not_there(visit: Visit) -> None:
    features = Features(
        customer_update=CustomerUpdate(enabled=False),
        payment_method_update=PaymentMethodUpdate(enabled=False),
        invoice_history=InvoiceHistory(enabled=False),
    )
    page = text(visit(world.scene(features=features).customer).get("/").text)
    assert "Team" in page
    for gone in ("Billing information", "Invoice history", "Add a payment method"):
        assert gone not in page


def test_a_customer_with_nothing_yet_is_not_at_a_dead_end(visit: Visit) -> None:
    with world.merchant() as made:
        customer = made.customer("New", "new@acme.example", "nothing yet")
    page = text(visit(customer).get("/").text)
    assert "You have no subscription with Acme at the moment." in page
    assert "Add a payment method" in page


@pytest.mark.case("D22")
@pytest.mark.parametrize("many", [1, 50])
@pytest.mark.both_databases
def test_statements_stay_few_however_much_there_is(visit: Visit, recorder: Recorder, many: int) -> None:
    with world.merchant() as made:
        product = made.product("Team")
        price = made.price(product, 1200, "eur", "day")
        customer = made.customer("Much", "much@acme.example", "many")
        for _ in range(many):
            subscription = made.subscription(customer, [(price, 1), (price, 2)], started=many * 4)
        made.history(customer, subscription, [(product, price, 1)], most=many * 4)
    client = visit(customer)
    recorder.statements.clear()
    assert client.get("/").status_code == 200
    trips = [s for s in recorder.statements if not s.startswith(("BEGIN", "ROLLBACK"))]
    postgresql = "json_agg" in " ".join(trips)
    assert 2 <= len(trips) <= (3 if postgresql else 7), "\n".join(trips)


@pytest.mark.parametrize(
    ("unit", "balance", "words"),
    [
        (1000, -300, "€3.00 of your credit has already been deducted."),
        (30, 0, "€0.30 is too small to charge and will be added to a later invoice."),
        (1000, 30, "This includes €0.30 carried over from an earlier invoice."),
    ],
)
def test_the_next_invoice_says_what_the_balance_does(lite_app: Flask, unit: int, balance: int, words: str) -> None:
    shop = world.shop(customer={"balance": balance})
    with world.transaction() as session:
        price = session.get(world.Price, shop.prices["team"].id)
        assert price
        price.unit_amount = unit
    with time_machine.travel(world.HALF, tick=False):
        shown = text(enter(lite_app, shop.customer).get("/").text)
    assert words in shown
    assert shown.count("of your credit") == (balance < 0)
