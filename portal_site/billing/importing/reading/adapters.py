"""Brings objects of each API version since 2013 into the newest shape: one function for each change of the API.

`newest` applies those of an object's type in order, from the oldest change to the newest. Each changes the document in place,
and does nothing where the newer member is there. A member of the wrong type is left for the schemas to refuse.
"""

from collections.abc import Callable, Iterable

from portal_site.billing.importing.reading.cards import card_as_payment_method, default_source_as_payment_method
from portal_site.billing.importing.reading.documents import data, id_of, inner
from portal_site.db.json_columns import JsonObject

Adapter = Callable[[JsonObject], None]


def newest(kind: str, document: JsonObject) -> JsonObject:
    """The document in the newest shape. `kind` is the name of its type in the file: `plan` and `card` are kinds too."""
    for adapt in ADAPTERS.get(kind, ()):
        adapt(document)
    return document


def _move(document: JsonObject, old: str, new: str) -> None:
    value = document.pop(old, None)
    if value is not None and document.get(new) is None:
        document[new] = value


def plan_with_a_name(plan: JsonObject) -> None:
    """Before 2018-02-05 a plan had a name and no product."""
    if plan.get("product") is None and plan.get("id") is not None:
        name = plan.get("name") or plan.get("nickname") or plan["id"]
        plan["product"] = {"id": f"prod_{plan['id']}", "object": "product", "name": name, "active": False,
                           "created": plan.get("created") or 0, "livemode": bool(plan.get("livemode"))}  # fmt: skip


def plan_as_price(plan: JsonObject) -> None:
    """Before 2020-08-27 subscriptions had plans, not prices."""
    _move(plan, "amount", "unit_amount")
    _move(plan, "amount_decimal", "unit_amount_decimal")
    _move(plan, "transform_usage", "transform_quantity")
    recurring = {name: plan.pop(name, None) for name in
                 ("interval", "interval_count", "usage_type", "trial_period_days", "aggregate_usage", "meter")}  # fmt: skip
    if plan.get("recurring") is None:
        plan["recurring"] = recurring
    for tier in data(plan.get("tiers")):
        _move(tier, "amount", "unit_amount")
    plan["object"], plan["type"] = "price", "recurring"


def price_in_place_of_a_plan(owner: JsonObject) -> None:
    """Before 2020-08-27 items and lines had a plan, and until 2025 a copy of it beside the price."""
    plan = owner.pop("plan", None)
    if owner.get("price") is None and plan is not None:
        owner["price"] = newest("plan", plan) if isinstance(plan, dict) else plan


def discount_with_a_source(discount: JsonObject) -> None:
    """Before 2025-09-30 a discount had its coupon, not a source."""
    coupon = discount.pop("coupon", None)
    if discount.get("source") is None and coupon is not None:
        discount["source"] = {"type": "coupon", "coupon": coupon}


def discount_with_an_id(discount: JsonObject) -> None:
    """Before 2020-08-27 discounts had no ids: theirs is made of what they apply to, so that it is the same each time."""
    if discount.get("id") is None and discount.get("source") is not None:
        owner = id_of(discount.get("subscription")) or id_of(discount.get("customer")) or id_of(discount.get("invoice"))
        discount["id"] = f"di_{owner}_{id_of(inner(discount['source']).get('coupon'))}"


def discounts_in_place_of_one(owner: JsonObject) -> None:
    """Until 2025-03-31 there was one `discount`, and beside it, since 2023, a list of ids."""
    one = owner.pop("discount", None)
    if isinstance(one, dict):
        newest("discount", one)
        listed = owner.get("discounts")
        known = listed if isinstance(listed, list) else []
        owner["discounts"] = [one if name == one.get("id") else name for name in known] or [one]
    for discount in data(owner.get("discounts")):
        newest("discount", discount)


def customer_discount(customer: JsonObject) -> None:
    """A customer still has one discount, in the shape of its version."""
    if isinstance(customer.get("discount"), dict):
        customer["discount"].setdefault("customer", customer.get("id"))
        newest("discount", customer["discount"])


def promotion_of_a_code(code: JsonObject) -> None:
    """Before 2025-09-30 a promotion code had its coupon, not a promotion."""
    coupon = code.pop("coupon", None)
    if code.get("promotion") is None and coupon is not None:
        code["promotion"] = {"type": "coupon", "coupon": coupon}


def tax_rate_of_a_percentage(owner: JsonObject) -> None:
    """Before 2020-08-27 a subscription or phase had a percentage of tax, not tax rates."""
    percentage = owner.pop("tax_percent", None)
    if percentage and not owner.get("default_tax_rates"):
        rate = {"id": f"txr_percent_{percentage:g}" if isinstance(percentage, int | float) else "txr_percent",
                "object": "tax_rate", "display_name": "", "percentage": percentage, "inclusive": False}  # fmt: skip
        owner["default_tax_rates"] = [rate]


def _tax(amount: JsonObject) -> JsonObject:
    rate = {"tax_rate": id_of(amount.get("tax_rate"))} if amount.get("tax_rate") is not None else None
    behavior = "inclusive" if amount.get("inclusive") else "exclusive"
    return {"amount": amount.get("amount"), "tax_behavior": behavior, "tax_rate_details": rate, "type": "tax_rate_details",
            "taxable_amount": amount.get("taxable_amount"), "taxability_reason": amount.get("taxability_reason")}  # fmt: skip


def taxes_in_place_of_amounts(owner: JsonObject) -> None:
    """Before 2025-03-31 lines had `tax_amounts` and invoices `total_tax_amounts`."""
    for old, new in (("tax_amounts", "taxes"), ("total_tax_amounts", "total_taxes")):
        amounts = owner.pop(old, None)
        if owner.get(new) is None and isinstance(amounts, list):
            owner[new] = [_tax(amount) for amount in data(amounts)]


def profile_of_an_account(account: JsonObject) -> None:
    """Before 2019-02-19 the name of the business and its support stood on the account itself."""
    names = {"business_name": "name", **{name: name for name in ("support_email", "support_phone", "support_url")}}
    told = {new: account.pop(old) for old, new in names.items() if account.get(old) is not None}
    if told and account.get("business_profile") is None:
        account["business_profile"] = told


def sources_in_place_of_cards(customer: JsonObject) -> None:
    """Before 2015-02-18 a customer had cards, and before 2013-07-05 an active card."""
    card = customer.pop("active_card", None)
    if isinstance(card, dict):
        card.setdefault("id", f"card_{customer.get('id')}")
        customer.setdefault("cards", {"data": [card]})
        customer.setdefault("default_card", card["id"])
    _move(customer, "cards", "sources")
    _move(customer, "default_card", "default_source")
    for source in data(customer.get("sources")):
        source.setdefault("customer", customer.get("id"))


def balance_of_the_account(customer: JsonObject) -> None:
    """Before 2019-10-17 the balance was called `account_balance`."""
    _move(customer, "account_balance", "balance")


def subscriptions_in_place_of_one(customer: JsonObject) -> None:
    """Before 2013-08-13 a customer had one subscription, without an id."""
    one = customer.pop("subscription", None)
    if isinstance(one, dict) and customer.get("subscriptions") is None:
        one.setdefault("id", f"sub_{customer.get('id')}")
        customer["subscriptions"] = {"data": [one]}
    for subscription in data(customer.get("subscriptions")):
        subscription.setdefault("customer", customer.get("id"))


def owner_of_a_tax_id(tax_id: JsonObject) -> None:
    """Since 2024 a tax id names its owner, and its customer only for older clients."""
    if tax_id.get("customer") is None:
        tax_id["customer"] = inner(tax_id.get("owner")).get("customer")


def start_of_a_subscription(subscription: JsonObject) -> None:
    """Before 2019 `start` was when the present terms began, and `created`, `start_date` and the anchor were not told."""
    start = subscription.pop("start", None)
    began = subscription.get("created") or start or subscription.get("current_period_start")
    for name in ("created", "start_date"):
        if subscription.get(name) is None:
            subscription[name] = began
    if subscription.get("billing_cycle_anchor") is None:
        subscription["billing_cycle_anchor"] = subscription.get("current_period_start") or began


def items_in_place_of_a_plan(subscription: JsonObject) -> None:
    """Before 2016-07-06 a subscription had one plan and one quantity, and no items."""
    plan, quantity = subscription.pop("plan", None), subscription.pop("quantity", None)
    if plan is not None and not data(subscription.get("items")):
        name = str(subscription.get("id") or "").removeprefix("sub_")
        item = {"id": f"si_{name}", "object": "subscription_item", "plan": plan, "quantity": quantity,
                "created": subscription.get("created")}  # fmt: skip
        subscription["items"] = {"object": "list", "data": [item]}
    for item in data(subscription.get("items")):
        newest("subscription_item", item)


def currency_of_its_prices(subscription: JsonObject) -> None:
    """Before 2022 a subscription did not tell its currency."""
    if subscription.get("currency") is None:
        for item in data(subscription.get("items")):
            subscription["currency"] = subscription.get("currency") or inner(item.get("price")).get("currency")


def collection_in_place_of_billing(owner: JsonObject) -> None:
    """Before 2019-10-17 `collection_method` was called `billing`."""
    _move(owner, "billing", "collection_method")


def periods_of_items(subscription: JsonObject) -> None:
    """Before 2025-03-31 the period was the subscription's, not its items'."""
    for item in data(subscription.get("items")):
        for name in ("current_period_start", "current_period_end"):
            if item.get(name) is None:
                item[name] = subscription.get(name)


def behavior_at_the_end(schedule: JsonObject) -> None:
    """Before 2019-12-03 the end of a schedule was called its renewal."""
    _move(schedule, "renewal_behavior", "end_behavior")


def items_of_phases(schedule: JsonObject) -> None:
    """Before 2020-08-27 phases had plans and a coupon, and a percentage of tax."""
    for phase in data(schedule.get("phases")):
        _move(phase, "plans", "items")
        tax_rate_of_a_percentage(phase)
        collection_in_place_of_billing(phase)
        coupon = phase.pop("coupon", None)
        if coupon is not None and not phase.get("discounts"):
            phase["discounts"] = [{"coupon": coupon}]
        for item in data(phase.get("items")):
            newest("phase_item", item)


def created_in_place_of_a_date(invoice: JsonObject) -> None:
    """Before 2019-03-14 `created` was called `date`, and `finalized_at` stood on the invoice itself."""
    _move(invoice, "date", "created")
    finalized = invoice.pop("finalized_at", None)
    if finalized is not None:
        invoice["status_transitions"] = {"finalized_at": finalized, **inner(invoice.get("status_transitions"))}


def status_of_an_invoice(invoice: JsonObject) -> None:
    """Before 2018-11-08 an invoice was paid, closed or forgiven; its status followed from that."""
    paid, closed, forgiven = (invoice.pop(name, None) for name in ("paid", "closed", "forgiven"))
    if invoice.get("status") is None and paid is not None:
        untouched = not invoice.get("attempted") and not invoice.get("attempt_count") and not invoice.get("number")
        uncollected = "uncollectible" if forgiven or closed else "draft" if untouched else "open"
        invoice["status"] = "paid" if paid else uncollected


def amounts_paid(invoice: JsonObject) -> None:
    """Before 2018-11-08 an invoice did not tell how much of it was paid."""
    due = invoice.get("amount_due")
    if isinstance(due, int):
        if invoice.get("amount_paid") is None:
            invoice["amount_paid"] = due if invoice.get("status") == "paid" else 0
        if invoice.get("amount_remaining") is None and isinstance(invoice["amount_paid"], int):
            invoice["amount_remaining"] = 0 if invoice.get("status") == "void" else due - invoice["amount_paid"]


def lines_by_type(invoice: JsonObject) -> None:
    """Before 2013-08-13 an invoice's lines were three lists: for the customer's one subscription, prorations, and items."""
    lines = invoice.get("lines")
    if isinstance(lines, dict) and "data" not in lines and lines:
        names = ("subscriptions", "prorations", "invoiceitems")
        if lines.keys() <= {*names, "object", "url"}:
            own = f"sub_{id_of(invoice.get('customer'))}"  # as `subscriptions_in_place_of_one` calls it
            for line in (*data(lines.get("subscriptions")), *data(lines.get("prorations"))):
                if line.get("subscription") is None and invoice.get("subscription") is None:
                    line["subscription"] = own
            if data(lines.get("subscriptions")) and invoice.get("subscription") is None:
                invoice["subscription"] = own
            invoice["lines"] = {"data": [line for name in names for line in data(lines.get(name))]}


def lines_of_an_invoice(invoice: JsonObject) -> None:
    """Lines have changed with their invoices."""
    for position, line in enumerate(data(invoice.get("lines"))):
        name = str(line.get("id") or "")
        if name.startswith("sub_") or not name:
            # Before 2019-12-03 a line had the id of its subscription, so that it repeats. Some versions told another one.
            if line.get("subscription") is None and line.get("parent") is None and name:
                line["subscription"] = name
            line["id"] = (
                line.get("unique_id") or line.get("unique_line_item_id") or f"il_{invoice.get('id')}_{position}"
            )
        if line.get("period") is None:  # before 2013 an invoice item had a day
            day = line.get("date") or invoice.get("created")
            line["period"] = {"start": day, "end": day}
        newest("line_item", line)


def pricing_of_a_line(line: JsonObject) -> None:
    """Before 2025-03-31 a line, and an invoice item, had its price itself."""
    price_in_place_of_a_plan(line)
    price, unit = line.pop("price", None), line.pop("unit_amount_decimal", None)
    if line.get("pricing") is None and price is not None:
        details = {"price": price, "product": id_of(inner(price).get("product"))}
        unit = unit or inner(price).get("unit_amount_decimal")
        line["pricing"] = {"type": "price_details", "price_details": details, "unit_amount_decimal": unit}


def parent_of_a_line(line: JsonObject) -> None:
    """Before 2025-03-31 a line named its subscription, its item and whether it is a proration itself."""
    names = ("subscription", "subscription_item", "proration", "proration_details", "invoice_item")
    told = {name: line.pop(name, None) for name in names}
    if line.get("parent") is None and any(value is not None for value in told.values()):
        of_item = (told["subscription"] is not None and line.get("type") != "invoiceitem") or told["subscription_item"]
        kind = "subscription_item_details" if of_item else "invoice_item_details"
        line["parent"] = {"type": kind, kind: {name: value for name, value in told.items() if value is not None}}


def tax_of_an_invoice(invoice: JsonObject) -> None:
    """Before 2019-04 an invoice told the sum of its tax, and nothing of its rates."""
    tax = invoice.pop("tax", None)
    invoice.pop("tax_percent", None)
    if not invoice.get("total_taxes") and isinstance(tax, int) and tax:
        invoice["total_taxes"] = [_tax({"amount": tax})]


def discount_of_an_invoice(invoice: JsonObject) -> None:
    """Before 2020-08-27 an invoice did not tell what its discount took off; it is what the sums leave."""
    one = invoice.pop("discount", None)
    if isinstance(one, dict) and invoice.get("total_discount_amounts") is None:
        newest("discount", one)
        sums = invoice.get("subtotal"), invoice.get("total")
        if all(isinstance(amount, int) for amount in sums):
            taxes = data(invoice.get("total_taxes"))
            added = sum(tax.get("amount") or 0 for tax in taxes if tax.get("tax_behavior") == "exclusive")
            off = (sums[0] or 0) + added - (sums[1] or 0)
            invoice["total_discount_amounts"] = [{"amount": off, "discount": one.get("id") or "di"}] if off > 0 else []


def parent_of_an_invoice(invoice: JsonObject) -> None:
    """Before 2025-03-31 an invoice named its subscription itself."""
    subscription = invoice.pop("subscription", None)
    if subscription is not None and invoice.get("parent") is None:
        invoice["parent"] = {"type": "subscription_details", "subscription_details": {"subscription": subscription}}


def amounts_of_a_credit_note(note: JsonObject) -> None:
    """Before 2025-03-31 a credit note was of before or of after the payment, as its type says, and not of both."""
    if note.get("pre_payment_amount") is None and note.get("post_payment_amount") is None:
        after = note.get("type") == "post_payment"
        note["post_payment_amount" if after else "pre_payment_amount"] = note.get("amount")


def parent_of_an_invoice_item(item: JsonObject) -> None:
    """Before 2025-03-31 an invoice item named its subscription itself."""
    told = {name: item.pop(name, None) for name in ("subscription", "subscription_item")}
    if told["subscription"] is not None and item.get("parent") is None:
        item["parent"] = {"type": "subscription_details", "subscription_details": told}


def _each(name: str, kind: str) -> Adapter:
    def adapt(owner: JsonObject) -> None:
        for part in data(owner.get(name)):
            newest(kind, part)

    return adapt


ADAPTERS: dict[str, Iterable[Adapter]] = {
    "account": (profile_of_an_account,),
    "plan": (plan_with_a_name, plan_as_price),
    "discount": (discount_with_a_source, discount_with_an_id),
    "promotion_code": (promotion_of_a_code,),
    "customer": (sources_in_place_of_cards, balance_of_the_account, subscriptions_in_place_of_one,
                 default_source_as_payment_method, customer_discount),
    "card": (card_as_payment_method,), "bank_account": (card_as_payment_method,), "source": (card_as_payment_method,),
    "tax_id": (owner_of_a_tax_id,),
    "subscription_item": (price_in_place_of_a_plan, _each("discounts", "discount")),
    "subscription": (start_of_a_subscription, items_in_place_of_a_plan, currency_of_its_prices, tax_rate_of_a_percentage,
                     collection_in_place_of_billing, default_source_as_payment_method, discounts_in_place_of_one,
                     periods_of_items),
    "phase_item": (price_in_place_of_a_plan,),
    "subscription_schedule": (behavior_at_the_end, items_of_phases),
    "line_item": (pricing_of_a_line, parent_of_a_line, taxes_in_place_of_amounts),
    "invoice": (created_in_place_of_a_date, status_of_an_invoice, amounts_paid, collection_in_place_of_billing, lines_by_type,
                lines_of_an_invoice, taxes_in_place_of_amounts, tax_of_an_invoice, discount_of_an_invoice,
                parent_of_an_invoice),
    "credit_note_line_item": (taxes_in_place_of_amounts,),
    "credit_note": (amounts_of_a_credit_note, _each("lines", "credit_note_line_item")),
    "invoiceitem": (pricing_of_a_line, parent_of_an_invoice_item, _each("discounts", "discount")),
}  # fmt: skip
