"""Loads what subscriptions wait for: the payment of a pending update, or of the first period."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import select

from portal_site.billing.loading import stored_lines
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import Invoice, PaymentAttempt, Subscription
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate
from portal_site.billing.rules.subscriptions.plan_change import PENDING_UPDATE_LIFETIME
from portal_site.billing.rules.subscriptions.snapshot import AwaitingPayment
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus


class AwaitedInvoice(Protocol):
    """The members of an invoice on which a change waits. `attempt_status` is that of its payment under way, or None."""

    status: str
    starting_balance: int
    ending_balance: int | None
    attempt_status: str | None


def awaited_invoice_id(row: Subscription) -> str | None:
    """The id of the invoice whose payment a pending update or the first period awaits."""
    if row.status == SubscriptionStatus.INCOMPLETE:
        return str(row.latest_invoice_id) if row.latest_invoice_id else None
    return row.pending_update.invoice_id if row.pending_update else None


def awaiting_of(
    row: Subscription, invoice: AwaitedInvoice | None, lines: Sequence[InvoiceLine]
) -> AwaitingPayment | None:
    """The AwaitingPayment of a subscription's row, or None.

    `invoice` has `status`, `starting_balance`, `ending_balance` and `attempt_status`, the status of its unsettled payment
    attempt (None without one). `lines` are those that become pending again if the invoice is voided.
    """
    is_open = invoice is not None and invoice.status == "open"
    returned_balance = (
        (invoice.starting_balance - (invoice.ending_balance or 0)) if invoice is not None and is_open else 0
    )
    is_being_paid = is_open and invoice is not None and invoice.attempt_status is not None
    name = awaited_invoice_id(row) if is_open else None
    if row.status == SubscriptionStatus.INCOMPLETE:
        expires_at, reserved = row.created + PENDING_UPDATE_LIFETIME, frozenset[str]()
    elif row.pending_update:
        update: PendingUpdate = row.pending_update
        expires_at, reserved = update.expires_at, update.ended_discounts
    else:
        return None
    return AwaitingPayment(expires_at, returned_balance, tuple(lines), reserved, is_being_paid, name)


_UNSETTLED = (
    select(PaymentAttempt.status)
    .where(PaymentAttempt.invoice_id == Invoice.id, PaymentAttempt.settled_at.is_(None))
    .correlate(Invoice)
    .scalar_subquery()
)
_AWAITED = (
    select(
        Invoice.id,
        Invoice.status,
        Invoice.starting_balance,
        Invoice.ending_balance,
        _UNSETTLED.label("attempt_status"),
    )
    .where(Invoice.id.in_(stored_lines.IDS))
    .execution_options(unscoped="invoices that subscriptions of ours wait for")
)


def load_awaiting(reader: Reader, rows: Sequence[Subscription]) -> dict[str, AwaitingPayment | None]:
    invoice_of = {row.id: invoice_id for row in rows if (invoice_id := awaited_invoice_id(row))}
    awaited = reader.execute(_AWAITED, {"ids": list(invoice_of.values())}).all() if invoice_of else ()
    invoices = {row.id: row for row in awaited}
    lines = stored_lines.load_returned_lines(reader, list(invoices)) if invoices else {}
    return {row.id: awaiting_of(row, invoices.get(invoice_of.get(row.id, "")), lines.get(row.id, ())) for row in rows}
