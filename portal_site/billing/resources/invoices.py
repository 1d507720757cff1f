"""Invoices, their amounts of discount and tax, and invoice items, which are pending lines."""

from portal_site.billing.models import CreditNote, Invoice, InvoiceLineItem
from portal_site.billing.models.columns import values
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.db.json_columns import JsonObject

_PLAIN = (
    "id", "created", "livemode", "number", "status", "currency", "subtotal", "total", "billing_reason", "amount_due",
    "amount_paid", "amount_remaining", "pre_payment_credit_notes_amount", "post_payment_credit_notes_amount",
    "attempt_count", "collection_method", "due_date", "next_payment_attempt",
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


def credit_note(row: CreditNote) -> JsonObject:
    """A `credit_note` without its lines; amounts are in minor units."""
    names = ("id", "created", "livemode", "number", "currency", "amount", "pre_payment_amount", "post_payment_amount")
    refunded = {"amount_refunded": row.post_payment_amount, "refund": row.refund_id, "type": "refund"}
    return {
        "object": "credit_note",
        **values(row, *names, "memo", "reason", "voided_at"),
        "customer": row.customer_id,
        "invoice": row.invoice_id,
        "refunds": [refunded] if row.refund_id else [],
        "status": "issued" if row.voided_at is None else "void",
        "type": "mixed" if row.pre_payment_amount and row.post_payment_amount else _type(row),
    }


def _type(row: CreditNote) -> str:
    return "post_payment" if row.post_payment_amount else "pre_payment"


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
