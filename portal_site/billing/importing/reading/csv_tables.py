"""Reads CSV: tables of the dashboard's exports and of the data export, where they carry enough.

Columns are members in words (`Created (UTC)`, `Customer ID`) or joined by underscores (`address_city`, `customer_id`). Times are
in UTC. Amounts with a decimal point are in the currency's unit, others in its minor unit, as each export has them.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from io import TextIOWrapper
from typing import BinaryIO

from portal_site.billing.errors import ImportRefused
from portal_site.billing.rules.amounts import money
from portal_site.db.json_columns import JsonObject

# Members that a column's name begins with: `address_city` is the `city` of `address`.
PARTS = (
    "shipping_address", "address", "shipping", "recurring", "invoice_settings", "status_transitions", "verification", "card",
    "period", "transform_quantity", "restrictions", "cancellation_details", "customer_address", "business_profile",
)  # fmt: skip
REFERENCES = (
    "customer", "product", "price", "plan", "coupon", "subscription", "subscription_item", "invoice", "default_payment_method",
    "default_source", "latest_invoice", "promotion_code", "default_card",
)  # fmt: skip
AMOUNTS = (
    "amount", "unit_amount", "amount_off", "amount_due", "amount_paid", "amount_remaining", "subtotal", "total", "tax", "balance",
    "account_balance", "starting_balance", "ending_balance", "minimum_amount",
)  # fmt: skip
NUMBERS = (
    "quantity", "interval_count", "trial_period_days", "duration_in_months", "times_redeemed", "max_redemptions", "exp_month",
    "exp_year", "attempt_count", "next_invoice_sequence", "days_until_due", "divide_by", "billing_cycle_anchor",
)  # fmt: skip
DECIMALS = ("percent_off", "tax_percent")
OTHER_NAMES = {
    "date": "created",
    "start": "start_date",
    "customer_email": "customer_email",
    "plan_id": "plan",
    "price_id": "price",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?(\.\d+)?( ?UTC|Z)?")


def as_json_lines(file: BinaryIO, name: str, kind: str | None, lines: BinaryIO) -> BinaryIO:
    """`lines`, an empty file, with the rows of a table of this type as objects. Raises ImportRefused if it is no table."""
    with file:
        try:
            for document in _documents(file, kind or ""):
                lines.write(json.dumps(document).encode() + b"\n")
        except (UnicodeDecodeError, csv.Error) as error:
            raise ImportRefused(f"{name} is not a table in UTF-8: {error}.") from None
    if not lines.tell():
        lines.write(b"{}")
    lines.seek(0)
    return lines


def _documents(file: BinaryIO, kind: str) -> Iterator[JsonObject]:
    rows = csv.DictReader(TextIOWrapper(file, encoding="utf-8-sig", newline=""))
    for row in rows:
        values = {_column(title): text.strip() for title, text in row.items() if title and text and text.strip()}
        if "id" not in values and f"{kind}_id" in values:
            values["id"] = values.pop(f"{kind}_id")
        currency = (values.get("currency") or "usd").lower()
        document = _nested({name: _value(name, text, currency) for name, text in values.items()}, kind)
        COMPLETE.get(kind, _as_it_is)(document)
        yield document


def _column(title: str) -> str:
    """`Created (UTC)` becomes `created`, `Customer ID` `customer_id`, `default_payment_method_id` stays."""
    plain = re.sub(r"\(.*?\)", "", title).strip().lower()
    return re.sub(r"\W+", "_", plain).strip("_")


def _value(name: str, text: str, currency: str) -> int | float | str:
    last = next((word for word in (*AMOUNTS, *NUMBERS, *DECIMALS) if name == word or name.endswith(f"_{word}")), "")
    try:
        if last in AMOUNTS and name not in NUMBERS:
            number = Decimal(text.replace(",", ""))
            return money.minor(number, currency) if "." in text else int(number)
        if last in NUMBERS:
            return int(Decimal(text))
        if last in DECIMALS:
            return float(text)
    except InvalidOperation:
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _TIME.fullmatch(text):
        moment = datetime.fromisoformat(text.removesuffix("UTC").removesuffix("Z").strip())
        return int(moment.replace(tzinfo=UTC).timestamp())
    return text.lower() if name == "currency" else text


def _nested(values: JsonObject, kind: str) -> JsonObject:
    """Columns of parts below their parts, and references under the names that they have in the API."""
    document: JsonObject = {}
    for name, value in values.items():
        part = next((part for part in PARTS if name.startswith(f"{part}_")), None)
        if part == "period" and kind not in ("line_item", "invoice_line_item", "invoiceitem"):
            part = None
        if part == "shipping_address":
            shipping = document.setdefault("shipping", {})
            shipping.setdefault("address", {})[name.removeprefix("shipping_address_")] = value
        elif part is not None:
            document.setdefault(part, {})[_reference(name.removeprefix(f"{part}_"))] = value
        else:
            document[OTHER_NAMES.get(name, _reference(name))] = value
    return document


def _reference(name: str) -> str:
    """`customer_id` as the API has it: `customer`."""
    plain = name.removesuffix("_id")
    return plain if plain in REFERENCES else name


def _as_it_is(_document: JsonObject) -> None:
    pass


def _complete_customer(customer: JsonObject) -> None:
    card = customer.pop("card", None)
    if isinstance(card, dict) and "id" in card:
        customer["sources"] = {"data": [{**card, "object": "card", "customer": customer.get("id")}]}
        customer.setdefault("default_source", card["id"])


def _complete_price(price: JsonObject) -> None:
    """A table of prices has the columns that plans had, and the names of products beside their ids."""
    name = price.pop("product_name", None)
    if name is not None and isinstance(price.get("product"), str):
        price["product"] = {"id": price["product"], "object": "product", "name": name}
    if "unit_amount" not in price and "recurring" not in price:
        price["object"] = "plan"


def _complete_subscription(subscription: JsonObject) -> None:
    """A row has the price of its only item; those of several are in a table of items."""
    if "plan" not in subscription and "price" in subscription:
        subscription["plan"] = subscription.pop("price")
    if "plan" not in subscription:
        subscription["items"] = {"object": "list", "data": [], "has_more": True}


def _complete_invoice(invoice: JsonObject) -> None:
    """The lines are in a table of their own."""
    invoice.setdefault("lines", {"object": "list", "data": [], "has_more": True})


# What the tables of these types cannot say of their rows.
COMPLETE: dict[str, Callable[[JsonObject], None]] = {
    "customer": _complete_customer,
    "price": _complete_price,
    "plan": _complete_price,
    "subscription": _complete_subscription,
    "invoice": _complete_invoice,
}
