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
INTENT, SETUP = Reference("payment_intent"), Reference("setup_intent")
DISCOUNT: Members = {
    "customer": CUSTOMER,
    "promotion_code": Reference("promotion_code"),
    "source": {"coupon": Reference("coupon")},
}
OF_KIND: Mapping[str, Members] = {
    "balance": {},
    "charge": {
        "billing_details": {},
        "customer": CUSTOMER,
        "outcome": {},
        "payment_intent": INTENT,
        "payment_method_details": {},
        "shipping": {},
    },
    "checkout_session": {"customer": CUSTOMER, "customer_details": {}, "setup_intent": SETUP},
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
    "event": {"data": {}, "request": {}},
    "invoice": {
        "customer": CUSTOMER,
        "parent": {"subscription_details": {"subscription": SUBSCRIPTION}},
        "status_transitions": {},
    },
    "mandate": {"payment_method": METHOD},
    "payment_intent": {
        "customer": CUSTOMER,
        "last_payment_error": {},
        "latest_charge": Reference("charge"),
        "next_action": {},
        "payment_method": METHOD,
        "shipping": {},
    },
    "payment_method": {"billing_details": {}, "customer": CUSTOMER},
    "promotion_code": {"customer": CUSTOMER, "promotion": {"coupon": Reference("coupon")}},
    "refund": {"charge": Reference("charge"), "payment_intent": INTENT},
    "session": {"configuration": Reference("configuration"), "customer": CUSTOMER, "flow": {}},
    "setup_intent": {"customer": CUSTOMER, "last_setup_error": {}, "next_action": {}, "payment_method": METHOD},
    "subscription": {
        "cancellation_details": {},
        "customer": CUSTOMER,
        "default_payment_method": METHOD,
        "items": {"data": {"price": {}}},
        "latest_invoice": INVOICE,
        "pause_collection": {},
        "pending_update": {},
    },
    "webhook_endpoint": {},
    "tax_id": {"customer": CUSTOMER, "verification": {}},
    "test_clock": {"status_details": {}},
}
# The right that a key needs to see objects of a kind inside others; the right to read customers for all other kinds.
RIGHTS = {
    "charge": "charges",
    "configuration": "customer_portal",
    "payment_intent": "payment_intents",
    "setup_intent": "setup_intents",
}
