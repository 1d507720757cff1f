"""Stripe Billing on loopback: an account with subscriptions that it bills as time goes by, as far as a migration asks.

Time is `now`, and moves with `advance`, which bills every boundary in its order. `bills` says what it did with each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.stripe.double import Document, Double, Refused

NOW, DAY = 1_790_000_000, 86_400
MONTH = 30 * DAY
MODED = {"created": NOW - 90 * DAY, "livemode": False}
KINDS = {
    "tax_ids": "tax_id", "tax_rates": "tax_rate", "products": "product", "prices": "price", "coupons": "coupon",
    "promotion_codes": "promotion_code", "customers": "customer", "subscriptions": "subscription",
    "subscription_schedules": "subscription_schedule", "invoices": "invoice", "credit_notes": "credit_note",
    "invoiceitems": "invoiceitem", "configurations": "billing_portal.configuration", "payment_methods": "payment_method",
}  # fmt: skip
RATE: Document = {
    "id": "txr_one",
    "object": "tax_rate",
    "display_name": "TVA",
    "percentage": 20.0,
    "inclusive": False,
    **MODED,
}
PRODUCT: Document = {"id": "prod_team", "object": "product", "name": "Team", "active": True, **MODED}
PRICES: list[Document] = [
    {
        "id": f"price_{amount}", "object": "price", "product": "prod_team", "currency": "eur", "active": True,
        "type": "recurring", "billing_scheme": "per_unit", "unit_amount": amount, "unit_amount_decimal": str(amount),
        "recurring": {"interval": "day", "interval_count": 30, "usage_type": "licensed"}, "tax_behavior": "exclusive",
        "metadata": {}, **MODED,
    }
    for amount in (1200, 2500, 9900)
]  # fmt: skip
COUPON: Document = {
    "id": "coupon_ten", "object": "coupon", "name": "Ten off", "percent_off": 10.0, "duration": "forever", "valid": True,
    "times_redeemed": 1, **MODED,
}  # fmt: skip
RETURNED = {"object": "list", "has_more": False}


@dataclass(frozen=True)
class Billed:
    """What became of a boundary: `paid`, or `void`."""

    subscription: str
    boundary: int
    status: str


@dataclass
class BillingDouble(Double):
    """The account. `page` is how many objects a list gives at most; one subscription of `charged` is charged, others are sent."""

    now: int = NOW
    page: int = 100
    charged: int = 1
    bills: list[Billed] = field(default_factory=list)
    planted: dict[str, dict[str, Any]] = field(default_factory=dict)  # changes of previews, by subscription
    listed: dict[tuple[str, str | None], list[Document]] = field(default_factory=dict)  # by type, and by customer too
    lines: dict[str, list[Document]] = field(default_factory=dict)  # of invoices with more than ten
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def put(self, document: Document) -> Document:
        """Store an object."""
        self.objects[document["id"]] = document
        for owner in {None, document.get("customer")}:
            self.listed.setdefault((document["object"], owner), []).append(document)
        return document

    def fill(self, subscriptions: int) -> None:
        """Make so many subscriptions: most of one customer each, every tenth customer has two."""
        for document in (RATE, PRODUCT, *PRICES, COUPON):
            self.put(dict(document))
        number = 0
        while number < subscriptions:
            customer = f"cus_{number:04}"
            self.customer(customer)
            for _ in range(2 if number % 10 == 0 and number + 1 < subscriptions else 1):
                sent: Document = {"collection_method": "send_invoice", "days_until_due": 30}
                self.subscription(f"sub_{number:04}", customer, number, **(sent if number % self.charged else {}))
                number += 1

    def customer(self, name: str, **members: Any) -> Document:
        """A customer with a card."""
        method = f"pm_{name}"
        card = {
            "brand": "visa",
            "last4": "4242",
            "exp_month": 11,
            "exp_year": 2039,
            "funding": "credit",
            "country": "FR",
        }
        self.put({"id": method, "object": "payment_method", "customer": name, "type": "card", "card": card, **MODED})
        return self.put(
            {"id": name, "object": "customer", "email": f"{name}@acme.example", "name": name, "balance": 0,
             "currency": "eur", "invoice_settings": {"default_payment_method": method}, "tax_exempt": "none",
             "metadata": {}, "tax_ids": {**RETURNED, "data": []}, "sources": {**RETURNED, "data": []}, **MODED, **members}
        )  # fmt: skip

    def subscription(self, name: str, customer: str, number: int = 0, **members: Any) -> Document:
        """A subscription in its first half of a period, with the paid invoice of it; every third has a discount and taxes."""
        start = NOW - (1 + number % 10) * DAY
        price = PRICES[number % 3]
        item = {
            "id": f"si_{name}", "object": "subscription_item", "subscription": name, "price": dict(price),
            "quantity": 1 + number % 4, "created": start - 60 * DAY, "tax_rates": [], "metadata": {},
            "current_period_start": start, "current_period_end": start + MONTH,
        }  # fmt: skip
        discount = {
            "id": f"di_{name}",
            "object": "discount",
            "start": start,
            "end": None,
            "source": {"coupon": dict(COUPON)},
        }
        document = self.put(
            {
                "id": name, "object": "subscription", "customer": customer, "status": "active", "currency": "eur",
                "collection_method": "charge_automatically", "start_date": start - 2 * MONTH,
                "billing_cycle_anchor": start, "billing_mode": {"type": "flexible"}, "cancel_at": None,
                "cancel_at_period_end": False, "canceled_at": None, "ended_at": None, "pending_update": None,
                "pause_collection": None, "latest_invoice": f"in_{name}", "schedule": None, "default_payment_method": None,
                "items": {"object": "list", "has_more": False, "data": [item]}, "metadata": {},
                "discounts": [discount] if number % 3 == 0 else [],
                "default_tax_rates": [dict(RATE)] if number % 3 == 0 else [], **MODED, **members,
            }
        )  # fmt: skip
        self._invoice(document, start, "paid", name=f"in_{name}")
        return document

    def advance(self, to: int) -> None:
        """Let time go by, and bill what is due on the way."""
        while due := min((_end(one) for one in self._running() if _end(one) <= to), default=None):
            for one in [one for one in self._running() if _end(one) == due]:
                self._renew(one, due)
        self.now = to

    def _running(self) -> list[Document]:
        return [one for one in self.listed.get(("subscription", None), []) if one["status"] != "canceled"]

    def _renew(self, one: Document, at: int) -> None:
        if one["cancel_at_period_end"]:
            one |= {"status": "canceled", "ended_at": at, "cancel_at_period_end": False, "cancel_at": None}
            return
        for item in one["items"]["data"]:
            item["current_period_start"], item["current_period_end"] = at, at + MONTH
        status = "void" if one["pause_collection"] else "paid"
        one["latest_invoice"] = self._invoice(one, at, status)["id"]
        self.bills.append(Billed(one["id"], at, status))

    def _invoice(self, one: Document, start: int, status: str, name: str = "") -> Document:
        bill = self._bill(one, start)
        for line in bill["lines"]["data"]:
            line["id"] = f"il_{next(self.numbers)}"
        paid = bill["amount_due"] if status == "paid" else 0
        return self.put(
            {
                **bill, "id": name or f"in_{next(self.numbers)}", "object": "invoice", "status": status,
                "number": f"A-{next(self.numbers):05}", "created": start, "livemode": False,
                "billing_reason": "subscription_cycle", "amount_paid": paid, "amount_remaining": bill["amount_due"] - paid,
                "status_transitions": {"finalized_at": start, "paid_at": start if paid else None},
                "account_name": "Acme", "parent": {"subscription_details": {"subscription": one["id"]}},
                "subscription": one["id"], "metadata": {},
            }
        )  # fmt: skip

    def _bill(self, one: Document, at: int) -> Document:
        item = one["items"]["data"][0]
        amount = item["quantity"] * item["price"]["unit_amount"]
        discount = amount // 10 if one["discounts"] else 0
        tax = (amount - discount) // 5 if one["default_tax_rates"] else 0
        taken = [{"amount": discount, "discount": one["discounts"][0]["id"]}] if discount else []
        taxes = [
            {"amount": tax, "tax_behavior": "exclusive", "taxable_amount": amount - discount, "type": "tax_rate_details",
             "tax_rate_details": {"tax_rate": "txr_one"}, "taxability_reason": "standard_rated"}
        ] if tax else []  # fmt: skip
        parent = {
            "subscription_item_details": {
                "subscription": one["id"],
                "subscription_item": item["id"],
                "proration": False,
            }
        }
        line = {
            "id": "il_preview", "object": "line_item", "amount": amount, "currency": "eur", "description": "Team",
            "discountable": True, "discount_amounts": taken, "taxes": taxes, "quantity": item["quantity"],
            "period": {"start": at, "end": at + MONTH}, "parent": parent,
            "pricing": {"price_details": {"price": item["price"]["id"], "product": "prod_team"}},
        }  # fmt: skip
        pending = [
            {"id": f"il_{ii['id']}", "object": "line_item", "amount": ii["amount"], "currency": "eur", "quantity": 1,
             "description": ii["description"], "discountable": False, "period": ii["period"],
             "parent": {"invoice_item_details": {"invoice_item": ii["id"], "subscription": one["id"]}}}
            for ii in self.listed.get(("invoiceitem", one["customer"]), [])
            if ii["parent"]["subscription_details"]["subscription"] == one["id"]
        ]  # fmt: skip
        extra = sum(each["amount"] for each in pending)
        total = amount - discount + tax + extra
        balance = self.objects[one["customer"]]["balance"]
        return {
            "customer": one["customer"], "currency": "eur", "collection_method": one["collection_method"],
            "period_start": at - MONTH, "period_end": at, "subtotal": amount + extra, "total": total,
            "amount_due": max(0, total + balance), "starting_balance": balance, "ending_balance": min(0, total + balance),
            "total_discount_amounts": taken, "total_taxes": taxes,
            "lines": {"object": "list", "has_more": False, "data": [line, *pending]},
        }  # fmt: skip

    def _found(self, path: list[str], params: Document) -> Document:
        if path[-1] in KINDS or path[-1] == "lines":
            return self._page(path, params)
        found = super()._found(path, params)
        if path[0] == "subscriptions":
            return self._expanded(found, [])
        return found

    def _page(self, path: list[str], params: Document) -> Document:
        """A page of a list, of what the parameters leave of it."""
        if path[-1] == "lines":
            mine = self.lines[path[1]]
        else:
            customer = path[1] if len(path) == 3 and path[0] == "customers" else params.get("customer")
            mine = [
                one for one in self.listed.get((KINDS[path[-1]], customer), []) if self._is_wanted(one, path, params)
            ]
        after = params.get("starting_after")
        start = 1 + [one["id"] for one in mine].index(after) if after else 0
        size = min(int(params.get("limit", 10)), self.page)
        data = mine[start : start + size]
        if path[-1] == "subscriptions":
            data = [
                self._expanded(one, [value for name, value in params.items() if name.startswith("expand")])
                for one in data
            ]
        return {
            "object": "list", "url": f"/v1/{'/'.join(path)}", "has_more": start + size < len(mine), "data": data,
        }  # fmt: skip

    def _is_wanted(self, one: Document, path: list[str], params: Document) -> bool:
        if path[-1] == "subscriptions" and params.get("status") != "all" and one["status"] == "canceled":
            return False
        if path[-1] == "invoices" and params.get("subscription") not in (None, one.get("subscription")):
            return False
        return int(one.get("created", 0)) >= int(params.get("created[gte]", 0))

    def _expanded(self, one: Document, expand: list[str]) -> Document:
        """A subscription; its latest invoice is whole if that is asked for."""
        if "data.latest_invoice" in expand and one["latest_invoice"]:
            return {**one, "latest_invoice": self.objects[one["latest_invoice"]]}
        return one

    def _created(self, path: list[str], params: Document) -> Document:
        if path == ["invoices", "create_preview"]:
            one = self.find(params["subscription"])
            if one["status"] == "canceled" or one["cancel_at_period_end"]:
                raise Refused(404, code="invoice_upcoming_none")
            if words := self.planted.get(one["id"], {}).get("refuses"):
                raise Refused(400, code="customer_tax_location_invalid", message=words)
            return {
                "id": "upcoming_in_1",
                "object": "invoice",
                **self._bill(one, _end(one)),
                **self.planted.get(one["id"], {}),
            }
        if path[0] == "subscriptions" and len(path) == 2:
            return self._updated(self.find(path[1]), params)
        return super()._created(path, params)

    def _updated(self, one: Document, params: Document) -> Document:
        if one["status"] == "canceled":
            raise Refused(400, code="invalid_canceled_subscription_fields")
        if one["schedule"] and "cancel_at_period_end" in params:
            raise Refused(400, message="The subscription is managed by a schedule.")
        if "cancel_at_period_end" in params:
            one["cancel_at_period_end"] = params["cancel_at_period_end"].lower() == "true"
            one["cancel_at"] = _end(one) if one["cancel_at_period_end"] else None
        if "pause_collection[behavior]" in params:
            one["pause_collection"] = {"behavior": params["pause_collection[behavior]"], "resumes_at": None}
        if params.get("pause_collection") == "":
            one["pause_collection"] = None
        for name, value in params.items():
            if name.startswith("metadata["):
                one["metadata"] = {**one["metadata"], name[9:-1]: value}
        one["metadata"] = {name: value for name, value in one["metadata"].items() if value != ""}
        return one


def _end(one: Document) -> int:
    return int(one["items"]["data"][0]["current_period_end"])
