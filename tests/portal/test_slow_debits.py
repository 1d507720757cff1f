"""A debit that the bank carries out for days, on the pages: what is said at each stage, and that nobody pays twice meanwhile."""

from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.billing_run import runner
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.proofs.play import BACK
from tests.world import reading

FRAGMENT = {"HX-Request": "true"}
PROCESSING = "Your bank is processing the payment of €24.00 for invoice"
HALF = time_machine.travel(world.HALF, tick=False)


def _paying(app: Flask) -> tuple[PortalClient, world.Scene, str]:
    """A customer who has just clicked to pay an invoice of €24.00 by debit."""
    scene = world.scene(last="open", card=world.SLOW)
    with reading() as reader:
        invoice = str(reader.scalar(select(Invoice.id).where(Invoice.status == "open")))
    client = enter(app, scene.customer)
    address = f"/invoices/{invoice}/payment"
    assert client.send(address, client.form(address)).location == f"/invoices/{invoice}"
    return client, scene, invoice


def _charge() -> str:
    with reading() as reader:
        return str(reader.scalar(select(SandboxCharge.reference)))


def test_every_page_says_that_the_bank_is_at_work(app: Flask) -> None:
    client, scene, invoice = _paying(app)
    places = ("/", f"/invoices/{invoice}", f"/subscriptions/{scene.subscription.id}")
    for place in places:
        page = text(client.get(place).text)
        assert PROCESSING in page
        assert "This can take up to 14 days." in page
        assert "Pay €24.00" not in page
        assert "Unpaid" not in page
    for history in ("/invoices", "/invoices?status=unpaid", "/invoices?q=24.00"):
        assert "Processing" in text(client.get(history).text)
    assert client.get("/subscriptions/list", headers=FRAGMENT).status_code == 200
    assert client.get(f"/invoices/{invoice}/payment").location == f"/invoices/{invoice}"
    # A form that was open in another tab finds the payment that is under way, and makes no second one.
    form = {"amount": "2400", "payment_method": scene.method.id}
    assert client.send(f"/invoices/{invoice}/payment", form).location == f"/invoices/{invoice}"
    with reading() as reader:
        assert len(reader.execute(select(SandboxCharge.reference)).all()) == 1


@pytest.mark.parametrize(("answer", "said"), [("complete", "Paid"), ("fail", "because of insufficient funds")])
def test_the_bank_answers_on_its_page_and_the_customer_sees_what_came_of_it(app: Flask, answer: str, said: str) -> None:
    client, scene, invoice = _paying(app)
    bank = f"/sandbox/charges/{_charge()}/challenge"
    assert "€24.00" in client.get(bank).text
    assert client.send(bank, {"answer": answer}).status_code == 303
    client.get(f"/invoices/{invoice}/payment/return")
    page = text(client.get(f"/invoices/{invoice}").text)
    assert said in page
    assert PROCESSING not in page
    failed = answer == "fail"
    for place in ("/", f"/subscriptions/{scene.subscription.id}", f"/invoices/{invoice}"):
        shown = text(client.get(place).text)
        assert ("because of insufficient funds" in shown) == failed
        assert ("Use another payment method" in shown) == failed
        assert ("Pay €24.00" in shown) == failed


@HALF
def test_a_change_says_that_it_waits_for_the_bank(app: Flask) -> None:
    shop = world.shop(card=world.SLOW)
    client = enter(app, shop.customer)
    place = f"/subscriptions/{shop.subscription.id}"
    client.send(f"{place}/plan-change", _three_seats(client, shop))
    page = text(client.get(place).text)
    assert "Your bank is processing the payment of €10.00 for your change." in page
    assert "Until then, your plan stays as it is." in page
    for gone in ("Pay €10.00", "Undo this change", "Change plan"):
        assert gone not in page
    with world.transaction() as session:
        answer = {"status": "declined", "decline_code": "insufficient_funds"}
        everybody = {"unscoped": "the test's only charge"}
        session.execute(update(SandboxCharge).values(**answer), execution_options=everybody)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(app.extensions["gateways"], world.HALF + 6 * 3600, lambda _id: BACK)
    page = text(client.get(place).text)
    for said in ("because of insufficient funds", "Pay €10.00", "Undo this change", "You can pay until April 17"):
        assert said in page


def _three_seats(client: PortalClient, shop: world.Shop) -> dict[str, Any]:
    wanted = {f"price-{shop.item_id}": shop.prices["team"].id, f"quantity-{shop.item_id}": "3"}
    page = client.get(f"/subscriptions/{shop.subscription.id}/plan-change", query_string=wanted).text
    return {"quote": page.partition('name="quote" value="')[2].partition('"')[0]}


@pytest.mark.case("F3")
def test_a_renewal_that_was_declined_overnight_says_why(app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        runner.run(app.extensions["gateways"], world.END, lambda _id: BACK)
    with time_machine.travel(world.END + 8 * 3600, tick=False):
        client = enter(app, shop.customer)
        for place in ("/", f"/subscriptions/{shop.subscription.id}"):
            page = text(client.get(place).text)
            assert "Your bank declined the payment. Nothing was charged." in page
            assert "Use another payment method" in page
            assert "Pay €10.00" in page
