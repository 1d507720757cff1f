"""The API is Stripe enough that a portal can have another one as its payment provider."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from portal_site.billing.gateways import ChargeRequest, CustomerDetails, RefundRequest
from portal_site.billing.gateways.stripe import client as clients
from portal_site.billing.gateways.stripe import rights
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from tests import world
from tests.api.calls import Program
from tests.api.payments.merchants import answer, browser
from tests.web.test_server import running

AT = 1_800_000_000
CARD = {"kind": "card", "expiry": "12/39", "cvc": "123"}
ASKS, FAILS = "4000002760003184", "4000000000000341"


@pytest.fixture
def token(lite_app: Flask) -> str:
    """The key of a merchant's program."""
    with world.merchant() as made:
        account_id = made.account.id
    return Program(lite_app, account_id).token


@pytest.fixture
def gateway(sqlite_app: Flask, token: str) -> Iterator[StripeGateway]:
    """The gateway that a portal has for Stripe, with this program's API in its place."""
    with running(sqlite_app) as (_host, port):
        yield StripeGateway(clients.client(token, None, f"http://127.0.0.1:{port}"), False, "eur", lambda _words: None)


def _saved(app: Flask, gateway: StripeGateway, customer: str, number: str) -> str:
    setup = gateway.begin_setup(customer, False, "https://shop.example/back?setup=seti_mine")
    answer(browser(app), setup.url, **CARD, number=number)
    found = gateway.find_setup(setup.reference)
    assert found is not None
    assert found.details is not None
    assert found.details.last4 == number[-4:]
    return found.details.reference


def _request(method: str, customer: str, key: str, **more: object) -> ChargeRequest:
    return ChargeRequest(
        payment_method=method, amount=2000, currency="eur", idempotency_key=key, created=AT,
        return_url="https://shop.example/paid", customer=customer, metadata={"attempt": key}, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_card_is_saved_charged_refunded_and_forgotten(lite_app: Flask, gateway: StripeGateway) -> None:
    customer = gateway.create_customer(CustomerDetails("cus_mine", False, "Ada", "ada@acme.example"), "customer")
    assert (
        gateway.create_customer(CustomerDetails("cus_mine", False, "Ada", "ada@acme.example"), "customer") == customer
    )
    method = _saved(lite_app, gateway, customer, "4242424242424242")
    request = _request(method, customer, "one", off_session=True)
    first, again = gateway.charge(request), gateway.charge(request)
    assert (first.status, again) == ("succeeded", first)
    assert gateway.find_charge(replace(request, reference=first.reference), AT) == first
    refund = RefundRequest(first.reference, 500, "refund", AT)
    assert gateway.refund(refund, AT) == gateway.refund(refund, AT)
    assert gateway.refund(RefundRequest(first.reference, 1501, "more", AT), AT).status == "failed"
    details = gateway.find_method(method)
    assert details is not None
    assert details.brand == "visa"
    gateway.forget(method)
    assert gateway.find_method(method) is None
    assert gateway.charge(_request(method, customer, "two")).status == "declined"


def test_declines_and_authentication(lite_app: Flask, gateway: StripeGateway) -> None:
    customer = gateway.create_customer(CustomerDetails("cus_mine", False), "customer")
    declined = gateway.charge(_request(_saved(lite_app, gateway, customer, FAILS), customer, "one", off_session=True))
    assert (declined.status, declined.decline_code) == ("declined", "generic_decline")
    method = _saved(lite_app, gateway, customer, ASKS)
    away = gateway.charge(_request(method, customer, "two", off_session=True))
    assert (away.status, away.next_action_url) == ("requires_action", None)
    here = gateway.charge(_request(method, customer, "two", reference=away.reference))
    assert (here.status, here.reference) == ("requires_action", away.reference)
    there = answer(browser(lite_app), here.next_action_url or "", answer="complete")
    assert there.headers["Refresh"].startswith("0; url=https://shop.example/paid?payment_intent=")
    found = gateway.find_charge(_request(method, customer, "two", reference=away.reference), AT)
    assert found is not None
    assert found.status == "succeeded"
    left = gateway.charge(_request(method, customer, "three", off_session=True))
    canceled = gateway.cancel_charge(_request(method, customer, "three", reference=left.reference))
    assert canceled is not None
    assert (canceled.status, canceled.decline_code) == ("declined", "authentication_not_handled")


def test_a_slow_debit_is_processing(lite_app: Flask, gateway: StripeGateway) -> None:
    customer = gateway.create_customer(CustomerDetails("cus_mine", False), "customer")
    setup = gateway.begin_setup(customer, False, "https://shop.example/back")
    answer(browser(lite_app), setup.url, kind="iban", iban=world.SLOW)
    found = gateway.find_setup(setup.reference)
    assert found is not None
    assert found.details is not None
    request = _request(found.details.reference, customer, "one", off_session=True, type="sepa_debit")
    assert gateway.charge(request).status == "processing"


def test_a_key_has_the_rights_that_a_connection_asks_for(lite_app: Flask, gateway: StripeGateway, token: str) -> None:
    class Client:
        v1 = gateway._stripe

    assert rights.missing(Client) == ()
    assert gateway._stripe.accounts.retrieve_current().id.startswith("acct_")  # type: ignore[attr-defined]
