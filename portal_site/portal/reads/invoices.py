"""Invoices for pages: the history with keyset pagination, one invoice with its lines, and open invoices."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import bindparam, case, literal, literal_column, null, or_, select, union_all

from portal_site.billing.errors import Unreadable
from portal_site.billing.models import Invoice, InvoiceLineItem, PaymentAttempt
from portal_site.billing.rules.payments.payment_times import LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus
from portal_site.db.page_query import NotJson, PageQuery, literal_limit
from portal_site.portal.reads import invoice_parts
from portal_site.portal.reads.invoice_lines import LineView
from portal_site.portal.reads.invoice_parts import CreditNoteSummary, PaidWith, Seller

log = logging.getLogger("portal_site")
SHORT = 6
LONG = 24
MOST_OPEN = 20
MOST_AWAITED = 500
MOST_LINES = 10_000

OWN = (
    Invoice.account_id == bindparam("account_id"),
    Invoice.customer_id == bindparam("customer_id"),
    or_(bindparam("on_behalf_of", type_=Invoice.id.type).is_(None), Invoice.on_behalf_of == bindparam("on_behalf_of")),
)
# A literal, not a bound parameter: otherwise the databases could not use the partial index.
SHOWN = Invoice.status != literal_column("'draft'")
_SUMMARY = (
    Invoice.id,
    Invoice.created,
    Invoice.number,
    Invoice.status,
    Invoice.currency,
    Invoice.total,
    Invoice.amount_due,
    Invoice.amount_remaining,
    Invoice.due_date,
    Invoice.description,
    Invoice.billing_reason,
    Invoice.subscription_id,
    Invoice.starting_balance,
    Invoice.ending_balance,
    Invoice.attempt_count,
    Invoice.next_payment_attempt,
)
NEWEST_FIRST = (Invoice.created.desc(), Invoice.id.desc())


def newest(size: int, *only: Any, more: Sequence[Any] = ()) -> Any:
    """One row more than the page has tells whether another page follows, without counting. `more` are further columns."""
    return select(*_SUMMARY, *more).where(*OWN, SHOWN, *only).order_by(*NEWEST_FIRST).limit(literal_limit(size + 1))


def _labelled(label: str, query: Any, *more: Any) -> Any:
    rows = query.subquery(label)
    return select(literal(label).label("list"), *rows.c, *more)


def _of_attempts(column: Any, *only: Any) -> Any:
    """A column of the newest of these payment attempts of an invoice."""
    return (
        select(column)
        .where(PaymentAttempt.customer_id == Invoice.customer_id, PaymentAttempt.invoice_id == Invoice.id, *only)
        .order_by(PaymentAttempt.created.desc())
        .limit(literal_limit(1))
        .correlate(Invoice)
        .scalar_subquery()
    )


# The unsettled attempt, and the reason why the last settled one failed: each is the first row of an index.
_ATTEMPTS = (
    _of_attempts(PaymentAttempt.status, PaymentAttempt.settled_at.is_(None)).label("attempt_status"),
    _of_attempts(PaymentAttempt.decline_code, PaymentAttempt.settled_at.is_not(None)).label("decline_code"),
)
# The same of the few rows of a history that are open; for the others, no attempt is looked for.
PAYMENT_OF_OPEN = (case((Invoice.status == literal_column("'open'"), _ATTEMPTS[0].element)).label("attempt_status"),)
_NO_ATTEMPT = (
    null().cast(PaymentAttempt.status.type).label("attempt_status"),
    null().cast(PaymentAttempt.decline_code.type).label("decline_code"),
)
_OPEN = (
    select(*_SUMMARY, *_ATTEMPTS)
    .where(*OWN, Invoice.status == literal_column("'open'"))
    .order_by(*NEWEST_FIRST)
    .limit(literal_limit(MOST_OPEN))
)
# The newest and the open invoices in one select: two indexes of one table, and one query less.
RECENT_AND_OPEN = union_all(_labelled("recent", newest(SHORT), *_NO_ATTEMPT), _labelled("open", _OPEN))
# Every open invoice on which a change may wait, whosever name it bears: it decides what is left of the balance.
AWAITED = (
    select(Invoice.id, Invoice.status, Invoice.starting_balance, Invoice.ending_balance, _ATTEMPTS[0])
    .where(
        Invoice.account_id == bindparam("account_id"),
        Invoice.customer_id == bindparam("customer_id"),
        Invoice.status == literal_column("'open'"),
    )
    .order_by(*NEWEST_FIRST)
    .limit(literal_limit(MOST_AWAITED))
)
OPEN_OF_ONE = _OPEN.where(Invoice.subscription_id == bindparam("subscription_id"))
# Uncollectible invoices can still be paid, and a subscription may be on hold because of one.
WRITTEN_OFF_OF_ONE = (
    select(*_SUMMARY, *_ATTEMPTS)
    .where(
        *OWN,
        Invoice.status == literal_column("'uncollectible'"),
        Invoice.amount_remaining > 0,
        Invoice.subscription_id == bindparam("subscription_id"),
    )
    .order_by(*NEWEST_FIRST)
    .limit(literal_limit(MOST_OPEN))
)
UNDER_WAY = (
    select(PaymentAttempt.invoice_id, PaymentAttempt.status, PaymentAttempt.next_action_url)
    .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
    .where(*OWN, Invoice.subscription_id == bindparam("subscription_id"), PaymentAttempt.settled_at.is_(None))
    .limit(literal_limit(MOST_OPEN))
)
_OWED = PageQuery(
    owed=select(Invoice.id)
    .where(
        *OWN,
        or_(Invoice.status == literal_column("'open'"), Invoice.status == literal_column("'uncollectible'")),
        Invoice.amount_remaining > 0,
    )
    .limit(literal_limit(1))
)
INVOICE = PageQuery(
    invoice=select(
        *_SUMMARY,
        Invoice.subtotal,
        Invoice.total_excluding_tax,
        Invoice.amount_paid,
        Invoice.pre_payment_credit_notes_amount,
        Invoice.post_payment_credit_notes_amount,
        Invoice.amount_refunded,
        Invoice.amount_disputed,
        Invoice.total_discount_amounts,
        Invoice.total_taxes,
        Invoice.period_start,
        Invoice.period_end,
        Invoice.finalized_at,
        Invoice.paid_at,
        Invoice.voided_at,
        Invoice.footer,
        Invoice.account_name,
        Invoice.account_address,
        Invoice.account_tax_ids,
        Invoice.customer_name,
        Invoice.customer_email,
        Invoice.customer_phone,
        Invoice.customer_address,
        Invoice.customer_tax_ids,
        Invoice.customer_tax_exempt,
    ).where(*OWN, SHOWN, Invoice.id == bindparam("invoice_id")),
    lines=select(
        InvoiceLineItem.description,
        InvoiceLineItem.amount,
        InvoiceLineItem.currency,
        InvoiceLineItem.quantity,
        InvoiceLineItem.unit_amount_decimal,
        InvoiceLineItem.period_start,
        InvoiceLineItem.period_end,
        InvoiceLineItem.product_name,
        InvoiceLineItem.unit_label,
        InvoiceLineItem.share_left,
        InvoiceLineItem.share_whole,
        InvoiceLineItem.share_amount,
    )
    .join(Invoice, Invoice.id == InvoiceLineItem.invoice_id)
    .where(*OWN, SHOWN, Invoice.id == bindparam("invoice_id"))
    .order_by(InvoiceLineItem.position)
    .limit(literal_limit(MOST_LINES)),
    attempt=select(
        PaymentAttempt.status,
        PaymentAttempt.decline_code,
        PaymentAttempt.next_action_url,
    )
    .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
    .where(*OWN, SHOWN, Invoice.id == bindparam("invoice_id"))
    .order_by(PaymentAttempt.created.desc(), PaymentAttempt.settled_at.is_not(None), PaymentAttempt.id)
    .limit(literal_limit(1)),
    **invoice_parts.selects(*OWN, SHOWN, Invoice.id == bindparam("invoice_id")),
)


def is_carried_over(total: int, amount_due: int, ending_balance: int | None) -> bool:
    """Whether an invoice with these amounts was too small to charge: it is on the customer's balance until a later one."""
    return (
        total > 0 and not amount_due and ending_balance is not None and ending_balance > 0 and ending_balance >= total
    )


@dataclass(frozen=True, slots=True)
class InvoiceSummary:
    """A row of the history. The state of the last payment is only loaded of open invoices."""

    id: str
    created: int
    number: str | None
    status: InvoiceStatus
    currency: str
    total: int
    amount_due: int
    amount_remaining: int
    due_date: int | None
    description: str | None
    billing_reason: str | None
    subscription_id: str | None
    starting_balance: int
    ending_balance: int | None
    attempt_count: int = field(default=0, kw_only=True)
    next_payment_attempt: int | None = field(default=None, kw_only=True)
    attempt_status: str | None = field(default=None, kw_only=True)
    decline_code: str | None = field(default=None, kw_only=True)

    @property
    def owed(self) -> bool:
        """Whether an amount is left that can be paid."""
        return self.status.payable and self.amount_remaining > 0

    @property
    def is_carried_over(self) -> bool:
        """Whether it was too small to charge, so that its amount is on the customer's balance until a later invoice."""
        return is_carried_over(self.total, self.amount_due, self.ending_balance)

    @property
    def in_doubt(self) -> bool:
        """Whether the outcome of a payment is unknown, because the provider did not answer."""
        return self.attempt_status in (AttemptStatus.SUBMITTING, AttemptStatus.UNKNOWN)

    @property
    def processing(self) -> bool:
        """Whether a payment is processing."""
        return self.attempt_status == AttemptStatus.PROCESSING

    @property
    def longest_processing(self) -> int:
        """How long processing can take, in seconds."""
        return LONGEST_PROCESSING

    @property
    def declined(self) -> bool:
        """Whether the last payment failed, none is in progress, and the invoice can still be paid."""
        over = self.decline_code is not None and self.attempt_status in (None, AttemptStatus.DECLINED)
        return over and self.owed

    @property
    def cursor(self) -> str:
        """The position in the history at which the next page starts."""
        return f"{self.created}-{self.id}"


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """A page of invoices, and the cursor of the next page if there is one."""

    invoices: tuple[InvoiceSummary, ...]
    next_cursor: str | None
    unreadable: tuple[str, ...] = ()  # numbers of invoices whose rows are invalid

    def alone(self) -> "InvoicePage":
        """The same invoices, without the cursor of the next page."""
        return replace(self, next_cursor=None)


@dataclass(frozen=True, slots=True)
class InvoiceView(InvoiceSummary):
    """A whole invoice, with the names and addresses of its day; the seller's are today's where it has kept none."""

    subtotal: int
    total_excluding_tax: int | None
    amount_paid: int
    pre_payment_credit_notes_amount: int
    post_payment_credit_notes_amount: int
    amount_refunded: int
    amount_disputed: int
    total_discount_amounts: Sequence[Mapping[str, Any]]
    total_taxes: Sequence[Mapping[str, Any]]
    period_start: int
    period_end: int
    finalized_at: int | None
    paid_at: int | None
    voided_at: int | None
    footer: str | None
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    customer_address: Mapping[str, Any] | None
    customer_tax_ids: Sequence[Mapping[str, Any]]
    customer_tax_exempt: str | None
    lines: tuple[LineView, ...]
    attempt_url: str | None
    seller: Seller
    paid_with: PaidWith | None
    credit_notes: tuple[CreditNoteSummary, ...]

    @property
    def has_receipt(self) -> bool:
        """Whether money was paid for it, and nothing is left to pay."""
        return self.status == InvoiceStatus.PAID and self.amount_paid > 0

    @property
    def discount(self) -> int:
        """The sum of the discounts, ≥ 0."""
        return sum(part["amount"] for part in self.total_discount_amounts)

    @property
    def balance_used(self) -> int:
        """What the customer balance paid (> 0) or added (< 0)."""
        if self.total <= 0 and not self.amount_due:
            return 0
        return self.total - self.pre_payment_credit_notes_amount - self.amount_due


_SUMMARY_NAMES = [field.name for field in fields(InvoiceSummary)]


def summary(row: Mapping[str, Any]) -> InvoiceSummary:
    """The summary of a row of the selects above."""
    values = {name: row[name] for name in _SUMMARY_NAMES if name in row}
    values["status"] = InvoiceStatus(row["status"])
    return InvoiceSummary(**values)


def page(rows: Sequence[Mapping[str, Any]], size: int) -> InvoicePage:
    """The first `size` rows, and a cursor if there was one more."""
    shown, unreadable = [], []
    for row in rows[:size]:
        try:
            shown.append(summary(row))
        except ValueError:
            log.exception("invoice %s makes no sense", row["id"])
            unreadable.append(row["number"] or row["id"])
    last = rows[size - 1] if len(rows) > size else None
    return InvoicePage(tuple(shown), f"{last['created']}-{last['id']}" if last else None, tuple(unreadable))


def split(rows: Sequence[Mapping[str, Any]]) -> tuple[InvoicePage, list[InvoiceSummary]]:
    """The newest and the open invoices in the rows of RECENT_AND_OPEN."""
    recent = sorted((r for r in rows if r["list"] == "recent"), key=lambda r: (r["created"], r["id"]), reverse=True)
    still_open = {row["id"]: row for row in rows if row["list"] == "open"}  # these say what became of the payment, too
    shown = [still_open.get(row["id"], row) for row in recent]
    return page(shown, SHORT), [summary(row) for row in still_open.values()]


def is_anything_owed(scope: Mapping[str, Any]) -> bool:
    """Whether the customer has an invoice to pay."""
    return bool(_OWED.fetch(**scope)["owed"])


def find(scope: Mapping[str, Any], invoice_id: str) -> InvoiceView | None:
    """A customer's own invoice, or None."""
    rows = INVOICE.fetch(**scope, invoice_id=invoice_id)
    if not rows["invoice"]:
        return None
    row = rows["invoice"][0]
    if row["status"] not in tuple(InvoiceStatus) or any(isinstance(value, NotJson) for value in row.values()):
        raise Unreadable(invoice_id)
    kept = {name: row.pop(name) for name in ("account_name", "account_address", "account_tax_ids")}
    attempt = rows["attempt"][0] if rows["attempt"] else {}
    return InvoiceView(
        **{**row, "status": InvoiceStatus(row["status"])},
        lines=tuple(LineView(**line) for line in rows["lines"]),
        attempt_status=attempt.get("status"),
        attempt_url=attempt.get("next_action_url"),
        decline_code=attempt.get("decline_code"),
        **invoice_parts.build(kept, rows),
    )
