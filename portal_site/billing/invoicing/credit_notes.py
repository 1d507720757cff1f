"""Writing credit notes, which reduce unpaid invoices."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing import payment_events
from portal_site.billing.invoicing.invoice_writer import move_balance
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Customer, Invoice
from portal_site.billing.resources.invoices import tax_amount
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing.descriptions import describe
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
    note = CreditNote(
        id=new_id("cn"), account_id=invoice.account_id, customer_id=invoice.customer_id, invoice_id=invoice.id,
        livemode=invoice.livemode, created=at, number=_next_number(session, invoice), currency=invoice.currency,
        amount=reduction.amount, pre_payment_amount=reduction.owed_less, post_payment_amount=reduction.to_balance,
        reason="order_change",
    )  # fmt: skip
    session.add(note)
    session.flush()
    for line in reduction.lines:
        row = CreditNoteLineItem(
            id=new_id("cnli"), account_id=note.account_id, credit_note_id=note.id, invoice_line_item_id=line.credits,
            description=describe(line), period_start=line.period_start, period_end=line.period_end,
            amount=-line.amount, total=-line.total,
            taxes=[tax_amount(Tax(tax.rate, -tax.amount, -tax.taxable)) for tax in line.taxes],
        )  # fmt: skip
        session.add(row)
    return note


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
