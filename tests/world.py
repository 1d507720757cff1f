"""Merchants and customers for tests, made by the demo's own builder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from portal_site import clock
from portal_site.billing.models import Account, Customer, PaymentMethod, PortalConfiguration, Subscription
from portal_site.billing.rules.portal_features import UPDATES, CustomerUpdate, Features
from portal_site.db import transaction
from portal_site.demo.builder import Merchant

EVERYTHING = Features(customer_update=CustomerUpdate(allowed_updates=UPDATES))
VISA, MASTERCARD, FAILS, ASKS = "4242424242424242", "5555555555554444", "4000000000000341", "4000002760003184"


@contextmanager
def merchant(name: str = "Acme", features: Features = EVERYTHING, **members: Any) -> Iterator[Merchant]:
    """A merchant with a default configuration, kept when the block ends."""
    configuration = members.pop("configuration", {})
    with transaction() as session:
        made = Merchant.open(session, clock.now(), name, **members)
        made.configuration(features, **configuration)
        yield made


@dataclass
class Scene:
    """One merchant, one customer with a card, a monthly subscription for €24.00 and its invoices."""

    customer: Customer
    method: PaymentMethod
    subscription: Subscription
    account_id: str


PARIS = {
    "line1": "1 rue de la Paix",
    "line2": None,
    "city": "Paris",
    "state": None,
    "postal_code": "75002",
    "country": "FR",
}


def scene(
    name: str = "Acme",
    features: Features = EVERYTHING,
    *,
    card: str = VISA,
    last: str = "paid",
    invoices: int = 12,
    **members: Any,
) -> Scene:
    """A new merchant with the usual customer."""
    with merchant(name, features, **members) as made:
        product = made.product("Team", "seats")
        price = made.price(product, 1200, "eur")
        email = f"hedda@{name.lower()}.example"
        customer = made.customer("Hedda Berg", email, "usual", phone="+33612345678", address=PARIS)
        method = made.method(customer, card)
        subscription = made.subscription(
            customer, [(price, 2)], started=200, status="past_due" if last == "open" else "active"
        )
        made.history(customer, subscription, [(product, price, 2)], last=last, most=invoices)
    return Scene(customer, method, subscription, made.account.id)


__all__ = ["Account", "Merchant", "PortalConfiguration", "Scene", "merchant", "scene", "transaction"]
