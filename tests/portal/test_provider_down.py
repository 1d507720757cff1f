"""A payment provider that does not answer: pages do not ask it, and what needs it says so and can be done again."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Invoice, PaymentAttempt, PaymentMethod
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.test_access import ROUTES, own_things
from tests.world import reading

PAGES = [endpoint for endpoint, route in ROUTES.items() if route.method == "GET" and 200 in route.ok]


class Silent:
    """A provider that has been asked in vain so many times."""

    name = "sandbox"

    def __init__(self) -> None:
        self.asked: list[str] = []

    # Any: it stands for each call of the protocol.
    def __getattr__(self, call: str) -> Any:
        def fail(*_given: Any) -> NoReturn:
            self.asked.append(call)
            raise GatewayUnavailable("api.bank.example said nothing to sk_live_secret")

        return fail


@pytest.fixture
def silence(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Silent]:
    """A function after which no provider answers any more."""

    def fall_silent() -> Silent:
        provider = Silent()
        gateways: Any = Gateways(provider)  # type: ignore[arg-type]
        monkeypatch.setitem(lite_app.extensions, "gateways", gateways)
        return provider

    return fall_silent


@pytest.mark.case("F3")
@pytest.mark.parametrize("endpoint", PAGES)
def test_no_page_asks_a_payment_provider(lite_app: Flask, silence: Callable[[], Silent], endpoint: str) -> None:
    scene = world.scene(last="open")
    things = own_things(lite_app, scene)
    provider = silence()
    with enter(lite_app, scene.customer).get(ROUTES[endpoint].address.format_map(things)) as page:
        assert page.status_code in ROUTES[endpoint].ok
        assert page.data
    assert provider.asked == []


@pytest.mark.case("F3")
def test_what_needs_the_provider_says_so_and_writes_off_nothing(
    lite_app: Flask, silence: Callable[[], Silent], caplog: pytest.LogCaptureFixture
) -> None:
    scene = world.scene(last="open")
    mine = Invoice.customer_id == scene.customer.id, Invoice.status == "open"
    with reading() as reader:
        invoice, amount = reader.execute(select(Invoice.id, Invoice.amount_remaining).where(*mine)).one()
    client = enter(lite_app, scene.customer)
    client.get("/payment-methods")
    silence()
    refused = client.send("/payment-methods")
    assert (refused.status_code, refused.location) == (303, "/payment-methods")
    page = text(client.get(refused.location).text)
    assert "Our payment provider does not answer at the moment. Nothing was changed." in page
    assert "api.bank.example" not in page
    assert "sk_live_secret" not in page
    assert "api.bank.example" in caplog.text  # whoever runs it learns why
    client.get(f"/invoices/{invoice}/payment")
    form = {"amount": str(amount), "payment_method": scene.method.id}
    assert client.send(f"/invoices/{invoice}/payment", form).status_code == 303
    assert "We are checking a payment for this invoice" in text(client.get(f"/invoices/{invoice}").text)
    with reading() as reader:
        owned = PaymentAttempt.customer_id == scene.customer.id
        assert (
            reader.scalar(select(PaymentAttempt.status).where(owned, PaymentAttempt.invoice_id == invoice)) == "unknown"
        )
        assert reader.scalar(select(Invoice.status).where(*mine)) == "open"


@pytest.mark.case("F3")
def test_a_method_is_removed_though_the_provider_does_not_hear_of_it(
    lite_app: Flask, silence: Callable[[], Silent], caplog: pytest.LogCaptureFixture
) -> None:
    scene = world.scene()
    with world.transaction() as session:
        mine = PaymentMethod.customer_id == scene.customer.id
        values = {"id": "pm_other", "gateway_reference": "their_1", "type": "card", "last4": "4444", "created": 1}
        owner = {"account_id": scene.customer.account_id, "customer_id": scene.customer.id}
        session.add(PaymentMethod(**values, **owner, brand="mastercard", exp_month=1, exp_year=2040))
    client = enter(lite_app, scene.customer)
    client.get("/payment-methods/pm_other/removal")
    provider = silence()
    assert client.send("/payment-methods/pm_other/removal").status_code == 303
    assert provider.asked == ["forget"]
    assert "4444" in (page := text(client.get("/payment-methods").text))  # the sentence that it was removed
    assert "does not answer" not in page
    assert client.get("/payment-methods/pm_other/removal").status_code == 404
    assert "pm_other is removed here, and may still be stored at sandbox" in caplog.text
    with reading() as reader:
        assert reader.scalar(select(PaymentMethod.detached_at).where(mine, PaymentMethod.id == "pm_other")) is not None
