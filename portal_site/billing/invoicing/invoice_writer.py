"""Writes invoices, their lines and balance transactions in bulk: for one change as for a whole renewal batch."""

from collections.abc import Iterable
from typing import Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import Owned, emit
from portal_site.billing.invoicing.invoice_rows import (
    DRAFT,
    BalanceTransactionRow,
    InvoiceChanges,
    InvoiceRow,
    LineRow,
    TakenLine,
    balance_row,
    invoice_row,
    line_row,
)
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
from portal_site.billing.resources import customers as resources_of_customers
from portal_site.billing.resources import invoices as resources
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.billing.translation_marks import N_
from portal_site.db import bulk
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import as_namespace
from portal_site.ids import new_id


class InvoiceWriter:
    """Collects the rows of one transaction and emits their events; `write` sends them with one statement per table."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.invoices: list[InvoiceRow] = []
        self.lines: list[LineRow] = []
        self.taken: list[TakenLine] = []
        self.balance_transactions: list[BalanceTransactionRow] = []

    def add_pending(self, subscription: Subscription, lines: Iterable[InvoiceLine], at: int) -> None:
        """Add pending lines, which go on the subscription's next invoice."""
        for position, line in enumerate(lines):
            row = line_row(line, subscription, None, position)
            row["pending_since"] = at
            self.lines.append(row)
            self._emit("invoiceitem.created", subscription, resources.invoice_item(as_namespace(row)), at)

    def invoice(
        self,
        customer: Payer,
        subscription: Subscription,
        bill: InvoiceTotals,
        at: int,
        **members: Unpack[InvoiceChanges],
    ) -> InvoiceRow:
        """Add a finalized invoice and its balance transaction, and return its row. It is paid if nothing is due.

        `customer` is as from `with_next_number`: among others, `invoice_prefix` and `number`, the sequence number of this
        invoice. The caller updates the customer's balance.
        """
        row = self._add({**invoice_row(customer, subscription, bill, at), **members}, subscription, bill)
        self._emit("invoice.created", customer, _document({**row, **DRAFT}), at)
        if bill.balance_used:
            self.balance_transactions.append(balance_row(customer, bill, row["id"], at))
        self._add_finalized_events(customer, row, at)
        return row

    def draft(
        self,
        customer: Payer,
        subscription: Subscription,
        bill: InvoiceTotals,
        at: int,
        **members: Unpack[InvoiceChanges],
    ) -> InvoiceRow:
        """Add a draft and return its row. It has no number and does not change the balance; customers do not see it."""
        row = self._add({**invoice_row(customer, subscription, bill, at), **DRAFT, **members}, subscription, bill)
        self._emit("invoice.created", customer, _document(row), at)
        return row

    def _add(self, row: InvoiceRow, subscription: Subscription, bill: InvoiceTotals) -> InvoiceRow:
        self.invoices.append(row)
        for position, line in enumerate(bill.lines):
            if line.id is None:
                self.lines.append(line_row(line, subscription, row["id"], position))
            else:
                self.taken.append({"id": line.id, "invoice_id": row["id"], "position": position})
        return row

    def _add_finalized_events(self, customer: Payer, row: InvoiceRow, at: int) -> None:
        document = _document(row)
        opened: InvoiceChanges = {"status": InvoiceStatus.OPEN, "paid_at": None, "marked_uncollectible_at": None}
        self._emit("invoice.finalized", customer, _document({**row, **opened}), at)
        if row["status"] == InvoiceStatus.PAID:
            self._emit("invoice.paid", customer, document, at)
            self._emit("invoice.payment_succeeded", customer, document, at)
        if row["status"] == InvoiceStatus.UNCOLLECTIBLE:
            self._emit("invoice.marked_uncollectible", customer, document, at)

    def _emit(self, kind: str, owner: Owned, document: JsonObject, at: int) -> None:
        emit(self.session, kind, owner, at, document=document)

    def write(self) -> None:
        """Write the collected rows and clear them."""
        # The order matters: a table comes after those that it refers to.
        if self.invoices:
            bulk.insert(self.session, Invoice, self.invoices)
        if self.lines:
            bulk.insert(self.session, InvoiceLineItem, self.lines)
        if self.balance_transactions:
            bulk.insert(self.session, CustomerBalanceTransaction, self.balance_transactions)
        if self.taken:
            bulk.update(self.session, InvoiceLineItem, self.taken)
        for written in (self.invoices, self.lines, self.balance_transactions, self.taken):
            written.clear()


def _document(row: InvoiceRow) -> JsonObject:
    return resources.invoice(as_namespace(row))


def add_open_invoice(
    writer: InvoiceWriter,
    customer: Customer,
    subscription: Subscription,
    bill: InvoiceTotals,
    at: int,
    **members: Unpack[InvoiceChanges],
) -> str:
    """Add an invoice that is collected at once, with the customer's next number, and update the balance. Returns its id.

    Without automatic charges it is only written. The customer's row must be locked, so that numbers have no gaps.
    """
    if bill.amount_due and subscription.collection_method == "charge_automatically":
        members["next_payment_attempt"] = at
    row = writer.invoice(with_next_number(writer.session, customer), subscription, bill, at, **members)
    add_to_balance(writer.session, customer, bill.balance_used, bill.currency, at)
    subscription.latest_invoice_id = row["id"]
    return row["id"]


def check_place_for_credit(customer: Customer, bill: InvoiceTotals) -> None:
    """Raise BillingError if the invoice of a change would leave credit that no invoice may ever use.

    Nobody has to make such a change. What has to happen, such as the end of a subscription, keeps its credit beside the balance.
    """
    if bill.balance_used < 0 and customer.balance and customer.currency not in (None, bill.currency):
        raise BillingError(N_("Your credit is in another currency. Please contact us."), "currency_mismatch")


def add_to_balance(session: Session, customer: Customer, amount: int, currency: str, at: int) -> int:
    """Add to the customer's balances what an invoice used (> 0) or gave as credit (< 0), in minor units, and emit the event.

    Returns the balance in this currency. It never fails: in another currency than the balance's, it is kept beside that.
    """
    names = ("balance", "currency", "invoice_credit_balance")
    before = resources_of_customers.customer(customer)
    after = Payer.of(customer).balances.add(amount, currency)
    customer.balance, customer.currency, customer.other_balances = (
        after.amount,
        after.currency,
        dict(after.others) or None,
    )
    now = resources_of_customers.customer(customer)
    moved = {name: before[name] for name in names if before[name] != now[name]}
    if moved:
        emit(session, "customer.updated", customer, at, previous=moved)
    return after.usable(currency)


def move_balance(session: Session, customer: Customer, invoice: Invoice, amount: int, kind: str, at: int) -> None:
    """Change the customer's balance as `add_to_balance` does, and write the balance transaction (type `kind`)."""
    if amount:
        left = add_to_balance(session, customer, amount, invoice.currency, at)
        row = CustomerBalanceTransaction(
            id=new_id("cbtxn"), account_id=customer.account_id, customer_id=customer.id, livemode=customer.livemode,
            created=at, type=kind, amount=amount, currency=invoice.currency, ending_balance=left, invoice_id=invoice.id,
        )  # fmt: skip
        session.add(row)


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
