"""Writes invoices, their lines and balance transactions in bulk: for one change as for a whole renewal batch."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import Owned, emit
from portal_site.billing.invoicing.payers import Payer
from portal_site.billing.models import (
    Account,
    Customer,
    CustomerBalanceTransaction,
    Invoice,
    InvoiceLineItem,
    Subscription,
    TaxId,
)
from portal_site.billing.resources import invoices as resources
from portal_site.billing.rules.invoicing.descriptions import describe
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals, summed_taxes
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.billing.translation_marks import N_
from portal_site.db import Base, bulk
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import as_namespace
from portal_site.ids import new_id

Row = JsonObject  # the columns of a row that is written in bulk, by name
# The columns in which a draft differs from a finalized invoice.
DRAFT: Row = {
    "status": InvoiceStatus.DRAFT, "number": None, "due_date": None, "starting_balance": 0, "ending_balance": None,
    "next_payment_attempt": None, "finalized_at": None, "paid_at": None, "marked_uncollectible_at": None,
}  # fmt: skip
# The order of the inserts: a table comes after those that it refers to.
ORDER: tuple[type[Base], ...] = (Invoice, InvoiceLineItem, CustomerBalanceTransaction)


class InvoiceWriter:
    """Collects the rows of one transaction and emits their events; `write` sends them with one statement per table."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rows: dict[type[Base], list[Row]] = defaultdict(list)
        self.taken: list[Row] = []  # updates of pending lines that an invoice takes

    def add_pending(self, subscription: Subscription, lines: Iterable[InvoiceLine], at: int) -> None:
        """Add pending lines, which go on the subscription's next invoice."""
        for position, line in enumerate(lines):
            row = line_row(line, subscription, None, position) | {"pending_since": at}
            self.rows[InvoiceLineItem].append(row)
            self._emit("invoiceitem.created", subscription, resources.invoice_item(as_namespace(row)), at)

    def invoice(self, customer: Payer, subscription: Subscription, bill: InvoiceTotals, at: int, **members: Any) -> Row:
        """Add a finalized invoice and its balance transaction, and return its row. It is paid if nothing is due.

        `customer` is as from `with_next_number`: among others, `invoice_prefix` and `number`, the sequence number of this
        invoice. The caller updates the customer's balance.
        """
        row = self._add(invoice_row(customer, subscription, bill, at) | members, subscription, bill)
        self._emit("invoice.created", customer, _document(row | DRAFT), at)
        if bill.balance_used:
            self.rows[CustomerBalanceTransaction].append(balance_row(customer, bill, row["id"], at))
        self._add_finalized_events(customer, row, at)
        return row

    def draft(self, customer: Payer, subscription: Subscription, bill: InvoiceTotals, at: int, **members: Any) -> Row:
        """Add a draft and return its row. It has no number and does not change the balance; customers do not see it."""
        row = self._add(invoice_row(customer, subscription, bill, at) | DRAFT | members, subscription, bill)
        self._emit("invoice.created", customer, _document(row), at)
        return row

    def _add(self, row: Row, subscription: Subscription, bill: InvoiceTotals) -> Row:
        row = {"metadata": {}, **row}
        self.rows[Invoice].append(row)
        for position, line in enumerate(bill.lines):
            if line.id is None:
                self.rows[InvoiceLineItem].append(line_row(line, subscription, row["id"], position))
            else:
                self.taken.append({"id": line.id, "invoice_id": row["id"], "position": position})
        return row

    def _add_finalized_events(self, customer: Payer, row: Row, at: int) -> None:
        document = _document(row)
        opened = {"status": InvoiceStatus.OPEN, "paid_at": None, "marked_uncollectible_at": None}
        self._emit("invoice.finalized", customer, _document(row | opened), at)
        if row["status"] == InvoiceStatus.PAID:
            self._emit("invoice.paid", customer, document, at)
            self._emit("invoice.payment_succeeded", customer, document, at)
        if row["status"] == InvoiceStatus.UNCOLLECTIBLE:
            self._emit("invoice.marked_uncollectible", customer, document, at)

    def _emit(self, kind: str, owner: Owned, document: JsonObject, at: int) -> None:
        emit(self.session, kind, owner, at, document=document)

    def write(self) -> None:
        """Write the collected rows and clear them."""
        for kind in ORDER:
            if self.rows[kind]:
                bulk.insert(self.session, kind, self.rows[kind])
        if self.taken:
            bulk.update(self.session, InvoiceLineItem, self.taken)
        self.rows.clear()
        self.taken.clear()


def _document(row: Row) -> JsonObject:
    return resources.invoice(as_namespace(row))


def invoice_row(customer: Payer, subscription: Subscription, bill: InvoiceTotals, at: int) -> Row:
    """The columns of a finalized invoice, with the current names and addresses of account and customer."""
    paid = bill.amount_due == 0
    return {
        "id": new_id("in"),
        "account_id": customer.account_id,
        "livemode": customer.livemode,
        "customer_id": customer.id,
        "subscription_id": subscription.id,
        "on_behalf_of": subscription.on_behalf_of,
        "created": at,
        "number": f"{customer.invoice_prefix}-{customer.number:04d}",
        "status": InvoiceStatus.PAID if paid else InvoiceStatus.OPEN,
        "billing_reason": "subscription_update",
        "collection_method": subscription.collection_method,
        "currency": bill.currency,
        "period_start": at,
        "period_end": at,
        "due_date": due_date(subscription, at),
        **amounts(bill),
        "customer_tax_exempt": customer.tax_exempt,  # like the amounts, which it decided: a draft keeps both
        "amount_paid": 0,
        "amount_remaining": bill.amount_due,
        "pre_payment_credit_notes_amount": 0,
        "post_payment_credit_notes_amount": 0,
        "attempt_count": 0,
        "next_payment_attempt": None,
        "cycle_at": None,
        "finalized_at": at,
        "paid_at": at if paid else None,
        "voided_at": None,
        "marked_uncollectible_at": None,
        **invoice_parties(customer),
    }


def due_date(subscription: Subscription, at: int) -> int | None:
    """When an invoice written at `at` is due, with `send_invoice`; None for automatic charges."""
    if subscription.collection_method != "send_invoice":
        return None
    return at + (subscription.days_until_due or 0) * 24 * 60 * 60


def invoice_parties(customer: Payer) -> Row:
    """The invoice columns about the account and the customer, as of now."""
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


def amounts(bill: InvoiceTotals) -> Row:
    """The invoice columns for amounts, in minor units."""
    included = sum(tax.amount for line in bill.lines for tax in line.taxes if tax.rate.inclusive)
    return {
        "subtotal": bill.subtotal,
        "total": bill.total,
        "total_excluding_tax": bill.total - bill.tax - included,
        "amount_due": bill.amount_due,
        "starting_balance": bill.starting_balance,
        "ending_balance": bill.ending_balance,
        "total_discount_amounts": _summed_discounts(bill.lines),
        "total_taxes": _summed_taxes(bill.lines),
    }


def _summed_discounts(lines: Sequence[InvoiceLine]) -> list[Row]:
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        for discount_id, amount in line.discounts:
            sums[discount_id] += amount
    return [resources.discount_amount(discount_id, amount) for discount_id, amount in sums.items()]


def _summed_taxes(lines: Sequence[InvoiceLine]) -> list[Row]:
    return [resources.tax_amount(tax) for tax in summed_taxes(lines)]


def line_row(line: InvoiceLine, subscription: Subscription, invoice_id: str | None, position: int) -> Row:
    """The columns of a line; `invoice_id` is None for a pending line."""
    offer = line.offer
    return {
        "id": new_id("il"),
        "account_id": subscription.account_id,
        "customer_id": subscription.customer_id,
        "invoice_id": invoice_id,
        "position": position,
        "amount": line.amount,
        "total": line.total,
        "currency": offer.terms.currency,
        "description": describe(line),
        "quantity": line.quantity,
        "unit_amount_decimal": None if line.proration or line.offer.terms.tiers else str(offer.terms.unit_amount),
        "period_start": line.period_start,
        "period_end": line.period_end,
        "proration": line.proration is not None,
        "discountable": line.proration is None,
        "price_id": offer.price_id,
        "product_id": offer.product_id,
        "subscription_id": subscription.id,
        "subscription_item_id": line.item_id,
        "product_name": offer.product,
        "unit_label": offer.unit_label,
        "share_left": line.proration.seconds if line.proration else None,
        "share_whole": line.proration.period_seconds if line.proration else None,
        "share_amount": line.full_amount if line.proration else None,
        "credited_line_id": line.credits,
        "pending_since": None,
        "discount_amounts": [resources.discount_amount(discount_id, amount) for discount_id, amount in line.discounts],
        "taxes": [resources.tax_amount(tax) for tax in line.taxes],
    }


def balance_row(customer: Payer, bill: InvoiceTotals, invoice_id: str, at: int) -> Row:
    """The columns of the balance transaction that an invoice causes."""
    kind = "invoice_too_small" if bill.amount_due == 0 and bill.ending_balance > 0 else "applied_to_invoice"
    return {
        "id": new_id("cbtxn"),
        "account_id": customer.account_id,
        "livemode": customer.livemode,
        "customer_id": customer.id,
        "created": at,
        "type": kind,
        "amount": bill.balance_used,
        "currency": bill.currency,
        "ending_balance": bill.ending_balance,
        "invoice_id": invoice_id,
    }


def add_open_invoice(
    writer: InvoiceWriter, customer: Customer, subscription: Subscription, bill: InvoiceTotals, at: int, **members: Any
) -> str:
    """Add an invoice that is collected at once, with the customer's next number, and update the balance. Returns its id.

    Without automatic charges it is only written. The customer's row must be locked, so that numbers have no gaps.
    """
    due = at if bill.amount_due and subscription.collection_method == "charge_automatically" else None
    row = writer.invoice(
        with_next_number(writer.session, customer), subscription, bill, at, next_payment_attempt=due, **members
    )
    before = {"balance": customer.balance, "currency": customer.currency}
    add_to_balance(customer, bill.balance_used, bill.currency)
    moved = {name: value for name, value in before.items() if value != getattr(customer, name)}
    if moved:
        emit(writer.session, "customer.updated", customer, at, previous=moved)
    subscription.latest_invoice_id = row["id"]
    return str(row["id"])


def add_to_balance(customer: Customer, amount: int, currency: str) -> None:
    """Add to the customer's balance the amount that an invoice used (> 0) or added as credit (< 0), in minor units.

    A balance has one currency, and takes on a new one while it is 0. Raises BillingError if it has another currency.
    """
    if amount and customer.currency not in (None, currency):
        if customer.balance:
            raise BillingError(N_("Your credit is in another currency. Please contact us."), "currency_mismatch")
        customer.currency = currency
    customer.balance += amount
    customer.currency = customer.currency or currency


def move_balance(session: Session, customer: Customer, invoice: Invoice, amount: int, kind: str, at: int) -> None:
    """Change the customer's balance as `add_to_balance` does, and write the balance transaction (type `kind`) and the event."""
    if amount:
        previous = {"balance": customer.balance, "currency": customer.currency}
        add_to_balance(customer, amount, invoice.currency)
        moved = {name: value for name, value in previous.items() if value != getattr(customer, name)}
        row = CustomerBalanceTransaction(
            id=new_id("cbtxn"), account_id=customer.account_id, customer_id=customer.id, livemode=customer.livemode,
            created=at, type=kind, amount=amount, currency=invoice.currency, ending_balance=customer.balance,
            invoice_id=invoice.id,
        )  # fmt: skip
        session.add(row)
        emit(session, "customer.updated", customer, at, previous=moved)


def with_next_number(session: Session, customer: Customer) -> Payer:
    """The customer as InvoiceWriter takes it, with the next invoice number of its sequence, which is consumed.

    The row must be locked, so that numbers have no gaps.
    """
    payer = Payer.of(customer)
    customer.invoice_prefix = payer.invoice_prefix
    customer.next_invoice_sequence += 1
    own = select(TaxId.type, TaxId.value).where(TaxId.customer_id == customer.id)
    payer.tax_ids = [{"type": kind, "value": value} for kind, value in session.execute(own)]
    seller = select(Account.business_name, Account.address, Account.tax_ids).where(Account.id == customer.account_id)
    payer.account_name, payer.account_address, payer.account_tax_ids = session.execute(seller).one()
    return payer
