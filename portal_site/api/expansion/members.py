"""The members of the API's objects that `expand` may name.

A reference becomes the object that it names, a list appears that is missing otherwise, and any other member is walked through;
it is there anyway, or what it holds appears.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """The id of an object of this kind."""

    kind: str


@dataclass(frozen=True)
class Contents:
    """A list of the objects of this kind that belong to the object."""

    kind: str


# A member's own members are a mapping, too.
Member = Reference | Contents | Mapping[str, "Member"]
Members = Mapping[str, Member]

CUSTOMER, SUBSCRIPTION = Reference("customer"), Reference("subscription")
METHOD, INVOICE = Reference("payment_method"), Reference("invoice")
DISCOUNT: Members = {
    "customer": CUSTOMER,
    "promotion_code": Reference("promotion_code"),
    "source": {"coupon": Reference("coupon")},
}
OF_KIND: Mapping[str, Members] = {
    "configuration": {
        "application": {},
        "business_profile": {},
        "features": {"subscription_update": {"products": {}}},
        "login_page": {},
    },
    "coupon": {},
    "customer": {
        "address": {},
        "default_source": {},
        "discount": DISCOUNT,
        "invoice_credit_balance": {},
        "invoice_settings": {"default_payment_method": METHOD},
        "shipping": {},
        "subscriptions": Contents("subscription"),
        "tax_ids": Contents("tax_id"),
        "test_clock": Reference("test_clock"),
    },
    "invoice": {
        "customer": CUSTOMER,
        "parent": {"subscription_details": {"subscription": SUBSCRIPTION}},
        "status_transitions": {},
    },
    "payment_method": {"customer": CUSTOMER},
    "promotion_code": {"customer": CUSTOMER, "promotion": {"coupon": Reference("coupon")}},
    "session": {"configuration": Reference("configuration"), "customer": CUSTOMER, "flow": {}},
    "subscription": {
        "cancellation_details": {},
        "customer": CUSTOMER,
        "default_payment_method": METHOD,
        "items": {"data": {"price": {}}},
        "latest_invoice": INVOICE,
        "pause_collection": {},
        "pending_update": {},
    },
    "tax_id": {"customer": CUSTOMER, "verification": {}},
    "test_clock": {"status_details": {}},
}
# The right that a key needs to see objects of a kind inside others; the right to read customers for all other kinds.
RIGHTS = {"configuration": "customer_portal"}
