"""Writing credit notes, which reduce invoices: what is owed of them, or what was paid."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing import payment_events
from portal_site.billing.invoicing.invoice_writer import move_balance
from portal_site.billing.loading.stored_lines import tax_of
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Customer, Invoice, InvoiceLineItem
from portal_site.billing.resources.invoices import tax_amount
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing.descriptions import describe
from portal_site.billing.rules.invoicing.line_shares import LineShare, shares
from portal_site.billing.rules.invoicing.reductions import Reduction
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus
from portal_site.ids import new_id


def reduce_invoices(session: Session, customer: Customer, reductions: Iterable[Reduction], at: int) -> None:
    """Write a credit note for each reduction. An invoice of which nothing is left to pay is paid."""
    for reduction in reductions:
        owned = Invoice.customer_id == customer.id, Invoice.id == reduction.invoice_id
        _reduce(session, customer, session.scalars(select(Invoice).where(*owned)).one(), reduction, at)


def _reduce(session: Session, customer: Customer, invoice: Invoice, reduction: Reduction, at: int) -> None:
    note = _write_note(session, invoice, reduction, at)
    invoice.pre_payment_credit_notes_amount += reduction.owed_less
    invoice.post_payment_credit_notes_amount += reduction.to_balance
    invoice.amount_due -= reduction.owed_less
    invoice.amount_remaining -= reduction.owed_less
    session.flush()
    emit(session, "credit_note.created", note, at)
    move_balance(session, customer, invoice, -reduction.to_balance, "credit_note", at)
    if invoice.amount_remaining == 0:
        invoice.status, invoice.paid_at, invoice.next_payment_attempt = InvoiceStatus.PAID, at, None
        session.flush()
        emit(session, "invoice.paid", invoice, at)
        payment_events.emit_canceled(session, invoice, at)
    else:
        emit(session, "invoice.updated", invoice, at)


def _write_note(session: Session, invoice: Invoice, reduction: Reduction, at: int) -> CreditNote:
    """The credit note with a line for each line of the invoice that it reduces."""
    note = _new_note(session, invoice, at)
    note.amount, note.pre_payment_amount, note.post_payment_amount = (
        reduction.amount, reduction.owed_less, reduction.to_balance
    )  # fmt: skip
    note.reason = "order_change"
    session.add(note)
    session.flush()
    for line in reduction.lines:
        taxes = [Tax(tax.rate, -tax.amount, -tax.taxable) for tax in line.taxes]
        row = _line(note, line.credits or "", describe(line), -line.amount, -line.total, taxes)
        row.period_start, row.period_end = line.period_start, line.period_end
        session.add(row)
    return note


def write_for_payment(
    session: Session, invoice: Invoice, amount: int, at: int, key: str, *, reason: str | None, memo: str | None,
    refund_id: str | None = None,
) -> CreditNote:  # fmt: skip
    """A credit note over `amount` minor units of what was paid: refunded, or else given to the balance by the caller.

    It takes its part of each line, in proportion to what is left of them, with the taxes in it. The same `key` is used once.
    """
    note = _new_note(session, invoice, at)
    note.amount, note.pre_payment_amount, note.post_payment_amount = amount, 0, amount
    note.reason, note.memo, note.refund_id, note.idempotency_key = reason, memo, refund_id, key
    rows = _lines_of(session, invoice)
    left = _left_of(session, invoice, rows)
    session.add(note)
    session.flush()
    descriptions = {row.id: row.description or "" for row in rows}
    for part in shares(amount, left):
        session.add(_line(note, part.line_id, descriptions[part.line_id], part.net, part.total, part.taxes))
    _count(invoice, note, amount)
    session.flush()
    emit(session, "credit_note.created", note, at)
    return note


def void(session: Session, invoice: Invoice, note: CreditNote, at: int) -> None:
    """Take a credit note back whose refund failed: what it took off was not given back."""
    note.voided_at = at
    _count(invoice, note, -note.amount)
    session.flush()
    emit(session, "credit_note.voided", note, at)


def _count(invoice: Invoice, note: CreditNote, amount: int) -> None:
    invoice.post_payment_credit_notes_amount += amount
    if note.refund_id is not None:
        invoice.refunds_credited += amount


def _new_note(session: Session, invoice: Invoice, at: int) -> CreditNote:
    return CreditNote(
        id=new_id("cn"), account_id=invoice.account_id, customer_id=invoice.customer_id, invoice_id=invoice.id,
        livemode=invoice.livemode, created=at, number=_next_number(session, invoice), currency=invoice.currency,
    )  # fmt: skip


def _line(
    note: CreditNote, line_id: str, description: str, amount: int, total: int, taxes: Iterable[Tax]
) -> CreditNoteLineItem:
    return CreditNoteLineItem(
        id=new_id("cnli"), account_id=note.account_id, credit_note_id=note.id, invoice_line_item_id=line_id,
        description=description, amount=amount, total=total, taxes=[tax_amount(tax) for tax in taxes],
    )  # fmt: skip


def _lines_of(session: Session, invoice: Invoice) -> Sequence[InvoiceLineItem]:
    """The charges of an invoice, in their order."""
    mine = InvoiceLineItem.customer_id == invoice.customer_id, InvoiceLineItem.invoice_id == invoice.id
    query = select(InvoiceLineItem).where(*mine, InvoiceLineItem.total > 0).order_by(InvoiceLineItem.position)
    return session.scalars(query).all()


def _left_of(session: Session, invoice: Invoice, rows: Iterable[InvoiceLineItem]) -> list[LineShare]:
    """What credit notes have left of these lines of an invoice."""
    query = (
        select(CreditNoteLineItem)
        .join(CreditNote, CreditNote.id == CreditNoteLineItem.credit_note_id)
        .where(CreditNote.customer_id == invoice.customer_id, CreditNote.invoice_id == invoice.id)
        .where(CreditNote.voided_at.is_(None), CreditNoteLineItem.account_id == invoice.account_id)
    )
    nets: dict[str, int] = defaultdict(int)
    taxes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for taken in session.scalars(query):
        nets[taken.invoice_line_item_id] += taken.amount
        for tax in map(tax_of, taken.taxes):
            taxes[taken.invoice_line_item_id][tax.rate.id] += tax.amount
    return [_share(row).less(nets[row.id], taxes[row.id]) for row in rows]


def _share(row: InvoiceLineItem) -> LineShare:
    net = row.amount - sum(each["amount"] for each in row.discount_amounts)
    return LineShare(row.id, net, tuple(map(tax_of, row.taxes)))


def _next_number(session: Session, invoice: Invoice) -> str:
    of_invoice = CreditNote.customer_id == invoice.customer_id, CreditNote.invoice_id == invoice.id
    earlier = session.scalar(select(func.count()).select_from(CreditNote).where(*of_invoice)) or 0
    return f"{invoice.number}-CN-{earlier + 1:02}"


def return_overpayment(session: Session, customer: Customer, invoice: Invoice, at: int) -> None:
    """Move to the balance what a payment brought beyond what was still owed: the invoice was reduced while it was paid."""
    surplus = -invoice.amount_remaining
    invoice.amount_due += surplus
    invoice.amount_remaining = 0
    invoice.pre_payment_credit_notes_amount -= surplus
    invoice.post_payment_credit_notes_amount += surplus
    of_invoice = CreditNote.customer_id == customer.id, CreditNote.invoice_id == invoice.id
    left = surplus
    for note in session.scalars(
        select(CreditNote).where(*of_invoice).order_by(CreditNote.created.desc(), CreditNote.id)
    ):
        moved = min(left, note.pre_payment_amount)
        note.pre_payment_amount -= moved
        note.post_payment_amount += moved
        left -= moved
    move_balance(session, customer, invoice, -surplus, "credit_note", at)
