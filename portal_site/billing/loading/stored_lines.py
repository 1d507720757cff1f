"""Loads stored invoice lines for the rules: pending, creditable and returnable lines, and whether invoices are unpaid."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVarTuple, cast

from sqlalchemy import BindParameter, Case, ScalarSelect, Select, and_, bindparam, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from portal_site.billing.loading.plans import Reader, load_plans
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Invoice, InvoiceLineItem
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax, TaxRate
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind
from portal_site.billing.rules.invoicing.reductions import OwedInvoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.db.json_columns import JsonObject

OWED = ("open", "uncollectible")


Columns = TypeVarTuple("Columns")


if TYPE_CHECKING:

    class Charge(InvoiceLineItem):
        """A row of `CHARGES`: a line, its invoice's status, and what credit notes took off of the invoice and its lines."""

        invoice_status: str | None
        reduced: int
        named_of_invoice: int | None
        named_of_line: int
        named_before: int | None
        charged: int | None
        charged_before: int | None
        credited_by: str | None

    class UnpaidInvoice(Invoice):
        """A row of `UNPAID`: an invoice, and until when the last of its lines lasts."""

        lasts_until: int | None

else:
    Charge, UnpaidInvoice = InvoiceLineItem, Invoice


def of_subscriptions(
    query: Select[*Columns],
    column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None],
    ids: BindParameter[Sequence[str]],
) -> Select[*Columns]:
    """The query, limited to subscriptions that the caller has already loaded by their owner."""
    return query.where(column.in_(ids)).execution_options(unscoped="of subscriptions that were found by their owner")


# What every quote reads is put together once: SQLAlchemy would take longer to build these statements than to execute them.
IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
AT: BindParameter[int] = bindparam("at")
AWAITED: BindParameter[Sequence[str]] = bindparam("awaited", expanding=True)
PENDING = of_subscriptions(
    select(InvoiceLineItem.__table__).where(InvoiceLineItem.invoice_id.is_(None)),
    InvoiceLineItem.subscription_id,
    IDS,
)
# What was given back: of the invoice, of its lines by name, of this line, and what its lines charged; and the last two of the
# lines before this one. Most invoices have nothing of it, and then only the line is looked up.
_REDUCED = (
    Invoice.pre_payment_credit_notes_amount
    + Invoice.post_payment_credit_notes_amount
    + Invoice.amount_refunded
    - Invoice.refunds_credited
    + Invoice.amount_disputed
)
_BESIDE = aliased(InvoiceLineItem)
_NAMED = (
    select(func.coalesce(func.sum(CreditNoteLineItem.total), 0))
    .join(CreditNote, CreditNote.id == CreditNoteLineItem.credit_note_id)
    .where(CreditNote.invoice_id == Invoice.id, CreditNote.voided_at.is_(None))
)
_NAMED_OF_INVOICE = _NAMED.join(
    _BESIDE, and_(_BESIDE.id == CreditNoteLineItem.invoice_line_item_id, _BESIDE.invoice_id == Invoice.id)
)
_NAMED_OF_LINE = _NAMED.where(CreditNoteLineItem.invoice_line_item_id == InvoiceLineItem.id)
_CHARGED = select(func.coalesce(func.sum(_BESIDE.total), 0)).where(_BESIDE.invoice_id == Invoice.id, _BESIDE.total > 0)
_BEFORE = _BESIDE.id < InvoiceLineItem.id


def _of_charge(query: Select[int]) -> ScalarSelect[int]:
    return query.correlate(Invoice, InvoiceLineItem).scalar_subquery()


def _if_reduced(query: Select[int]) -> Case[int]:
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
        _if_reduced(_CHARGED.where(_BEFORE)).label("charged_before"),
        _if_reduced(_NAMED_OF_INVOICE.where(_BEFORE)).label("named_before"),
        _CREDIT.invoice_id.label("credited_by"),
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
        # What an invoice credits on which a change waits can be credited again once that is given up.
        _CREDIT.id.is_(None) | (_CREDIT.invoice_id.in_(AWAITED) & _CREDIT.pending_since.is_(None)),
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
_LAST_PERIOD_END = (
    select(func.max(InvoiceLineItem.period_end))
    .where(InvoiceLineItem.invoice_id == Invoice.id, InvoiceLineItem.amount > 0)
    .correlate(Invoice)
    .scalar_subquery()
)
UNPAID = of_subscriptions(
    select(
        Invoice.id,
        Invoice.subscription_id,
        Invoice.number,
        Invoice.status,
        Invoice.amount_remaining,
        case((Invoice.status != "open", _LAST_PERIOD_END), else_=0).label("lasts_until"),
    ).where((Invoice.status == "open") | _UNCOLLECTED),
    Invoice.subscription_id,
    IDS,
)


_RETURNED = (
    select(InvoiceLineItem.__table__)
    .where(InvoiceLineItem.invoice_id.in_(IDS), InvoiceLineItem.pending_since.is_not(None))
    .execution_options(unscoped="of invoices that were found by their owner")
)


def load_pending_lines(reader: Reader, ids: Sequence[str]) -> dict[str, list[InvoiceLine]]:
    """The pending lines of these subscriptions, by subscription id."""
    return build(reader, _in_order(cast(Sequence[InvoiceLineItem], reader.execute(PENDING, {"ids": ids}).all())))


def load_returned_lines(reader: Reader, invoice_ids: Sequence[str]) -> dict[str, list[InvoiceLine]]:
    """The lines of these invoices that were pending before, by subscription id. They are pending again if it is voided."""
    rows = reader.execute(_RETURNED, {"ids": invoice_ids}).all()
    return build(reader, _in_order(cast(Sequence[InvoiceLineItem], rows)))


def _in_order(rows: Sequence[InvoiceLineItem]) -> list[InvoiceLineItem]:
    """The rows by position, and by id among equals: not as the database sorts ids, which may be by a language's rules."""
    return sorted(rows, key=lambda row: (row.position, row.id))


def build(
    reader: Reader, rows: Sequence[InvoiceLineItem], known: Mapping[str, PricedPlan] | None = None
) -> dict[str, list[InvoiceLine]]:
    """The lines in rows with the columns of `invoice_line_items`, by subscription. Lines without a price are left out.

    `known` are plans by price id that have been read already.
    """
    plans = dict(known or {})
    if missing := {row.price_id for row in rows if row.price_id} - plans.keys():
        plans |= load_plans(reader, None, missing)
    lines: dict[str, list[InvoiceLine]] = defaultdict(list)
    for row in rows:
        if row.subscription_id is not None and row.price_id in plans:
            lines[row.subscription_id].append(line_of(row, plans[row.price_id]))
    return lines


def line_of(row: InvoiceLineItem, offer: PricedPlan) -> InvoiceLine:
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
        taxes=tuple(map(tax_of, row.taxes)),
        proration=ProrationFactor(row.share_left or 0, row.share_whole) if row.share_whole else None,
        full_amount=row.share_amount or 0,
        credits=row.credited_line_id,
        id=row.id,
    )


def tax_of(document: JsonObject) -> Tax:
    """The Tax of a stored amount of tax; imported ones may lack the name and the percentage of their rate."""
    rate = TaxRate.of({
        "id": (document.get("tax_rate_details") or {}).get("tax_rate") or "",
        "display_name": document.get("display_name"),
        "percentage": document.get("percentage") or 0,
        "inclusive": document.get("tax_behavior") == "inclusive",
    })  # fmt: skip
    return Tax(rate, document["amount"], document.get("taxable_amount") or 0)


def with_creditable_lines(
    reader: Reader, subscriptions: Sequence[SubscriptionSnapshot], at: int
) -> list[SubscriptionSnapshot]:
    """The snapshots with their creditable and owed lines, and whether they have open or uncollected invoices.

    Those are charges for time after `at` that have not been credited yet: creditable if they are on a paid invoice or still
    pending, and owed if they are on one that is open or uncollectible. One that credit notes gave back in full is neither.
    """
    awaited = [each.awaiting_payment.invoice_id for each in subscriptions if each.awaiting_payment]
    given = {"ids": [each.id for each in subscriptions], "at": at}
    bound = {**given, "awaited": [name for name in awaited if name]}
    charges = cast(Sequence[Charge], reader.execute(CHARGES, bound).all())
    rows = [row for row in charges if not 0 < row.total <= _given_back(row)]
    unpaid = cast(Sequence[UnpaidInvoice], reader.execute(UNPAID, given).all())
    return [
        _with_charges(
            reader,
            snapshot,
            [row for row in rows if row.subscription_id == snapshot.id],
            [invoice for invoice in unpaid if invoice.subscription_id == snapshot.id],
        )
        for snapshot in subscriptions
    ]


def _with_charges(
    reader: Reader, snapshot: SubscriptionSnapshot, rows: Sequence[Charge], invoices: Sequence[UnpaidInvoice]
) -> SubscriptionSnapshot:
    """The snapshot with its own rows of `CHARGES` and `UNPAID`."""
    free = [row for row in rows if row.credited_by is None]
    taken = [row for row in rows if row.credited_by is not None and row.invoice_status not in OWED]
    opened = frozenset(invoice.id for invoice in invoices if invoice.status == "open")
    awaiting = snapshot.awaiting_payment
    awaited_id = awaiting.invoice_id if awaiting is not None else None
    if awaiting is not None and taken:
        awaiting = replace(awaiting, freed_lines=_charges(reader, snapshot, taken))
    return replace(
        snapshot,
        awaiting_payment=awaiting,
        creditable_lines=_charges(reader, snapshot, [row for row in free if row.invoice_status not in OWED]),
        owed=_owed(reader, snapshot, [each for each in invoices if each.id != awaited_id], free),
        has_open_invoice=bool(opened),
        open_invoices=opened,
        has_uncollected_invoice=len(opened) < len(invoices),
        uncollected_until=max((invoice.lasts_until or 0 for invoice in invoices), default=0),
    )


def _owed(
    reader: Reader, snapshot: SubscriptionSnapshot, invoices: Sequence[Invoice], rows: Sequence[Charge]
) -> tuple[OwedInvoice, ...]:
    owed = []
    for invoice in sorted(invoices, key=lambda each: each.id):
        of_it = [row for row in rows if row.invoice_id == invoice.id and row.invoice_status in OWED]
        lines = _charges(reader, snapshot, of_it)
        if lines:
            owed.append(OwedInvoice(invoice.id, invoice.number or "", invoice.amount_remaining, lines))
    return tuple(owed)


def _charges(reader: Reader, snapshot: SubscriptionSnapshot, rows: Sequence[Charge]) -> tuple[InvoiceLine, ...]:
    """The lines in rows of `CHARGES` of this subscription."""
    known = {item.offer.price_id: item.offer for item in snapshot.items}
    given_back = {row.id: _given_back(row) for row in rows}
    lines = (line for of_subscription in build(reader, rows, known).values() for line in of_subscription)
    return tuple(replace(line, given_back=given_back[line.id or ""]) for line in lines)


def _given_back(row: Charge) -> int:
    """What was given back of a charge: what a credit note names of it, and its share of what names no line.

    That is shared by what is left of each charge of the invoice, so that the shares add up to it.
    """
    # PostgreSQL's sums are decimals, and a pending line has no invoice.
    total, named, named_before = int(row.total), int(row.named_of_line), int(row.named_before or 0)
    named_of_invoice, charged = int(row.named_of_invoice or 0), int(row.charged or 0)
    unnamed, left = max(0, row.reduced - named_of_invoice), charged - named_of_invoice
    if unnamed and left > 0:
        before = int(row.charged_before or 0) - named_before
        named += unnamed * (before + total - named) // left - unnamed * before // left
    return max(0, min(total, named))
