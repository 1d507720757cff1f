"""What a restricted key has to be allowed. Reading is tried out; whether it may write, only a payment would tell."""

from collections.abc import Callable, Mapping
from typing import Any

ACCOUNT = "Account: read"
_ONE: Any = {"limit": 1}
NEEDED: Mapping[str, Callable[[Any], Any]] = {
    "Customers: write": lambda api: api.customers.list(_ONE),
    "Checkout Sessions: write": lambda api: api.checkout.sessions.list(_ONE),
    "SetupIntents: write": lambda api: api.setup_intents.list(_ONE),
    "PaymentMethods: write": lambda api: api.payment_methods.list(_ONE),
    "PaymentIntents: write": lambda api: api.payment_intents.list(_ONE),
    "Charges and Refunds: write": lambda api: api.refunds.list(_ONE),
    "Disputes: read": lambda api: api.disputes.list(_ONE),
    "Events: read": lambda api: api.events.list(_ONE),
}


def missing(client: Any) -> tuple[str, ...]:
    """The rights that a key lacks, by Stripe's names. Raises stripe.StripeError for anything but that."""
    import stripe

    found = []
    for name, look in NEEDED.items():
        try:
            look(client.v1)
        except stripe.PermissionError:
            found.append(name)
        except stripe.InvalidRequestError:  # another portal's API, which has no such list
            continue
    return tuple(found)
