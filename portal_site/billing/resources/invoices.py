"""Invoices, their amounts of discount and tax, and invoice items, which are pending lines."""

from portal_site.billing.models import Invoice, InvoiceLineItem
from portal_site.billing.models.columns import values
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.db.json_columns import JsonObject

_PLAIN = (
    "id", "created", "livemode", "number", "status", "currency", "subtotal", "total", "billing_reason", "amount_due",
    "amount_paid", "amount_remaining", "attempt_count", "collection_method", "due_date", "next_payment_attempt",
    "period_start", "period_end", "starting_balance", "ending_balance",
)  # fmt: skip
_TRANSITIONS = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")


def invoice(row: Invoice) -> JsonObject:
    """An `invoice` without its lines; amounts are in minor units."""
    subscription = row.subscription_id
    return {
        "object": "invoice",
        **values(row, *_PLAIN),
        "customer": row.customer_id,
        "parent": {"subscription_details": {"subscription": subscription}} if subscription else None,
        "status_transitions": values(row, *_TRANSITIONS),
    }


def invoice_item(row: InvoiceLineItem) -> JsonObject:
    """A pending line as an `invoiceitem`; `amount` is in minor units."""
    return {
        "object": "invoiceitem",
        **values(row, "id", "amount", "currency", "description", "quantity", "proration", "discountable"),
        "customer": row.customer_id,
        "subscription": row.subscription_id,
        "period": {"start": row.period_start, "end": row.period_end},
    }


def tax_amount(tax: Tax) -> JsonObject:
    """A tax of a line or of an invoice, in minor units: Stripe's shape, with the rate's name and percentage added."""
    return {
        "amount": tax.amount,
        "tax_behavior": "inclusive" if tax.rate.inclusive else "exclusive",
        "taxable_amount": tax.taxable,
        "tax_rate_details": {"tax_rate": tax.rate.id},
        "type": "tax_rate_details",
        "display_name": tax.rate.display_name,
        "percentage": str(tax.rate.percentage),
    }


def discount_amount(discount_id: str, amount: int) -> JsonObject:
    """What a discount takes off a line or an invoice, in minor units."""
    return {"amount": amount, "discount": discount_id}
