"""What a payment provider is told and asked beside charges: our customers under its own names, methods left there, refunds."""

from dataclasses import dataclass, field

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.customers import payment_methods
from portal_site.billing.gateways import (
    Charge,
    ChargeRequest,
    CustomerDetails,
    PaymentDetails,
    RefundRequest,
    SetupSession,
)
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.sandbox.models import SandboxRefund
from portal_site.billing.models import Invoice, PaymentMethod, ProviderCustomer
from portal_site.billing.payments import collection
from tests import world
from tests.proofs.test_races import together
from tests.world import reading

AT = 1_790_000_000
BACK = "http://127.0.0.1:8000/back"


@dataclass
class Provider:
    """A provider with customers of its own, at which every visit leaves a card."""

    name: str = "stub"
    customers: list[CustomerDetails] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    setups: list[str] = field(default_factory=list)
    requests: list[ChargeRequest] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def create_customer(self, customer: CustomerDetails, idempotency_key: str) -> str:
        self.customers.append(customer)
        self.keys.append(idempotency_key)
        return f"cus_at_{self.name}"

    def begin_setup(self, customer: str, livemode: bool, return_url: str) -> SetupSession:
        self.setups.append(customer)
        return SetupSession(f"setup_{len(self.setups)}", "https://provider.example/setup")

    def find_setup(self, reference: str) -> SetupSession | None:
        return SetupSession(reference, "", PaymentDetails(f"pm_at_{self.name}", "card", "4242"))

    def charge(self, request: ChargeRequest) -> Charge:
        self.requests.append(request)
        return Charge("succeeded", "ch_1")

    def forget(self, payment_method: str) -> None:
        self.forgotten.append(payment_method)


def _adds(gateways: Gateways, customer_id: str) -> str:
    """The id of the setup of a customer who is on the way to the provider."""
    setups: list[str] = []
    payment_methods.begin_adding(gateways, customer_id, AT, lambda setup: setups.append(setup) or BACK)  # type: ignore[func-returns-value]
    return setups[0]


def test_a_customer_is_made_known_once_and_named_with_each_charge(app: Flask) -> None:
    scene = world.scene(last="open")
    provider, customer = Provider(), scene.customer.id
    gateways = Gateways(provider)  # type: ignore[arg-type]
    for _ in range(2):
        method = payment_methods.finish_adding(gateways, customer, _adds(gateways, customer), AT)
    assert [details.email for details in provider.customers] == ["hedda@acme.example"]
    assert provider.keys == [f"customer_{customer}"]
    assert provider.setups == ["cus_at_stub"] * 2
    assert method is not None
    assert method.gateway == "stub"
    with reading() as reader:
        invoice = str(reader.scalar(select(Invoice.id).where(Invoice.status == "open")))
    collection.collect(gateways, customer, invoice, AT, BACK)
    assert [(request.customer, request.payment_method) for request in provider.requests] == [
        ("cus_at_stub", "pm_at_stub")
    ]


def test_a_method_that_came_from_elsewhere_is_charged_without_a_customer(app: Flask) -> None:
    scene = world.scene(last="open")
    provider = Provider(name="sandbox")
    with reading() as reader:
        invoice = str(reader.scalar(select(Invoice.id).where(Invoice.status == "open")))
    collection.collect(Gateways(provider), scene.customer.id, invoice, AT, BACK)  # type: ignore[arg-type]
    assert [request.customer for request in provider.requests] == [None]


def test_a_setup_finishes_at_the_provider_where_it_began(app: Flask) -> None:
    scene = world.scene()
    older, newer = Provider(name="older"), Provider(name="newer")
    setup = _adds(Gateways(older), scene.customer.id)  # type: ignore[arg-type]
    changed = Gateways(newer, older)  # type: ignore[arg-type]
    method = payment_methods.finish_adding(changed, scene.customer.id, setup, AT)
    assert method is not None
    assert (method.gateway, method.gateway_reference) == ("older", "pm_at_older")
    again = payment_methods.finish_adding(changed, scene.customer.id, _adds(changed, scene.customer.id), AT)
    assert again is not None
    payment_methods.remove(changed, scene.customer.id, method.id, AT)
    assert (older.forgotten, newer.forgotten) == (["pm_at_older"], [])
    gone = Gateways(older)  # type: ignore[arg-type]
    assert payment_methods.finish_adding(gone, scene.customer.id, _adds(changed, scene.customer.id), AT) is None


@pytest.mark.case("F2")
def test_two_windows_at_once_make_one_customer(app: Flask) -> None:
    scene = world.scene()
    provider = Provider()
    gateways = Gateways(provider)  # type: ignore[arg-type]
    together(app, [lambda: _adds(gateways, scene.customer.id)] * 6)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(ProviderCustomer)) == 1
    assert set(provider.setups) == {"cus_at_stub"}


def test_a_refund_gives_back_once_and_never_more_than_was_charged(app: Flask) -> None:
    shop = world.shop()
    gateway = app.extensions["gateways"].shared("sandbox")
    with reading() as reader:
        reference = str(reader.scalar(select(PaymentMethod.gateway_reference)))
    charge = gateway.charge(ChargeRequest(reference, 1000, "eur", "key", AT, BACK))
    first, again = (gateway.refund(RefundRequest(charge.reference, 700, "refund_1", AT), AT) for _ in range(2))
    assert (first.status, again.reference) == ("succeeded", first.reference)
    assert gateway.refund(RefundRequest(charge.reference, 301, "refund_2", AT), AT).status == "failed"
    assert gateway.refund(RefundRequest(charge.reference, 300, "refund_3", AT), AT).status == "succeeded"
    assert gateway.refund(RefundRequest(charge.reference, 1, "refund_4", AT), AT).status == "failed"
    assert gateway.refund(RefundRequest("sbxc_none", 1, "refund_5", AT), AT).status == "failed"
    with reading() as reader:
        given = select(func.sum(SandboxRefund.amount)).where(SandboxRefund.status == "succeeded")
        assert reader.scalar(given) == 1000
    assert shop.method


def test_a_debit_that_is_not_over_cannot_be_refunded(app: Flask) -> None:
    world.shop(card=world.SLOW)
    gateway = app.extensions["gateways"].shared("sandbox")
    with reading() as reader:
        reference = str(reader.scalar(select(PaymentMethod.gateway_reference)))
    charge = gateway.charge(ChargeRequest(reference, 1000, "eur", "key", AT, BACK))
    assert charge.status == "processing"
    assert gateway.refund(RefundRequest(charge.reference, 1000, "refund", AT), AT).status == "failed"
