"""The rows that an invoice is written as in bulk: the invoice, its lines and its balance transaction."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypedDict

from portal_site.billing.invoicing.payers import Payer
from portal_site.billing.models import Subscription
from portal_site.billing.resources import invoices as resources
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.invoicing.descriptions import describe
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals, summed_taxes
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.db.json_columns import JsonObject
from portal_site.ids import new_id


class InvoiceParties(TypedDict):
    """The columns of an invoice about the account and the customer."""

    account_name: str | None
    account_address: JsonObject | None
    account_tax_ids: list[JsonObject]
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    customer_address: JsonObject | None
    customer_shipping: JsonObject | None
    customer_tax_ids: list[JsonObject]


class InvoiceAmounts(TypedDict):
    """The columns of an invoice that its lines and the balance decide, in minor units."""

    subtotal: int
    total: int
    total_excluding_tax: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    pre_payment_credit_notes_amount: int
    post_payment_credit_notes_amount: int
    amount_refunded: int
    refunds_credited: int
    amount_disputed: int
    starting_balance: int
    ending_balance: int | None
    total_discount_amounts: list[JsonObject]
    total_taxes: list[JsonObject]


class InvoiceRow(InvoiceParties, InvoiceAmounts):
    """An invoice: all columns but `description` and `footer`, which only an import sets."""

    id: str
    account_id: str
    livemode: bool
    customer_id: str
    subscription_id: str
    on_behalf_of: str | None
    created: int
    number: str | None
    status: str
    billing_reason: str
    collection_method: str
    currency: str
    period_start: int
    period_end: int
    due_date: int | None
    customer_tax_exempt: str
    attempt_count: int
    next_payment_attempt: int | None
    cycle_at: int | None
    finalized_at: int | None
    paid_at: int | None
    voided_at: int | None
    marked_uncollectible_at: int | None
    metadata: JsonObject


class InvoiceChanges(TypedDict, total=False):
    """The columns in which an invoice may differ from a finalized one that a change of a subscription is billed with."""

    number: str | None
    status: str
    billing_reason: str
    period_start: int
    period_end: int
    due_date: int | None
    starting_balance: int
    ending_balance: int | None
    next_payment_attempt: int | None
    cycle_at: int
    finalized_at: int | None
    paid_at: int | None
    marked_uncollectible_at: int | None


class LinePrice(TypedDict):
    """The columns of a line about its price."""

    price_id: str
    product_id: str
    product_name: str
    unit_label: str | None
    currency: str
    unit_amount_decimal: str | None


class LineProration(TypedDict):
    """The columns of a line about the part of its period that it bills."""

    proration: bool
    discountable: bool
    share_left: int | None
    share_whole: int | None
    share_amount: int | None


class LineRow(LinePrice, LineProration):
    """A line of an invoice, or a pending one."""

    id: str
    account_id: str
    customer_id: str
    invoice_id: str | None
    position: int
    amount: int
    total: int
    description: str
    quantity: int | None
    period_start: int
    period_end: int
    subscription_id: str
    subscription_item_id: str
    credited_line_id: str | None
    pending_since: int | None
    discount_amounts: list[JsonObject]
    taxes: list[JsonObject]


class TakenLine(TypedDict):
    """What changes in a pending line that an invoice takes."""

    id: str
    invoice_id: str
    position: int


class BalanceTransactionRow(TypedDict):
    """A balance transaction that an invoice causes."""

    id: str
    account_id: str
    livemode: bool
    customer_id: str
    created: int
    type: str
    amount: int
    currency: str
    ending_balance: int
    invoice_id: str


# The columns in which a draft differs from a finalized invoice.
DRAFT: InvoiceChanges = {
    "status": InvoiceStatus.DRAFT, "number": None, "due_date": None, "starting_balance": 0, "ending_balance": None,
    "next_payment_attempt": None, "finalized_at": None, "paid_at": None, "marked_uncollectible_at": None,
}  # fmt: skip


def invoice_row(customer: Payer, subscription: Subscription, bill: InvoiceTotals, at: int) -> InvoiceRow:
    """A finalized invoice, with the current names and addresses of account and customer. It is paid if nothing is due."""
    paid = bill.amount_due == 0
    return {
        "id": new_id("in"),
        "account_id": customer.account_id,
        "livemode": customer.livemode,
        "customer_id": customer.id,
        "subscription_id": subscription.id,
        "on_behalf_of": subscription.on_behalf_of,
        "created": at,
        "number": number_of(customer),
        "status": InvoiceStatus.PAID if paid else InvoiceStatus.OPEN,
        "billing_reason": "subscription_update",
        "collection_method": subscription.collection_method,
        "currency": bill.currency,
        "period_start": at,
        "period_end": at,
        "due_date": due_date(subscription, at),
        "customer_tax_exempt": customer.tax_exempt,  # like the amounts, which it decided: a draft keeps both
        "attempt_count": 0,
        "next_payment_attempt": None,
        "cycle_at": None,
        "finalized_at": at,
        "paid_at": at if paid else None,
        "voided_at": None,
        "marked_uncollectible_at": None,
        "metadata": {},
        **_invoice_amounts(bill),
        **invoice_parties(customer),
    }


def number_of(customer: Payer) -> str:
    """The number of the customer's next invoice, as it is printed."""
    return f"{customer.invoice_prefix}-{customer.number:04d}"


def due_date(subscription: Subscription, at: int) -> int | None:
    """When an invoice written at `at` is due, with `send_invoice`; None for automatic charges."""
    if subscription.collection_method != "send_invoice":
        return None
    return at + (subscription.days_until_due or 0) * 24 * 60 * 60


def invoice_parties(customer: Payer) -> InvoiceParties:
    """What the invoice says of the account and the customer, as of now."""
    return {
        "account_name": customer.account_name,
        "account_address": customer.account_address,
        "account_tax_ids": customer.account_tax_ids,
        "customer_name": customer.name,
        "customer_email": customer.email,
        "customer_phone": customer.phone,
        "customer_address": customer.address,
        "customer_shipping": customer.shipping,
        "customer_tax_ids": customer.tax_ids,
    }


def _invoice_amounts(bill: InvoiceTotals) -> InvoiceAmounts:
    included = sum(tax.amount for line in bill.lines for tax in line.taxes if tax.rate.inclusive)
    return {
        "subtotal": bill.subtotal,
        "total": bill.total,
        "total_excluding_tax": bill.total - bill.tax - included,
        "amount_due": bill.amount_due,
        "amount_paid": 0,
        "amount_remaining": bill.amount_due,
        "pre_payment_credit_notes_amount": 0,
        "post_payment_credit_notes_amount": 0,
        "amount_refunded": 0,
        "refunds_credited": 0,
        "amount_disputed": 0,
        "starting_balance": bill.starting_balance,
        "ending_balance": bill.ending_balance,
        "total_discount_amounts": _summed_discounts(bill.lines),
        "total_taxes": [resources.tax_amount(tax) for tax in summed_taxes(bill.lines)],
    }


def _summed_discounts(lines: Sequence[InvoiceLine]) -> list[JsonObject]:
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        for discount_id, amount in line.discounts:
            sums[discount_id] += amount
    return [resources.discount_amount(discount_id, amount) for discount_id, amount in sums.items()]


def line_row(line: InvoiceLine, subscription: Subscription, invoice_id: str | None, position: int) -> LineRow:
    """A line; `invoice_id` is None for a pending line."""
    return {
        "id": new_id("il"),
        "account_id": subscription.account_id,
        "customer_id": subscription.customer_id,
        "invoice_id": invoice_id,
        "position": position,
        "amount": line.amount,
        "total": line.total,
        "description": describe(line),
        "quantity": line.quantity,
        "period_start": line.period_start,
        "period_end": line.period_end,
        "subscription_id": subscription.id,
        "subscription_item_id": line.item_id,
        "credited_line_id": line.credits,
        "pending_since": None,
        "discount_amounts": [resources.discount_amount(discount_id, amount) for discount_id, amount in line.discounts],
        "taxes": [resources.tax_amount(tax) for tax in line.taxes],
        **_price_columns(line),
        **_proration_columns(line.proration, line.full_amount),
    }


def _price_columns(line: InvoiceLine) -> LinePrice:
    offer = line.offer
    return {
        "price_id": offer.price_id,
        "product_id": offer.product_id,
        "product_name": offer.product,
        "unit_label": offer.unit_label,
        "currency": offer.terms.currency,
        "unit_amount_decimal": None if line.proration or offer.terms.tiers else str(offer.terms.unit_amount),
    }


def _proration_columns(proration: ProrationFactor | None, full_amount: int) -> LineProration:
    return {
        "proration": proration is not None,
        "discountable": proration is None,
        "share_left": proration.seconds if proration else None,
        "share_whole": proration.period_seconds if proration else None,
        "share_amount": full_amount if proration else None,
    }


def balance_row(customer: Payer, bill: InvoiceTotals, invoice_id: str, at: int) -> BalanceTransactionRow:
    """The balance transaction that an invoice causes."""
    return {
        "id": new_id("cbtxn"),
        "account_id": customer.account_id,
        "livemode": customer.livemode,
        "customer_id": customer.id,
        "created": at,
        "type": balance_type(bill.amount_due, bill.ending_balance),
        "amount": bill.balance_used,
        "currency": bill.currency,
        "ending_balance": bill.ending_balance,
        "invoice_id": invoice_id,
    }


def balance_type(amount_due: int, ending_balance: int) -> str:
    """The type of the balance transaction of an invoice."""
    return "invoice_too_small" if amount_due == 0 and ending_balance > 0 else "applied_to_invoice"
