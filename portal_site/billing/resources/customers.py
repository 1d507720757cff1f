"""Customers and their tax ids."""

from portal_site.billing.models import Customer, TaxId
from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject


def customer(row: Customer) -> JsonObject:
    """A `customer`; `balance` is in minor units."""
    names = ("id", "created", "livemode", "name", "email", "phone", "address", "shipping", "balance", "currency")
    return {
        "object": "customer",
        **values(row, *names, "delinquent", "description", "invoice_prefix", "preferred_locales", "tax_exempt"),
        "invoice_credit_balance": _invoice_credit_balance(row),
        "invoice_settings": {"default_payment_method": row.default_payment_method_id},
        "metadata": row.metadata_,
    }


def _invoice_credit_balance(row: Customer) -> JsonObject:
    """What the customer has in each currency; here, unlike in `balance`, credit is positive."""
    amounts = {**({row.currency: row.balance} if row.currency else {}), **(row.other_balances or {})}
    return {currency: -amount for currency, amount in amounts.items() if amount}


def tax_id(row: TaxId) -> JsonObject:
    """A `tax_id`."""
    verification = {
        "status": row.verification_status,
        "verified_name": row.verified_name,
        "verified_address": row.verified_address,
    }
    named = values(row, "id", "created", "livemode", "type", "value", "country")
    return {"object": "tax_id", **named, "customer": row.customer_id, "verification": verification}
