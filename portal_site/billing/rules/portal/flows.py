"""Flows of portal sessions: the one thing that a customer came for, and what follows once it is done.

A flow is stored as the `flow` hash of the API (docs.stripe.com/api/customer_portal/sessions/object). Each of its types needs a
feature of the configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

PAYMENT_METHOD_UPDATE = "payment_method_update"
CUSTOMER_UPDATE = "customer_update"
SUBSCRIPTION_CANCEL = "subscription_cancel"
SUBSCRIPTION_PAUSE = "subscription_pause"
SUBSCRIPTION_UPDATE = "subscription_update"
SUBSCRIPTION_UPDATE_CONFIRM = "subscription_update_confirm"
INVOICE_PAYMENT = "invoice_payment"  # not of the API: links in e-mails lead to it, and what is owed can always be paid

FEATURES = {
    PAYMENT_METHOD_UPDATE: "payment_method_update",
    CUSTOMER_UPDATE: "customer_update",
    SUBSCRIPTION_CANCEL: "subscription_cancel",
    SUBSCRIPTION_PAUSE: "subscription_pause",
    SUBSCRIPTION_UPDATE: "subscription_update",
    SUBSCRIPTION_UPDATE_CONFIRM: "subscription_update",
}
TYPES = tuple(FEATURES)
OF_SUBSCRIPTIONS = frozenset(
    {SUBSCRIPTION_CANCEL, SUBSCRIPTION_PAUSE, SUBSCRIPTION_UPDATE, SUBSCRIPTION_UPDATE_CONFIRM}
)

HOSTED_CONFIRMATION, PORTAL_HOMEPAGE, REDIRECT = "hosted_confirmation", "portal_homepage", "redirect"
# What a link in an e-mail lets do without a code for the customer's own address.
OF_EMAIL_LINKS = frozenset({PAYMENT_METHOD_UPDATE, SUBSCRIPTION_UPDATE_CONFIRM, INVOICE_PAYMENT})
ENDINGS = (HOSTED_CONFIRMATION, PORTAL_HOMEPAGE, REDIRECT)
LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Completion:
    """What follows: a page with the merchant's `message`, if any, the portal's overview, or the merchant's `return_url`."""

    type: str = HOSTED_CONFIRMATION
    message: str | None = None
    return_url: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From the `after_completion` hash."""
        message = (document.get("hosted_confirmation") or {}).get("custom_message")
        return cls(document["type"], message, (document.get("redirect") or {}).get("return_url"))


@dataclass(frozen=True)
class WantedItem:
    """What `subscription_update_confirm` makes of an item; None leaves the price or the quantity as it is."""

    id: str
    price: str | None = None
    quantity: int | None = None


@dataclass(frozen=True)
class Flow:
    """A flow. Only what its type uses is set; `retention_coupon` is offered to a customer who cancels."""

    type: str
    completion: Completion = field(default_factory=Completion)
    subscription_id: str | None = None
    items: tuple[WantedItem, ...] = ()
    coupon: str | None = None
    promotion_code: str | None = None
    retention_coupon: str | None = None
    invoice_id: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The flow in a stored document."""
        part = document.get(document["type"]) or {}
        discount = (part.get("discounts") or [{}])[0]
        offer = (part.get("retention") or {}).get("coupon_offer") or {}
        return cls(
            document["type"],
            Completion.of(document["after_completion"]),
            part.get("subscription"),
            tuple(WantedItem(item["id"], item["price"], item["quantity"]) for item in part.get("items") or ()),
            discount.get("coupon"),
            discount.get("promotion_code"),
            offer.get("coupon"),
            part.get("invoice"),
        )

    @property
    def feature(self) -> str | None:
        """The configuration's feature that it needs, if any."""
        return FEATURES.get(self.type)


def document(flow: Flow) -> dict[str, Any]:
    """A flow as it is stored, and as the API returns it: all hashes, with null for those of other types."""
    parts: dict[str, Any] = dict.fromkeys(sorted(OF_SUBSCRIPTIONS))
    if flow.type in OF_SUBSCRIPTIONS:
        parts[flow.type] = {"subscription": flow.subscription_id}
    if flow.type == SUBSCRIPTION_CANCEL:
        coupon = flow.retention_coupon
        offer = {"type": "coupon_offer", "coupon_offer": {"coupon": coupon}} if coupon else None
        parts[flow.type]["retention"] = offer
    if flow.type == SUBSCRIPTION_UPDATE_CONFIRM:
        discount = {"coupon": flow.coupon, "promotion_code": flow.promotion_code}
        parts[flow.type]["discounts"] = [discount] if any(discount.values()) else None
        parts[flow.type]["items"] = [
            {"id": item.id, "price": item.price, "quantity": item.quantity} for item in flow.items
        ]
    if flow.type == INVOICE_PAYMENT:
        parts[flow.type] = {"invoice": flow.invoice_id}
    completion = flow.completion
    is_confirmed, is_redirected = completion.type == HOSTED_CONFIRMATION, completion.type == REDIRECT
    after = {
        "type": completion.type,
        "hosted_confirmation": {"custom_message": completion.message} if is_confirmed else None,
        "redirect": {"return_url": completion.return_url} if is_redirected else None,
    }
    return {"type": flow.type, "after_completion": after, **parts}
