"""Payment methods: entered on the provider's page only, the default, and the rules for removal."""

import logging
import re

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Customer, Event, PaymentMethod, SetupIntent, Subscription
from portal_site.db import Base
from portal_site.db.transactions import transaction
from tests import world
from tests.client import PortalClient, text
from tests.conftest import Visit, enter
from tests.world import reading

GOOD = {"kind": "card", "number": "4242 4242 4242 4242", "expiry": "12/34", "cvc": "123"}


def _go_to_provider(client: PortalClient) -> str:
    client.get("/payment-methods")
    response = client.send("/payment-methods")
    assert response.status_code == 303
    return response.location.removeprefix("http://localhost")


def _leave(client: PortalClient, **typed: str) -> "object":
    address = _go_to_provider(client)
    assert "SANDBOX" in client.get(address).text
    return client.send(address, {**GOOD, **typed})


def _come_back(client: PortalClient, response: "object") -> str:
    back = client.get(response.location)  # type: ignore[attr-defined]
    assert back.location == "/payment-methods"
    return text(client.get("/payment-methods").text)


def _count(model: type[Base]) -> int:
    with reading() as connection:
        return len(connection.execute(select(model.id)).all())


@pytest.mark.both_databases
def test_adding_a_payment_method(visit: Visit) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    page = _come_back(client, _leave(client, number="5555555555554444"))
    assert "Payment method ending in 4444 was added and is now your default." in page
    assert "Mastercard •••• ending in 4444" in page
    with reading() as connection:
        default = connection.scalar(select(Customer.default_payment_method_id).where(Customer.id == scene.customer.id))
        added = connection.execute(select(PaymentMethod.__table__).where(PaymentMethod.last4 == "4444")).one()
        events = set(connection.scalars(select(Event.type)))
    assert default == added.id
    assert events == {"payment_method.attached", "customer.updated"}


@pytest.mark.parametrize(
    "to", ["ours", "https://evil.example/", "//evil.example", "/nowhere", "/sandbox/x", "x" * 2000]
)
def test_adding_a_card_returns_to_the_interrupted_page(visit: Visit, to: str) -> None:
    shop = world.shop(card=None)
    client = visit(shop.customer)
    there = f"/subscriptions/{shop.subscription.id}/plan-change?price-{shop.item_id}={shop.prices['solo'].id}"
    client.get("/payment-methods")
    gone = client.send("/payment-methods", {"to": there if to == "ours" else to})
    response = client.send(gone.location.removeprefix("http://localhost"), GOOD)
    back = client.get(response.location)
    assert back.location == (there if to == "ours" else "/payment-methods")


def test_a_bank_account_works(visit: Visit) -> None:
    client = visit(world.scene().customer)
    response = _leave(client, kind="iban", iban="DE89 3704 0044 0532 0130 00")
    assert "SEPA •••• ending in 3000" in _come_back(client, response)


def test_a_debit_shows_its_mandate_and_a_card_its_wallet(visit: Visit) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    page = _come_back(client, _leave(client, kind="iban", iban="DE89 3704 0044 0532 0130 00"))
    mandate = re.search(r"Mandate ([A-Z0-9]{16})", page)
    assert mandate
    assert "View mandate" not in page  # the sandbox has no page for it
    with transaction() as session:
        mine = PaymentMethod.customer_id == scene.customer.id
        shown = {"wallet": "apple_pay", "mandate_url": "https://hooks.stripe.com/mandate/1"}
        session.execute(update(PaymentMethod).where(mine, PaymentMethod.type == "sepa_debit").values(**shown))
    html = client.get("/payment-methods").text
    assert f"Apple Pay · Mandate {mandate[1]}" in text(html)
    assert 'href="https://hooks.stripe.com/mandate/1"' in html


@pytest.mark.both_databases
def test_coming_back_twice_adds_it_once(visit: Visit) -> None:
    client = visit(world.scene().customer)
    response = _leave(client)
    _come_back(client, response)
    _come_back(client, response)
    assert _count(PaymentMethod) == 2


def test_returning_without_a_payment_method(visit: Visit) -> None:
    client = visit(world.scene().customer)
    _go_to_provider(client)
    with reading() as connection:
        setup = connection.scalar(select(SetupIntent.id))
    client.get(f"/payment-methods/setups/{setup}")
    assert "No payment method was added." in text(client.get("/payment-methods").text)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"number": "4000000000000002"}, "Your card was declined"),
        ({"number": "4000000000009995"}, "insufficient funds"),
        ({"number": "4000000000000069"}, "has expired"),
        ({"number": "4000000000000127"}, "security code is incorrect"),
        ({"number": "4111111111111111"}, "takes only the test numbers"),
        ({"number": ""}, "takes only the test numbers"),
        ({"number": "x" * 100_000}, "takes only the test numbers"),
        ({"expiry": "13/34"}, "Enter a month and a year"),
        ({"expiry": "01/20"}, "Enter a month and a year"),
        ({"expiry": ""}, "Enter a month and a year"),
        ({"cvc": ""}, "three or four digits"),
        ({"cvc": "١٢٣"}, "three or four digits"),
        ({"kind": "iban", "iban": "DE00"}, "takes only the test numbers"),
        ({"kind": "nonsense", "number": "DE89370400440532013000"}, "takes only the test numbers"),
    ],
)
def test_a_card_refused_by_the_provider_is_not_added(visit: Visit, typed: dict[str, str], said: str) -> None:
    client = visit(world.scene().customer)
    response = _leave(client, **typed)
    assert response.status_code == 422  # type: ignore[attr-defined]
    assert said in text(response.text)  # type: ignore[attr-defined]
    typed_back = re.findall(r'<input[^>]*value="([^"]*)"', response.text)  # type: ignore[attr-defined]
    assert not any("4242" in value for value in typed_back)
    assert _count(PaymentMethod) == 1


@pytest.mark.parametrize(("answer", "methods"), [("complete", 2), ("fail", 1)])
def test_authentication_is_asked_for_on_the_banks_page(visit: Visit, answer: str, methods: int) -> None:
    client = visit(world.scene().customer)
    response = _leave(client, number="4000002500003155")
    challenge = response.location  # type: ignore[attr-defined]
    assert challenge.endswith("/challenge")
    assert "Is it you?" in client.get(challenge).text
    _come_back(client, client.send(challenge, {"answer": answer}))
    assert _count(PaymentMethod) == methods


@pytest.mark.both_databases
def test_no_card_number_is_stored_or_logged(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    client = enter(app, world.scene().customer)
    with caplog.at_level(logging.DEBUG):
        _come_back(client, _leave(client))
        _leave(client, number="4000 0000 0000 0002")
    number = re.compile(r"4242[ -]?4242[ -]?4242|4000[ -]?0000[ -]?0000")
    assert not number.search(caplog.text)
    with reading() as connection:
        for table in Base.metadata.sorted_tables:
            assert not number.search(str(connection.execute(select(table)).all()))


def test_no_page_of_ours_has_a_field_for_card_data(visit: Visit) -> None:
    client = visit(world.scene(last="open").customer)
    for address in ("/", "/payment-methods", "/billing-information/edit", "/invoices"):
        assert not re.search(r"cc-number|cc-csc|cardnumber|name=\"(number|cvc|expiry)\"", client.get(address).text)


@pytest.mark.case("B5")
def test_pages_do_not_tell_more_of_a_card_than_its_owner_needs(visit: Visit) -> None:
    client = visit(world.scene().customer)
    html = client.get("/payment-methods").text + client.get("/").text
    for secret in ("card-visa-4242", "sbxm_", "fingerprint"):
        assert secret not in html


@pytest.mark.both_databases
def test_another_one_can_be_made_the_default(visit: Visit) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    _come_back(client, _leave(client, number="5555555555554444"))
    response = client.send(f"/payment-methods/{scene.method.id}/default")
    assert response.location == "/payment-methods"
    page = text(client.get("/payment-methods").text)
    assert "Future payments will be charged to the payment method ending in 4242." in page
    assert page.index("4242") < page.index("Default") < page.index("4444")
    with reading() as connection:
        assert connection.scalar(select(Subscription.default_payment_method_id)) is None


def test_the_only_one_stays_while_a_subscription_needs_it(visit: Visit) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    page = client.get(f"/payment-methods/{scene.method.id}/removal")
    assert "Add another one before you remove this one." in text(page.text)
    assert "button-danger" not in page.text
    assert client.send(f"/payment-methods/{scene.method.id}/removal").status_code == 422
    assert "4242" in text(client.get("/payment-methods").text)


@pytest.mark.both_databases
def test_the_default_stays_until_another_is_chosen(visit: Visit) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    _come_back(client, _leave(client, number="5555555555554444"))
    with reading() as connection:
        new = connection.scalar(select(PaymentMethod.id).where(PaymentMethod.last4 == "4444"))
    refused = client.send(f"/payment-methods/{new}/removal")
    assert refused.status_code == 422
    assert "Make another one the default before you remove this one." in text(refused.text)
    assert client.send(f"/payment-methods/{scene.method.id}/removal").status_code == 303
    page = text(client.get("/payment-methods").text)
    assert "Payment method ending in 4242 was removed." in page
    assert "Visa" not in page
    assert client.send(f"/payment-methods/{scene.method.id}/removal").status_code == 404


@pytest.mark.both_databases
def test_without_a_subscription_the_last_one_may_go(visit: Visit) -> None:
    with world.merchant() as made:
        customer = made.customer("Free", "free@acme.example", "no subscription")
        method = made.method(customer, world.VISA)
    client = visit(customer)
    client.get("/")
    assert client.send(f"/payment-methods/{method.id}/removal").status_code == 303
    assert "No payment method yet." in text(client.get("/payment-methods").text)


def test_adding_one_offers_to_pay_what_is_open(visit: Visit) -> None:
    client = visit(world.scene(last="open").customer)
    page = _come_back(client, _leave(client))
    assert "You have an unpaid invoice. You can pay it with one of these." in page
    assert "Pay €24.00" in page


def test_in_live_mode_the_sandbox_takes_nothing(visit: Visit) -> None:
    with world.merchant() as made:
        made.configuration(world.EVERYTHING, livemode=True)
        customer = made.customer("Live", "live@acme.example", "real", livemode=True)
    client = visit(customer)
    client.get("/")
    assert client.send("/payment-methods").location == "/payment-methods"
    page = text(client.get("/payment-methods").text)
    assert "Payment methods cannot be added here right now." in page
    assert "Test mode" not in page
