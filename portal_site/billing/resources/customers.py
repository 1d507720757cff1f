"""Customers and their tax ids."""

from typing import Any

from portal_site.billing.models import TaxId
from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject

NAMES = (
    "id", "created", "livemode", "name", "email", "phone", "address", "shipping", "balance", "currency", "delinquent",
    "description", "invoice_prefix", "next_invoice_sequence", "preferred_locales", "tax_exempt",
)  # fmt: skip


def customer(row: Any) -> JsonObject:
    """A `customer` without its `discount`, from its row or the row's columns; `balance` is in minor units."""
    return {
        "object": "customer",
        **values(row, *NAMES),
        "customer_account": None,
        "default_source": None,
        "invoice_credit_balance": _invoice_credit_balance(row),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": row.default_payment_method_id,
            "footer": None,
            "rendering_options": None,
        },
        "metadata": row.metadata_,
        "test_clock": row.test_clock_id,
    }


def _invoice_credit_balance(row: Any) -> JsonObject:
    """What the customer has in each currency; here, unlike in `balance`, credit is positive."""
    amounts = {**({row.currency: row.balance} if row.currency else {}), **(row.other_balances or {})}
    return {currency: -amount for currency, amount in amounts.items() if amount}


def details(row: Any) -> JsonObject:
    """The `customer_details` of a Checkout session."""
    shown = values(row, "address", "email", "name", "phone", "tax_exempt")
    return {**shown, "business_name": None, "individual_name": None, "tax_ids": []}


def tax_id(row: TaxId) -> JsonObject:
    """A `tax_id`."""
    verification = {
        "status": row.verification_status,
        "verified_name": row.verified_name,
        "verified_address": row.verified_address,
    }
    named = values(row, "id", "created", "livemode", "type", "value", "country")
    return {"object": "tax_id", **named, "customer": row.customer_id, "verification": verification}
