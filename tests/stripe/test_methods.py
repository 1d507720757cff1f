"""What is kept of payment methods that were entered at Stripe: the mandate of a debit, and the wallet that a card is in."""

from typing import Any

import pytest

from portal_site.billing.gateways import Mandate, PaymentDetails
from portal_site.billing.gateways.stripe import answers
from portal_site.billing.gateways.stripe.gateway import StripeGateway
from tests.stripe.double import Double

URL = "https://hooks.stripe.com/mandate/1"


def _entered(gateway: StripeGateway, double: Double, mandate: str | None) -> PaymentDetails:
    method = double.new("pm", type="sepa_debit", sepa_debit={"last4": "3000"}, customer="cus_1")
    done = {"status": "succeeded", "payment_method": method, "mandate": mandate}
    session = double.new("cs", status="complete", setup_intent=done)
    setup = gateway.find_setup(session["id"])
    assert setup is not None
    assert setup.details is not None
    return setup.details


def _mandate(double: Double, **members: Any) -> str:
    known = {"type": "sepa_debit", "sepa_debit": {"reference": "NXDSYREGC9PSMKWY", "url": URL, **members}}
    return str(double.new("mandate", object="mandate", payment_method_details=known)["id"])


@pytest.mark.parametrize(("url", "kept"), [(URL, URL), ("", None), (None, None), ("javascript:alert(1)", None)])
def test_a_debit_has_its_mandate(gateway: StripeGateway, double: Double, url: str | None, kept: str | None) -> None:
    details = _entered(gateway, double, _mandate(double, url=url))
    assert (details.last4, details.mandate) == ("3000", Mandate("NXDSYREGC9PSMKWY", kept))


def test_without_its_mandate_a_debit_is_saved_as_well(gateway: StripeGateway, double: Double) -> None:
    assert _entered(gateway, double, None).mandate is None
    assert _entered(gateway, double, "mandate_unknown").mandate is None
    name = _mandate(double)
    double.lacks.add("mandates")
    assert _entered(gateway, double, name).mandate is None


def test_a_card_in_a_wallet_says_so() -> None:
    known = {"last4": "4242", "brand": "visa", "wallet": {"type": "apple_pay", "dynamic_last4": "4242"}}
    assert answers.details({"id": "pm_1", "type": "card", "card": known}) == PaymentDetails(
        "pm_1", "card", "4242", "visa", wallet="apple_pay"
    )
