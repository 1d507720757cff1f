"""Voiding an invoice: what it used is given back."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.invoicing import payment_events
from portal_site.billing.invoicing.invoice_writer import move_balance
from portal_site.billing.models import Customer, Event, Invoice, InvoiceLineItem
from portal_site.billing.rules.subscriptions.statuses import InvoiceStatus


def void_invoice(session: Session, customer: Customer, invoice: Invoice, at: int) -> None:
    """Take an open invoice back: the balance that it used returns, and so do the lines that had waited for it."""
    invoice.status, invoice.voided_at, invoice.next_payment_attempt = InvoiceStatus.VOID, at, None
    used = (invoice.ending_balance or 0) - invoice.starting_balance
    move_balance(session, customer, invoice, -used, "unapplied_from_invoice", at)
    release_pending_lines(session, invoice)
    session.add(Event.of("invoice.voided", invoice, at))
    payment_events.emit_canceled(session, invoice, at)


def release_pending_lines(session: Session, invoice: Invoice) -> list[InvoiceLineItem]:
    """Let the lines that had waited for this invoice wait again, as new ones; those that it has, which credit nothing now."""
    mine = InvoiceLineItem.customer_id == invoice.customer_id, InvoiceLineItem.invoice_id == invoice.id
    lines = session.scalars(select(InvoiceLineItem).where(*mine)).all()
    credited = {line.id: line.credited_line_id for line in lines}
    for line in lines:
        line.credited_line_id = None
    session.flush()
    again = {line.id: line.waiting_again() for line in lines if line.pending_since is not None}
    for name, line in again.items():
        of = credited[name]  # which may be one of these itself, and now is another line
        line.credited_line_id = again[of].id if of in again else of
    session.add_all(again.values())
    session.flush()
    return list(lines)
