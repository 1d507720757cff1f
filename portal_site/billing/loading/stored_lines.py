"""Loads stored invoice lines for the rules: pending, creditable and returnable lines, and whether invoices are unpaid."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import BindParameter, and_, bindparam, case, func, select
from sqlalchemy.orm import aliased

from portal_site.billing.loading.plans import Reader, load_plans
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Invoice, InvoiceLineItem
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax, TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind
from portal_site.billing.rules.invoicing.reductions import OwedInvoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot

OWED = ("open", "uncollectible")


def of_subscriptions(query: Any, column: Any, ids: Any) -> Any:
    """The query, limited to subscriptions that the caller has already loaded by their owner."""
    return query.where(column.in_(ids)).execution_options(unscoped="of subscriptions that were found by their owner")


# What every quote reads is put together once: SQLAlchemy would take longer to build these statements than to execute them.
IDS: BindParameter[Any] = bindparam("ids", expanding=True)
AT: BindParameter[Any] = bindparam("at")
_ORDER = InvoiceLineItem.position, InvoiceLineItem.id
PENDING = of_subscriptions(
    select(InvoiceLineItem.__table__).where(InvoiceLineItem.invoice_id.is_(None)).order_by(*_ORDER),
    InvoiceLineItem.subscription_id,
    IDS,
)
# What credit notes took off: of the invoice, of its lines by name, of this line, and what its lines charged. Most invoices have
# none, and then only the line is looked up.
_REDUCED = Invoice.pre_payment_credit_notes_amount + Invoice.post_payment_credit_notes_amount
_BESIDE = aliased(InvoiceLineItem)
_NAMED = (
    select(func.coalesce(func.sum(CreditNoteLineItem.total), 0))
    .join(CreditNote, CreditNote.id == CreditNoteLineItem.credit_note_id)
    .where(CreditNote.invoice_id == Invoice.id)
)
_NAMED_OF_INVOICE = _NAMED.join(
    _BESIDE, and_(_BESIDE.id == CreditNoteLineItem.invoice_line_item_id, _BESIDE.invoice_id == Invoice.id)
)
_NAMED_OF_LINE = _NAMED.where(CreditNoteLineItem.invoice_line_item_id == InvoiceLineItem.id)
_CHARGED = select(func.sum(_BESIDE.total)).where(_BESIDE.invoice_id == Invoice.id, _BESIDE.total > 0)


def _of_charge(query: Any) -> Any:
    return query.correlate(Invoice, InvoiceLineItem).scalar_subquery()


def _if_reduced(query: Any) -> Any:
    return case((_REDUCED > 0, _of_charge(query)), else_=0)


_CREDIT = aliased(InvoiceLineItem)
CHARGES = of_subscriptions(
    select(
        InvoiceLineItem.__table__,
        Invoice.status.label("invoice_status"),
        func.coalesce(_REDUCED, 0).label("reduced"),
        _if_reduced(_NAMED_OF_INVOICE).label("named_of_invoice"),
        _of_charge(_NAMED_OF_LINE).label("named_of_line"),
        _if_reduced(_CHARGED).label("charged"),
    )
    .outerjoin(Invoice, Invoice.id == InvoiceLineItem.invoice_id)
    .outerjoin(_CREDIT, _CREDIT.credited_line_id == InvoiceLineItem.id)
    .outerjoin(
        CreditNoteLineItem,
        and_(
            CreditNoteLineItem.invoice_line_item_id == InvoiceLineItem.id, CreditNoteLineItem.period_start.is_not(None)
        ),
    )
    .where(
        InvoiceLineItem.period_end > AT,
        InvoiceLineItem.amount > 0,
        InvoiceLineItem.invoice_id.is_(None) | Invoice.status.in_(("paid", *OWED)),
        _CREDIT.id.is_(None),
        CreditNoteLineItem.id.is_(None),
    )
    .order_by(InvoiceLineItem.period_start, InvoiceLineItem.id),
    InvoiceLineItem.subscription_id,
    IDS,
)
# Drafts and uncollectible invoices only count while their period has not ended: until then they may still be paid.
_UNCOLLECTED = Invoice.status.in_(("draft", "uncollectible")) & (
    select(InvoiceLineItem.id)
    .where(InvoiceLineItem.invoice_id == Invoice.id, InvoiceLineItem.period_end > AT, InvoiceLineItem.amount > 0)
    .correlate(Invoice)
    .exists()
)
UNPAID = of_subscriptions(
    select(Invoice.id, Invoice.number, Invoice.status, Invoice.amount_remaining).where(
        (Invoice.status == "open") | _UNCOLLECTED
    ),
    Invoice.subscription_id,
    IDS,
)


_RETURNED = (
    select(InvoiceLineItem.__table__)
    .where(InvoiceLineItem.invoice_id.in_(IDS), InvoiceLineItem.pending_since.is_not(None))
    .execution_options(unscoped="of invoices that were found by their owner")
    .order_by(*_ORDER)
)


def load_pending_lines(reader: Reader, ids: Sequence[str]) -> dict[str, list[InvoiceLine]]:
    """The pending lines of these subscriptions, by subscription id."""
    return build(reader, reader.execute(PENDING, {"ids": ids}).all())


def load_returned_lines(reader: Reader, invoice_ids: Sequence[str]) -> dict[str, list[InvoiceLine]]:
    """The lines of these invoices that were pending before, by subscription id. They are pending again if it is voided."""
    return build(reader, reader.execute(_RETURNED, {"ids": invoice_ids}).all())


def build(
    reader: Reader, rows: Sequence[Any], known: Mapping[str, PricedPlan] | None = None
) -> dict[str, list[InvoiceLine]]:
    """The lines in rows of `invoice_line_items`, by subscription. Lines without a price are left out.

    `known` are plans by price id that have been read already.
    """
    plans = dict(known or {})
    if missing := {row.price_id for row in rows if row.price_id} - plans.keys():
        plans |= load_plans(reader, None, missing)
    lines: dict[str, list[InvoiceLine]] = defaultdict(list)
    for row in rows:
        if row.price_id in plans:
            lines[row.subscription_id].append(line_of(row, plans[row.price_id]))
    return lines


def line_of(row: Any, offer: PricedPlan) -> InvoiceLine:
    """The InvoiceLine of a stored line."""
    kind = LineKind.CYCLE if not row.proration else LineKind.UNUSED if row.amount < 0 else LineKind.REMAINING
    return InvoiceLine(
        kind=kind,
        offer=offer,
        item_id=row.subscription_item_id or "",
        quantity=row.quantity,
        period_start=row.period_start,
        period_end=row.period_end,
        amount=row.amount,
        discounts=tuple((str(part["discount"]), part["amount"]) for part in row.discount_amounts),
        taxes=tuple(map(_tax, row.taxes)),
        proration=ProrationFactor(row.share_left, row.share_whole) if row.share_whole else None,
        full_amount=row.share_amount or 0,
        credits=row.credited_line_id,
        id=row.id,
    )


def _tax(document: Mapping[str, Any]) -> Tax:
    rate = TaxRate.of({
        "id": (document.get("tax_rate_details") or {}).get("tax_rate") or "",
        "display_name": document.get("display_name"),
        "percentage": document.get("percentage") or 0,
        "inclusive": document.get("tax_behavior") == "inclusive",
    })  # fmt: skip
    return Tax(rate, document["amount"], document.get("taxable_amount") or 0)


def with_creditable_lines(reader: Reader, snapshot: SubscriptionSnapshot, at: int) -> SubscriptionSnapshot:
    """The snapshot with its creditable and owed lines, and whether it has open or uncollected invoices.

    Those are charges for time after `at` that have not been credited yet: creditable if they are on a paid invoice or still
    pending, and owed if they are on one that is open or uncollectible. One that credit notes gave back in full is neither.
    """
    given = {"ids": [snapshot.id], "at": at}
    rows = [row for row in reader.execute(CHARGES, given) if not 0 < row.total <= _given_back(row)]
    invoices = reader.execute(UNPAID, given).all()
    statuses = {invoice.status for invoice in invoices}
    return replace(
        snapshot,
        creditable_lines=_charges(reader, snapshot, [row for row in rows if row.invoice_status not in OWED]),
        owed=_owed(reader, snapshot, invoices, rows),
        has_open_invoice="open" in statuses,
        has_uncollected_invoice=bool(statuses - {"open"}),
    )


def _owed(
    reader: Reader, snapshot: SubscriptionSnapshot, invoices: Sequence[Any], rows: Sequence[Any]
) -> tuple[OwedInvoice, ...]:
    owed = []
    for invoice in sorted(invoices, key=lambda each: each.id):
        of_it = [row for row in rows if row.invoice_id == invoice.id and row.invoice_status in OWED]
        lines = _charges(reader, snapshot, of_it)
        if lines:
            owed.append(OwedInvoice(invoice.id, invoice.number or "", invoice.amount_remaining, lines))
    return tuple(owed)


def _charges(reader: Reader, snapshot: SubscriptionSnapshot, rows: Sequence[Any]) -> tuple[InvoiceLine, ...]:
    """The lines in rows of `CHARGES` of this subscription."""
    known = {item.offer.price_id: item.offer for item in snapshot.items}
    given_back = {row.id: _given_back(row) for row in rows}
    lines = (line for of_subscription in build(reader, rows, known).values() for line in of_subscription)
    return tuple(replace(line, given_back=given_back[line.id or ""]) for line in lines)


def _given_back(row: Any) -> int:
    """What credit notes took off of a charge: what names it, and its share of what names no line, rounded up."""
    total, charged = int(row.total), int(row.charged or 0)  # PostgreSQL's sums are decimals
    unnamed = max(0, row.reduced - int(row.named_of_invoice))
    share = -(-unnamed * total // charged) if charged else 0
    return max(0, min(total, int(row.named_of_line) + share))
