"""The lists of a Stripe account that an import needs, what of them has to be expanded, and the lists inside their objects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal_site.billing.errors import BillingError
from portal_site.billing.migration.stripe_api import StripeApi, is_missing
from portal_site.db.json_columns import JsonObject

PAGE = 100  # objects, the most that Stripe gives
Question = Callable[[Any, Any], Any]
OfOne = Callable[[Any, str, Any], Any]


@dataclass(frozen=True, slots=True)
class Inside:
    """A list inside of each object, of which Stripe gives the first ten: `ask` gets the others."""

    member: str
    ask: OfOne


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of the account. With `of_each` it is one of each object of that other list, whose ids come first."""

    name: str
    ask: Question | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    inside: tuple[Inside, ...] = ()
    of_each: str | None = None
    ask_of: OfOne | None = None


_TAX_IDS = Inside("tax_ids", lambda api, name, params: api.customers.tax_ids.list(name, params))
_SOURCES = Inside("sources", lambda api, name, params: api.customers.payment_sources.list(name, params))
_ITEMS = Inside("items", lambda api, name, params: api.subscription_items.list({"subscription": name, **params}))
_LINES = Inside("lines", lambda api, name, params: api.invoices.line_items.list(name, params))
_NOTE_LINES = Inside("lines", lambda api, name, params: api.credit_notes.line_items.list(name, params))

# What others refer to comes first, so that nothing that is made meanwhile refers to what was not there yet.
LISTS: tuple[Listing, ...] = (
    Listing("tax_ids", lambda api, params: api.tax_ids.list(params)),
    Listing("tax_rates", lambda api, params: api.tax_rates.list(params)),
    Listing("products", lambda api, params: api.products.list(params)),
    Listing("prices", lambda api, params: api.prices.list(params), {"expand": ["data.tiers", "data.currency_options"]}),
    Listing("coupons", lambda api, params: api.coupons.list(params), {"expand": ["data.applies_to"]}),
    Listing("promotion_codes", lambda api, params: api.promotion_codes.list(params)),
    Listing(
        "customers",
        lambda api, params: api.customers.list(params),
        {"expand": ["data.sources", "data.tax_ids", "data.discount.source.coupon"]},
        (_TAX_IDS, _SOURCES),
    ),
    Listing(
        "payment_methods",
        of_each="customers",
        ask_of=lambda api, name, params: api.customers.payment_methods.list(name, params),
    ),
    Listing(
        "subscriptions",
        lambda api, params: api.subscriptions.list(params),
        {
            "status": "all",
            "expand": ["data.discounts.source.coupon", "data.items.data.discounts", "data.default_payment_method"],
        },
        (_ITEMS,),
    ),
    Listing("subscription_schedules", lambda api, params: api.subscription_schedules.list(params)),
    Listing("invoices", lambda api, params: api.invoices.list(params), inside=(_LINES,)),
    Listing("credit_notes", lambda api, params: api.credit_notes.list(params), inside=(_NOTE_LINES,)),
    Listing("invoiceitems", lambda api, params: api.invoice_items.list(params), {"pending": True}),
    Listing(
        "billing_portal_configurations",
        lambda api, params: api.billing_portal.configurations.list(params),
        {"expand": ["data.features.subscription_update.products"]},
    ),
)


def page(api: StripeApi, listing: Listing, after: str | None, of: str | None = None) -> JsonObject:
    """A page of a list after an object, with the lists inside of its objects whole; `of` is whose it is."""
    params = {**listing.params, "limit": PAGE, **({"starting_after": after} if after else {})}
    if of is None:
        found = _asked(api, listing.name, listing.ask, params)
    else:
        found = _asked(api, listing.name, listing.ask_of, of, params)
    for document in found["data"]:
        for inside in listing.inside:
            _complete(api, inside, document)
    return found


def _asked(api: StripeApi, name: str, question: Callable[..., Any] | None, *given: Any) -> JsonObject:
    """A page; an empty one of what is gone meanwhile. Raises BillingError with what Stripe refuses."""
    import stripe

    assert question is not None
    try:
        return api.ask(lambda asked: question(asked, *given))
    except stripe.InvalidRequestError as error:
        if is_missing(error):
            return {"has_more": False, "data": []}
        raise BillingError(
            "Stripe refuses the list of %(name)s: %(words)s", name=name, words=error.user_message
        ) from error


def _complete(api: StripeApi, inside: Inside, document: JsonObject) -> None:
    """Get what goes on of the list inside of an object, page by page."""
    listed = document.get(inside.member)
    while isinstance(listed, dict) and listed.get("has_more") and listed.get("data"):
        params = {"limit": PAGE, "starting_after": listed["data"][-1]["id"]}
        more = _asked(api, inside.member, inside.ask, document["id"], params)
        listed["data"] += more["data"]
        listed["has_more"] = bool(more.get("has_more")) and bool(more["data"])
