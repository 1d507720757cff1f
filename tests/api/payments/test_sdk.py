"""Stripe's own SDK for Python, unchanged, against a running server: a customer's card is saved, and pays."""

import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from flask import Flask

from tests import world
from tests.api.calls import Program
from tests.api.payments.merchants import answer, browser
from tests.web.processes import README
from tests.web.test_server import running

CARD = {"number": "4242424242424242", "expiry": "12/39", "cvc": "123"}


@pytest.fixture
def client(lite_app: Flask, sqlite_app: Flask) -> Iterator[Any]:
    """The SDK's client of a new merchant's program."""
    with world.merchant() as made:
        account_id = made.account.id
    token = Program(lite_app, account_id).token
    with running(sqlite_app) as (_host, port):
        yield stripe.StripeClient(token, base_addresses={"api": f"http://127.0.0.1:{port}"}).v1


@pytest.mark.case("E12")
def test_a_card_is_saved_on_the_page_and_pays(lite_app: Flask, client: Any) -> None:
    customer = client.customers.create({"name": "Ada", "email": "ada@acme.example", "metadata": {"a": "1"}})
    session = client.checkout.sessions.create(
        {
            "mode": "setup", "customer": customer.id, "currency": "eur", "cancel_url": "https://shop.example/back",
            "success_url": "https://shop.example/done?id={CHECKOUT_SESSION_ID}",
        }
    )  # fmt: skip
    there = answer(browser(lite_app), session.url, kind="card", **CARD)
    assert there.headers["Refresh"].endswith(f"/done?id={session.id}")
    done = client.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent.payment_method"]})
    method = done.setup_intent.payment_method
    assert (done.status, done.setup_intent.status, method.card.last4) == ("complete", "succeeded", "4242")
    intent = client.payment_intents.create({"amount": 2000, "currency": "eur", "customer": customer.id})
    paid = client.payment_intents.confirm(
        intent.id, {"payment_method": method.id, "off_session": True, "expand": ["latest_charge"]}
    )
    assert (paid.status, paid.latest_charge.amount) == ("succeeded", 2000)
    part = client.refunds.create({"payment_intent": intent.id, "amount": 500})
    whole = client.refunds.create({"charge": paid.latest_charge.id})
    assert [one.id for one in client.refunds.list({"payment_intent": intent.id, "limit": 1}).auto_paging_iter()] == [
        whole.id, part.id,
    ]  # fmt: skip
    with pytest.raises(stripe.InvalidRequestError) as over:
        client.refunds.create({"charge": paid.latest_charge.id})
    assert over.value.error.code == "charge_already_refunded"
    with pytest.raises(stripe.InvalidRequestError) as done_already:
        client.payment_intents.cancel(intent.id)
    assert done_already.value.error.payment_intent.status == "succeeded"
    assert client.payment_methods.detach(method.id).customer is None
    assert client.customers.delete(customer.id).deleted


@pytest.mark.case("E12")
def test_declines_and_authentication_are_what_the_sdk_knows(lite_app: Flask, client: Any) -> None:
    customer = client.customers.create({"payment_method": "pm_card_chargeCustomerFail"})
    [fails] = client.customers.payment_methods.list(customer.id).data
    payment = {"amount": 2000, "currency": "eur", "customer": customer.id, "confirm": True}
    key = {"idempotency_key": "mine"}
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            client.payment_intents.create({**payment, "payment_method": fails.id}, key)
    error = declined.value.error
    assert (declined.value.http_status, error.code, error.decline_code) == (402, "card_declined", "generic_decline")
    assert error.payment_intent.last_payment_error.payment_method.id == fails.id
    assert len(client.charges.list({"customer": customer.id}).data) == 1
    asks = client.payment_methods.attach("pm_card_threeDSecure2Required", {"customer": customer.id})
    with pytest.raises(stripe.CardError) as absent:
        client.payment_intents.create({**payment, "payment_method": asks.id, "off_session": True})
    name = absent.value.error.payment_intent.id
    assert absent.value.error.code == "authentication_required"
    asked = client.payment_intents.confirm(name, {"payment_method": asks.id, "return_url": "https://shop.example/"})
    answer(browser(lite_app), asked.next_action.redirect_to_url.url, answer="complete")
    assert client.payment_intents.retrieve(name).status == "succeeded"


def test_a_card_is_saved_by_the_program(client: Any) -> None:
    customer = client.customers.create({"name": "Ada"})
    made = client.setup_intents.create(
        {"customer": customer.id, "usage": "off_session", "automatic_payment_methods": {"enabled": True}}
    )
    done = client.setup_intents.confirm(made.id, {"payment_method": "pm_card_mastercard"})
    assert done.status == "succeeded"
    client.customers.update(customer.id, {"invoice_settings": {"default_payment_method": done.payment_method}})
    expanded = client.customers.retrieve(customer.id, {"expand": ["invoice_settings.default_payment_method"]})
    assert expanded.invoice_settings.default_payment_method.card.brand == "mastercard"
    with pytest.raises(stripe.CardError) as declined:
        client.payment_methods.attach("pm_card_visa_chargeDeclined", {"customer": customer.id})
    assert declined.value.code == "card_declined"
    assert client.balance.retrieve().available[0].amount == 0
    assert client.accounts.retrieve_current().charges_enabled


def test_the_readmes_lines_work(lite_app: Flask, sqlite_app: Flask) -> None:
    with world.merchant() as made:
        account_id = made.account.id
    token = Program(lite_app, account_id).token
    part = README.partition("## Payments of your own program")[2]
    block = next(block for block in part.split("\n\n") if block.startswith("    "))
    before, _, after = textwrap.dedent(block).replace("sk_test_…", token).partition("# session.url is")
    known: dict[str, Any] = {"stripe": stripe}
    with running(sqlite_app) as (_host, port):
        exec(before.replace("https://billing.example.com", f"http://127.0.0.1:{port}"), known)
        answer(browser(lite_app), known["session"].url, kind="card", **CARD)
        exec(after.partition("\n")[2], known)
        [paid] = known["client"].payment_intents.list().data
    assert (paid.status, paid.amount_received) == ("succeeded", 2000)
