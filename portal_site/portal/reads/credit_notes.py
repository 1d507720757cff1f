"""A credit note as its customer sees it, with the names and addresses of the invoice that it reduces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, literal_column, or_, select

from portal_site.billing.errors import Unreadable
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Invoice, InvoiceLineItem
from portal_site.db.page_query import NotJson, PageQuery, literal_limit
from portal_site.portal.reads import invoices
from portal_site.portal.reads.invoices import MOST_LINES, InvoiceView

_FOUND = (
    CreditNote.id == bindparam("credit_note_id"),
    CreditNote.account_id == bindparam("account_id"),
    CreditNote.customer_id == bindparam("customer_id"),
    Invoice.customer_id == bindparam("customer_id"),
    Invoice.status != literal_column("'draft'"),
    or_(bindparam("on_behalf_of", type_=Invoice.id.type).is_(None), Invoice.on_behalf_of == bindparam("on_behalf_of")),
)
CREDIT_NOTE = PageQuery(
    credit_note=select(
        CreditNote.id,
        CreditNote.invoice_id,
        CreditNote.created,
        CreditNote.number,
        CreditNote.currency,
        CreditNote.amount,
        CreditNote.pre_payment_amount,
        CreditNote.post_payment_amount,
        CreditNote.reason,
        CreditNote.memo,
        CreditNote.refund_id,
        CreditNote.voided_at,
    )
    .join(Invoice, Invoice.id == CreditNote.invoice_id)
    .where(*_FOUND),
    lines=select(
        CreditNoteLineItem.description,
        CreditNoteLineItem.period_start,
        CreditNoteLineItem.period_end,
        CreditNoteLineItem.amount,
        CreditNoteLineItem.taxes,
        InvoiceLineItem.product_name,
    )
    .join(CreditNote, CreditNote.id == CreditNoteLineItem.credit_note_id)
    .join(Invoice, Invoice.id == CreditNote.invoice_id)
    .outerjoin(
        InvoiceLineItem,
        (InvoiceLineItem.id == CreditNoteLineItem.invoice_line_item_id)
        & (InvoiceLineItem.account_id == CreditNote.account_id),
    )
    .where(*_FOUND)
    .order_by(CreditNoteLineItem.id)
    .limit(literal_limit(MOST_LINES)),
)


@dataclass(frozen=True, slots=True)
class CreditNoteLine:
    """What it takes off one line; without a period it is a lower price of the whole line."""

    description: str
    period_start: int | None
    period_end: int | None
    amount: int
    taxes: Sequence[Mapping[str, Any]]
    product_name: str | None


@dataclass(frozen=True, slots=True)
class CreditNoteView:
    """A whole credit note. amount = pre_payment_amount, which is owed no more, + post_payment_amount, which was paid."""

    id: str
    invoice_id: str
    created: int
    number: str
    currency: str
    amount: int
    pre_payment_amount: int
    post_payment_amount: int
    reason: str | None
    memo: str | None
    refund_id: str | None
    voided_at: int | None
    lines: tuple[CreditNoteLine, ...]
    invoice: InvoiceView

    @property
    def subtotal(self) -> int:
        """What its lines take off, without the taxes that came on top."""
        return sum(line.amount for line in self.lines)


def find(scope: Mapping[str, Any], credit_note_id: str) -> CreditNoteView | None:
    """A customer's own credit note, or None."""
    rows = CREDIT_NOTE.fetch(**scope, credit_note_id=credit_note_id)
    if not rows["credit_note"]:
        return None
    row = rows["credit_note"][0]
    if any(isinstance(line["taxes"], NotJson) for line in rows["lines"]):
        raise Unreadable(credit_note_id)
    invoice = invoices.find(scope, row["invoice_id"])
    if invoice is None:
        return None
    return CreditNoteView(**row, lines=tuple(CreditNoteLine(**line) for line in rows["lines"]), invoice=invoice)
