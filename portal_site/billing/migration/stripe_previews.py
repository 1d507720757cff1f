"""What Stripe says: the next invoice of a subscription, as its preview has it, and what stands in its objects."""

from typing import Any

from portal_site.billing.migration import stripe_api
from portal_site.billing.migration.bills import Bill, Part, merged
from portal_site.billing.migration.stripe_api import StripeApi
from portal_site.db.json_columns import JsonObject

GONE = "Stripe has no such subscription any more: import again"
NO_PREVIEW = "Stripe gives no preview: {words}"
NOTHING_TO_BILL = "invoice_upcoming_none"


class NoPreview(Exception):
    """Stripe refuses to say what it is going to bill. The message says why."""


def preview(api: StripeApi, subscription_id: str) -> JsonObject | None:
    """Stripe's preview of the next invoice; None if it bills nothing more. Raises NoPreview."""
    import stripe

    try:
        found = api.ask(lambda asked: asked.invoices.create_preview({"subscription": subscription_id}))
    except stripe.InvalidRequestError as error:
        if error.code == NOTHING_TO_BILL:
            return None
        words = GONE if stripe_api.is_missing(error) else NO_PREVIEW.format(words=error.user_message or error.code)
        raise NoPreview(words) from error
    lines = found["lines"]
    while lines.get("has_more") and lines["data"] and found.get("id"):
        params: Any = {"limit": 100, "starting_after": lines["data"][-1]["id"]}
        more = api.ask(lambda asked, params=params: asked.invoices.line_items.list(found["id"], params))  # type: ignore[misc]
        lines["data"] += more["data"]
        lines["has_more"] = bool(more.get("has_more")) and bool(more["data"])
    return found


def bill(document: JsonObject) -> Bill:
    """A preview as a bill."""
    taxes = document.get("total_taxes") or []
    return Bill(
        date=document["period_end"],
        currency=document["currency"],
        subtotal=document["subtotal"],
        discount=sum(one["amount"] for one in document.get("total_discount_amounts") or []),
        tax=sum(one["amount"] for one in taxes if one.get("tax_behavior") != "inclusive"),
        total=document["total"],
        balance=document.get("starting_balance") or 0,
        amount_due=document["amount_due"],
        parts=merged([_part(line) for line in document["lines"]["data"]]),
    )


def computes_tax(document: JsonObject) -> bool:
    """Whether Stripe computes the tax by itself."""
    return bool((document.get("automatic_tax") or {}).get("enabled"))


def period_end(subscription: JsonObject) -> int | None:
    """When the first of the items' current periods ends."""
    ends = [one.get("current_period_end") for one in subscription["items"]["data"]]
    own = [end for end in (*ends, subscription.get("current_period_end")) if end is not None]
    return min(own, default=None)


def has_mixed_periods(subscription: JsonObject) -> bool:
    """Whether its items are billed at different instants."""
    return len({one.get("current_period_end") for one in subscription["items"]["data"]}) > 1


def name_of(value: Any) -> str | None:
    """The id of something that may be expanded."""
    found = value.get("id") if isinstance(value, dict) else value
    return str(found) if found else None


def _part(line: JsonObject) -> Part:
    parent = line.get("parent") or {}
    item, pending = parent.get("subscription_item_details") or {}, parent.get("invoice_item_details") or {}
    is_pending = bool(pending.get("invoice_item"))
    price = ((line.get("pricing") or {}).get("price_details") or {}).get("price")
    return Part(
        key=str(pending.get("invoice_item") or item.get("subscription_item") or line["id"]),
        name=line.get("description") or "",
        amount=line["amount"],
        price=name_of(price),
        quantity=line.get("quantity"),
        is_pending=is_pending,
        is_proration=bool(item.get("proration") or pending.get("proration")),
    )
