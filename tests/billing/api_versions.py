"""Turns an export of the newest shape into what each API version since 2013 would have given of the same account.

Each change of the API has a function that undoes it. An export of a version has all changes undone that came after it, so that
it is in the shape of that version throughout. They are written from the API's changelog and from recorded answers, and do not
know the adapters.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]
Export = dict[str, list[Document]]


def _inner(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _data(value: Any) -> list[Document]:
    return value["data"] if isinstance(value, dict) else value or []


def _rename(document: Document, new: str, old: str) -> None:
    if new in document:
        document[old] = document.pop(new)


def _discounts(export: Export) -> Iterator[Document]:
    for subscription in export.get("subscription", ()):
        yield from subscription.get("discounts") or ()
    for customer in export.get("customer", ()):
        if customer.get("discount"):
            yield customer["discount"]


def _lines(export: Export) -> Iterator[tuple[Document, Document]]:
    for invoice in export.get("invoice", ()):
        yield from ((invoice, line) for line in _data(invoice["lines"]))


def _items(export: Export) -> Iterator[tuple[Document, Document]]:
    for subscription in export.get("subscription", ()):
        yield from ((subscription, item) for item in _data(subscription["items"]))


def coupons_in_place_of_sources(export: Export) -> None:
    """2025-09-30: discounts got a source, and promotion codes a promotion."""
    coupons = {coupon["id"]: coupon for coupon in export.get("coupon", ())}
    for discount in _discounts(export):
        coupon = discount.pop("source")["coupon"]
        discount["coupon"] = coupons.get(coupon, coupon) if isinstance(coupon, str) else coupon
    for code in export.get("promotion_code", ()):
        code["coupon"] = code.pop("promotion")["coupon"]


def _old_tax(tax: Document) -> Document:
    rate = _inner(tax.get("tax_rate_details")).get("tax_rate")
    return {"amount": tax["amount"], "inclusive": tax["tax_behavior"] == "inclusive", "tax_rate": rate,
            "taxability_reason": tax.get("taxability_reason"), "taxable_amount": tax.get("taxable_amount")}  # fmt: skip


def no_parents(export: Export) -> None:
    """2025-03-31: invoices and lines got parents, pricing and taxes; periods went to the items, `discount` away."""
    prices = {price["id"]: price for price in export.get("price", ())}
    for invoice in export.get("invoice", ()):
        parent = _inner(_inner(invoice.pop("parent", None)).get("subscription_details"))
        invoice["subscription"] = parent.get("subscription")
        invoice["total_tax_amounts"] = [_old_tax(tax) for tax in invoice.pop("total_taxes", None) or ()]
        invoice["tax"] = sum(tax["amount"] for tax in invoice["total_tax_amounts"]) or None
        invoice |= {"paid": invoice["status"] == "paid", "discount": None}
    for _, line in _lines(export):
        parent = _inner(line.pop("parent", None))
        details = _inner(parent.get("subscription_item_details") or parent.get("invoice_item_details"))
        line["type"] = "subscription" if parent.get("subscription_item_details") else "invoiceitem"
        names = ("subscription", "subscription_item", "proration", "proration_details")
        line |= {name: details.get(name) for name in names}
        pricing = _inner(line.pop("pricing", None))
        name = _inner(pricing.get("price_details")).get("price")
        line["price"] = prices.get(name, name)
        line["unit_amount_excluding_tax"] = pricing.get("unit_amount_decimal")
        line["tax_amounts"] = [_old_tax(tax) for tax in line.pop("taxes", None) or ()]
    for subscription, item in _items(export):
        for name in ("current_period_start", "current_period_end"):
            subscription[name] = item.pop(name)
    for subscription in export.get("subscription", ()):
        discounts = subscription.get("discounts") or []
        subscription["discount"] = discounts[0] if discounts else None
        subscription["discounts"] = [discount["id"] for discount in discounts]


def no_currency(export: Export) -> None:
    """2022-08-01: subscriptions told their currency, and customers' sources and subscriptions had to be asked for."""
    subscriptions = export.get("subscription", [])
    for subscription in subscriptions:
        subscription.pop("currency", None)
    for customer in export.get("customer", ()):
        own = [dict(one) for one in subscriptions if one["customer"] == customer["id"]]
        customer["subscriptions"] = {"object": "list", "data": own, "has_more": False}


def _plan(price: Document) -> Document:
    recurring = _inner(price.get("recurring"))
    plan = {name: price.get(name) for name in ("id", "active", "billing_scheme", "created", "currency", "livemode", "metadata",
                                               "nickname", "product", "tiers", "tiers_mode")}  # fmt: skip
    return {**plan, **recurring, "object": "plan", "amount": price.get("unit_amount"),
            "amount_decimal": price.get("unit_amount_decimal"), "transform_usage": price.get("transform_quantity")}  # fmt: skip


def plans(export: Export) -> None:
    """2020-08-27: prices took the place of plans, discounts got ids, and invoices told what they took off."""
    for owner in (*(line for _, line in _lines(export)), *(item for _, item in _items(export))):
        price = owner.pop("price", None)
        owner["plan"] = _plan(price) if isinstance(price, dict) else price
        owner.pop("discounts", None)
        owner.pop("discount_amounts", None)
    for schedule in export.get("subscription_schedule", ()):
        for phase in schedule["phases"]:
            _rename(phase, "items", "plans")
            for item in phase["plans"]:
                _rename(item, "price", "plan")
    for subscription in export.get("subscription", ()):
        subscription.pop("discounts", None)
        _inner(subscription.get("discount")).pop("id", None)
    for invoice in export.get("invoice", ()):
        owner = next((one for one in export["subscription"] if one["id"] == invoice["subscription"]), {})
        invoice["discount"] = owner.get("discount") if invoice.pop("total_discount_amounts", None) else None
        invoice.pop("discounts", None)
    for customer in export.get("customer", ()):
        customer.pop("subscriptions", None)
    export["plan"] = [_plan(price) for price in export.pop("price", ()) if price.get("type") == "recurring"]


def lines_named_like_subscriptions(export: Export) -> None:
    """2019-12-03: lines got ids of their own, and a schedule's end its present name."""
    for _, line in _lines(export):
        if line["type"] == "subscription":
            line["id"] = line.pop("subscription")
    for schedule in export.get("subscription_schedule", ()):
        _rename(schedule, "end_behavior", "renewal_behavior")


def account_balance(export: Export) -> None:
    """2019-10-17: `account_balance` and `billing` got their present names."""
    for customer in export.get("customer", ()):
        _rename(customer, "balance", "account_balance")
    for owner in (*export.get("subscription", ()), *export.get("invoice", ())):
        _rename(owner, "collection_method", "billing")


def dates(export: Export) -> None:
    """2019-03-14: an invoice's `date` became `created`, and its instants got a place of their own."""
    for invoice in export.get("invoice", ()):
        _rename(invoice, "created", "date")
        invoice["finalized_at"] = _inner(invoice.pop("status_transitions", None)).get("finalized_at")


def no_status(export: Export) -> None:
    """2018-11-08: invoices got a status and the amounts that are paid and remain; before, only the sum of the tax was told."""
    for invoice in export.get("invoice", ()):
        status = invoice.pop("status")
        invoice |= {"paid": status == "paid", "closed": status in ("paid", "void", "uncollectible"), "forgiven": False}
        invoice |= {"attempted": status != "draft"}
        for name in ("amount_paid", "amount_remaining", "total_tax_amounts"):
            invoice.pop(name, None)
    for _, line in _lines(export):
        line.pop("tax_amounts", None)


def plans_with_names(export: Export) -> None:
    """2018-02-05: plans got products."""
    names = {product["id"]: product["name"] for product in export.pop("product", ())}
    owners = [*export["plan"], *(owner["plan"] for _, owner in (*_lines(export), *_items(export)) if owner.get("plan"))]
    for plan in owners:
        plan["name"] = names.get(plan.pop("product", None))
    for plan in owners:
        for name in (
            "nickname",
            "billing_scheme",
            "tiers",
            "tiers_mode",
            "transform_usage",
            "usage_type",
            "amount_decimal",
        ):
            plan.pop(name, None)


def one_plan(export: Export) -> None:
    """2016-07-06: subscriptions got items."""
    for subscription in export.get("subscription", ()):
        item = _data(subscription.pop("items"))[0]
        subscription |= {"plan": item["plan"], "quantity": item["quantity"], "start": subscription.pop("start_date")}
        for name in ("billing_cycle_anchor", "created"):
            subscription.pop(name, None)


def cards(export: Export) -> None:
    """2015-02-18: a customer's cards became sources. What were payment methods later were cards all along."""
    methods = export.pop("payment_method", [])
    for customer in export.get("customer", ()):
        settings = _inner(customer.pop("invoice_settings", None))
        own = [one for one in methods if one["customer"] == customer["id"]]
        named = [{**one["card"], "id": one["id"].replace("pm_", "card_"), "object": "card", "customer": customer["id"]}
                 for one in own]  # fmt: skip
        customer["cards"] = {"object": "list", "count": len(named), "data": named}
        customer["default_card"] = (settings.get("default_payment_method") or "").replace("pm_", "card_") or None
    for subscription in export.get("subscription", ()):
        subscription.pop("default_payment_method", None)


def one_subscription(export: Export) -> None:
    """2013-08-13: a customer could have several subscriptions, and they got ids; 2013-07-05: and several cards."""
    running = {one.pop("customer"): one for one in export.pop("subscription", ())}
    for customer in export.get("customer", ()):
        subscription = running.get(customer["id"])
        if subscription is not None:
            subscription.pop("id", None)
        listed = customer.pop("cards", {}).get("data", [])
        customer.pop("default_card", None)
        customer |= {"subscription": subscription, "active_card": listed[0] if listed else None}
    for invoice in export.get("invoice", ()):
        invoice.pop("subscription", None)
        lines = _data(invoice["lines"])
        for line in lines:
            line.pop("id", None)
            line.pop("subscription_item", None)
        own = {
            "subscriptions": [one for one in lines if not one["proration"]],
            "prorations": [one for one in lines if one["proration"]],
        }
        invoice["lines"] = {**own, "invoiceitems": []}


# The first day of each version that changed something that is read here, and what undoes the change; newest first.
CHANGES: list[tuple[str, Callable[[Export], None]]] = [
    ("2025-09-30", coupons_in_place_of_sources),
    ("2025-03-31", no_parents),
    ("2022-08-01", no_currency),
    ("2020-08-27", plans),
    ("2019-12-03", lines_named_like_subscriptions),
    ("2019-10-17", account_balance),
    ("2019-03-14", dates),
    ("2018-11-08", no_status),
    ("2018-02-05", plans_with_names),
    ("2016-07-06", one_plan),
    ("2015-02-18", cards),
    ("2013-08-13", one_subscription),
]
VERSIONS = ["newest", *(day for day, _ in CHANGES)]


def before(day: str, export: Export) -> Export:
    """The export as the last version before this day gave it; the newest shape for `newest`."""
    older: Export = json.loads(json.dumps(export))
    for since, undo in CHANGES:
        if day == "newest":
            break
        undo(older)
        if since == day:
            break
    return older
