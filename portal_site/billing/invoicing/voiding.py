"""Voiding an invoice, and returning the balance and the pending lines that it used."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing import payment_events
from portal_site.billing.invoicing.invoice_writer import move_balance
from portal_site.billing.models import Customer, Invoice, InvoiceLineItem
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus


def void_invoice(session: Session, customer: Customer, invoice: Invoice, at: int) -> None:
    """Void an open invoice. The balance that it used is returned, and its pending lines become pending again."""
    invoice.status, invoice.voided_at, invoice.next_payment_attempt = InvoiceStatus.VOID, at, None
    used = (invoice.ending_balance or 0) - invoice.starting_balance
    move_balance(session, customer, invoice, -used, "unapplied_from_invoice", at)
    release_pending_lines(session, invoice)
    emit(session, "invoice.voided", invoice, at)
    payment_events.emit_canceled(session, invoice, at)


def release_pending_lines(session: Session, invoice: Invoice) -> list[InvoiceLineItem]:
    """Copy the invoice's formerly pending lines to new pending lines.

    Returns the invoice's own lines. They no longer credit other lines (`credited_line_id` is None): the copies do.
    """
    of_invoice = InvoiceLineItem.customer_id == invoice.customer_id, InvoiceLineItem.invoice_id == invoice.id
    lines = session.scalars(select(InvoiceLineItem).where(*of_invoice)).all()
    credited = {line.id: line.credited_line_id for line in lines}
    for line in lines:
        line.credited_line_id = None
    session.flush()
    pending_copies = {line.id: line.waiting_again() for line in lines if line.pending_since is not None}
    for original_id, copy in pending_copies.items():
        credited_id = credited[original_id]
        # The credited line may be one of the copied lines; then the copy credits the copy.
        copy.credited_line_id = pending_copies[credited_id].id if credited_id in pending_copies else credited_id
    session.add_all(pending_copies.values())
    session.flush()
    return list(lines)
