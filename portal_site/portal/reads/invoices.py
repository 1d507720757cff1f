"""Invoices as a customer sees them: the history by keyset pages, one invoice with its lines, and what is open."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import bindparam, literal, literal_column, null, or_, select, union_all

from portal_site.billing.errors import Unreadable
from portal_site.billing.models import Account, Invoice, InvoiceLineItem, PaymentAttempt
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.payments.payment_times import LONGEST_PROCESSING
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, InvoiceStatus
from portal_site.db.page_query import NotJson, PageQuery, literal_limit

log = logging.getLogger("portal_site")
SHORT = 6
LONG = 24
MOST_OPEN = 20
MOST_AWAITED = 500
MOST_LINES = 1000

_OWN = (
    Invoice.account_id == bindparam("account_id"),
    Invoice.customer_id == bindparam("customer_id"),
    or_(bindparam("on_behalf_of", type_=Invoice.id.type).is_(None), Invoice.on_behalf_of == bindparam("on_behalf_of")),
)
# A literal, not a bound value: only so do both databases know that the partial index serves.
_SHOWN = Invoice.status != literal_column("'draft'")
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
)
_NEWEST_FIRST = (Invoice.created.desc(), Invoice.id.desc())


def _page(size: int, *only: Any) -> Any:
    """One row more than a page holds tells whether another follows; nothing is ever counted."""
    return select(*_SUMMARY).where(*_OWN, _SHOWN, *only).order_by(*_NEWEST_FIRST).limit(literal_limit(size + 1))


def _labelled(label: str, query: Any, *more: Any) -> Any:
    rows = query.subquery(label)
    return select(literal(label).label("list"), *rows.c, *more)


def _of_attempts(column: Any, *only: Any) -> Any:
    """What the newest of these tries to collect an invoice says."""
    return (
        select(column)
        .where(PaymentAttempt.customer_id == Invoice.customer_id, PaymentAttempt.invoice_id == Invoice.id, *only)
        .order_by(PaymentAttempt.created.desc())
        .limit(literal_limit(1))
        .correlate(Invoice)
        .scalar_subquery()
    )


# The try that is under way, and why the last one that is over failed: each is the first row of an index.
_ATTEMPTS = (
    _of_attempts(PaymentAttempt.status, PaymentAttempt.settled_at.is_(None)).label("attempt_status"),
    _of_attempts(PaymentAttempt.decline_code, PaymentAttempt.settled_at.is_not(None)).label("decline_code"),
)
_NO_ATTEMPT = (
    null().cast(PaymentAttempt.status.type).label("attempt_status"),
    null().cast(PaymentAttempt.decline_code.type).label("decline_code"),
)
_OPEN = (
    select(*_SUMMARY, *_ATTEMPTS)
    .where(*_OWN, Invoice.status == literal_column("'open'"))
    .order_by(*_NEWEST_FIRST)
    .limit(literal_limit(MOST_OPEN))
)
# The newest and the open ones in one select: they are two indexes of one table, and one question less.
RECENT_AND_OPEN = union_all(_labelled("recent", _page(SHORT), *_NO_ATTEMPT), _labelled("open", _OPEN))
# Every open invoice on which a change may wait, whoever's name it bears: it decides what is left of the balance.
AWAITED = (
    select(Invoice.id, Invoice.status, Invoice.starting_balance, Invoice.ending_balance, _ATTEMPTS[0])
    .where(
        Invoice.account_id == bindparam("account_id"),
        Invoice.customer_id == bindparam("customer_id"),
        Invoice.status == literal_column("'open'"),
    )
    .limit(literal_limit(MOST_AWAITED))
)
OPEN_OF_ONE = _OPEN.where(Invoice.subscription_id == bindparam("subscription_id"))
# What the merchant has written off can still be paid, and a subscription may be on hold because of it.
WRITTEN_OFF_OF_ONE = (
    select(*_SUMMARY, *_ATTEMPTS)
    .where(
        *_OWN,
        Invoice.status == literal_column("'uncollectible'"),
        Invoice.amount_remaining > 0,
        Invoice.subscription_id == bindparam("subscription_id"),
    )
    .order_by(*_NEWEST_FIRST)
    .limit(literal_limit(MOST_OPEN))
)
UNDER_WAY = (
    select(PaymentAttempt.invoice_id, PaymentAttempt.status, PaymentAttempt.next_action_url)
    .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
    .where(*_OWN, Invoice.subscription_id == bindparam("subscription_id"), PaymentAttempt.settled_at.is_(None))
    .limit(literal_limit(MOST_OPEN))
)
_OWED = PageQuery(
    owed=select(Invoice.id)
    .where(
        *_OWN,
        or_(Invoice.status == literal_column("'open'"), Invoice.status == literal_column("'uncollectible'")),
        Invoice.amount_remaining > 0,
    )
    .limit(literal_limit(1))
)
HISTORY = PageQuery(
    invoices=_page(LONG),
)
HISTORY_AFTER = PageQuery(
    invoices=_page(
        LONG,
        # `created <= at` first: a plain comparison is what makes both databases start at that place in the index.
        Invoice.created <= bindparam("after_created"),
        or_(Invoice.created < bindparam("after_created"), Invoice.id < bindparam("after_id")),
    )
)
INVOICE = PageQuery(
    invoice=select(
        *_SUMMARY,
        Invoice.subtotal,
        Invoice.total_excluding_tax,
        Invoice.amount_paid,
        Invoice.pre_payment_credit_notes_amount,
        Invoice.post_payment_credit_notes_amount,
        Invoice.total_discount_amounts,
        Invoice.total_taxes,
        Invoice.period_start,
        Invoice.period_end,
        Invoice.finalized_at,
        Invoice.paid_at,
        Invoice.voided_at,
        Invoice.footer,
        Invoice.account_name,
        Invoice.account_tax_ids,
        Invoice.customer_name,
        Invoice.customer_email,
        Invoice.customer_phone,
        Invoice.customer_address,
        Invoice.customer_tax_ids,
        Invoice.customer_tax_exempt,
    ).where(*_OWN, _SHOWN, Invoice.id == bindparam("invoice_id")),
    seller=select(Account.tax_ids).where(Account.id == bindparam("account_id")),
    lines=select(
        InvoiceLineItem.description,
        InvoiceLineItem.amount,
        InvoiceLineItem.currency,
        InvoiceLineItem.quantity,
        InvoiceLineItem.period_start,
        InvoiceLineItem.period_end,
        InvoiceLineItem.product_name,
        InvoiceLineItem.unit_label,
        InvoiceLineItem.share_left,
        InvoiceLineItem.share_whole,
        InvoiceLineItem.share_amount,
    )
    .join(Invoice, Invoice.id == InvoiceLineItem.invoice_id)
    .where(*_OWN, _SHOWN, Invoice.id == bindparam("invoice_id"))
    .order_by(InvoiceLineItem.position)
    .limit(literal_limit(MOST_LINES)),
    attempt=select(PaymentAttempt.status, PaymentAttempt.decline_code, PaymentAttempt.next_action_url)
    .join(Invoice, Invoice.id == PaymentAttempt.invoice_id)
    .where(*_OWN, _SHOWN, Invoice.id == bindparam("invoice_id"))
    .order_by(PaymentAttempt.created.desc(), PaymentAttempt.settled_at.is_not(None), PaymentAttempt.id)
    .limit(literal_limit(1)),
)


@dataclass(frozen=True, slots=True)
class InvoiceSummary:
    """A row of the history. How the last try to pay went is known where open invoices are shown as such."""

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
    attempt_status: str | None = field(default=None, kw_only=True)
    decline_code: str | None = field(default=None, kw_only=True)

    @property
    def owed(self) -> bool:
        """Whether something of it is left to pay, and can be paid."""
        return self.status.payable and self.amount_remaining > 0

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows yet what became of a payment: the provider was asked, and did not answer."""
        return self.attempt_status in (AttemptStatus.SUBMITTING, AttemptStatus.UNKNOWN)

    @property
    def processing(self) -> bool:
        """Whether the bank is carrying out a payment."""
        return self.attempt_status == AttemptStatus.PROCESSING

    @property
    def longest_processing(self) -> int:
        """How long that can take, in seconds."""
        return LONGEST_PROCESSING

    @property
    def declined(self) -> bool:
        """Whether the last try to pay failed, none is under way, and the invoice can still be paid."""
        over = self.decline_code is not None and self.attempt_status in (None, AttemptStatus.DECLINED)
        return over and self.owed

    @property
    def cursor(self) -> str:
        """Where the next page begins."""
        return f"{self.created}-{self.id}"


@dataclass(frozen=True, slots=True)
class InvoicePage:
    """Some invoices and, when there are more, where they begin."""

    invoices: tuple[InvoiceSummary, ...]
    next_cursor: str | None
    unreadable: tuple[str, ...] = ()  # numbers of those that make no sense


@dataclass(frozen=True, slots=True)
class LineView:
    """One line; `period_end` equals `period_start` for what has no duration.

    Lines of our own name the product, and of a proration how many seconds of how many; others have their `description` alone.
    """

    description: str | None
    amount: int
    currency: str
    quantity: int | None
    period_start: int
    period_end: int
    product_name: str | None = None
    unit_label: str | None = None
    share_left: int | None = None
    share_whole: int | None = None
    share_amount: int | None = None

    @classmethod
    def of(cls, line: InvoiceLine) -> "LineView":
        """A line of a quote, shown as it will be on the invoice."""
        factor = line.proration
        return cls(
            description=None,
            amount=line.amount,
            currency=line.offer.terms.currency,
            quantity=line.quantity,
            period_start=line.period_start,
            period_end=line.period_end,
            product_name=line.offer.product,
            unit_label=line.offer.unit_label,
            share_left=factor.seconds if factor else None,
            share_whole=factor.period_seconds if factor else None,
            share_amount=line.full_amount if factor else None,
        )


@dataclass(frozen=True, slots=True)
class InvoiceView(InvoiceSummary):
    """A whole invoice, with the names and addresses of its day; the account's tax ids are today's where it has kept none."""

    subtotal: int
    total_excluding_tax: int | None
    amount_paid: int
    pre_payment_credit_notes_amount: int
    post_payment_credit_notes_amount: int
    starting_balance: int
    ending_balance: int | None
    total_discount_amounts: Sequence[Mapping[str, Any]]
    total_taxes: Sequence[Mapping[str, Any]]
    period_start: int
    period_end: int
    finalized_at: int | None
    paid_at: int | None
    voided_at: int | None
    footer: str | None
    account_name: str | None
    account_tax_ids: Sequence[Mapping[str, Any]]
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    customer_address: Mapping[str, Any] | None
    customer_tax_ids: Sequence[Mapping[str, Any]]
    customer_tax_exempt: str | None
    lines: tuple[LineView, ...]
    attempt_url: str | None

    @property
    def discount(self) -> int:
        """What coupons took off, ≥ 0."""
        return sum(part["amount"] for part in self.total_discount_amounts)

    @property
    def balance_used(self) -> int:
        """What the customer balance paid (> 0) or added (< 0)."""
        if self.total <= 0 and not self.amount_due:
            return 0
        return self.total - self.pre_payment_credit_notes_amount - self.amount_due


_SUMMARY_NAMES = [field.name for field in fields(InvoiceSummary)]


def summary(row: Mapping[str, Any]) -> InvoiceSummary:
    """A row of the selects above."""
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
    """The newest invoices and the open ones, from RECENT_AND_OPEN."""
    recent = sorted((r for r in rows if r["list"] == "recent"), key=lambda r: (r["created"], r["id"]), reverse=True)
    return page(recent, SHORT), [summary(r) for r in rows if r["list"] == "open"]


def history(scope: Mapping[str, Any], after: str | None) -> InvoicePage | None:
    """A page of the history; None for a cursor that makes no sense."""
    if after is None:
        return page(HISTORY.fetch(**scope)["invoices"], LONG)
    created, _, invoice_id = after.partition("-")
    if not (created.isascii() and created.isdigit() and len(created) < 13 and invoice_id):
        return None
    return page(HISTORY_AFTER.fetch(**scope, after_created=int(created), after_id=invoice_id)["invoices"], LONG)


def is_anything_owed(scope: Mapping[str, Any]) -> bool:
    """Whether a customer has an invoice to pay."""
    return bool(_OWED.fetch(**scope)["owed"])


def find(scope: Mapping[str, Any], invoice_id: str) -> InvoiceView | None:
    """A customer's own invoice, or None."""
    rows = INVOICE.fetch(**scope, invoice_id=invoice_id)
    if not rows["invoice"]:
        return None
    row = rows["invoice"][0]
    if row["status"] not in tuple(InvoiceStatus) or any(isinstance(value, NotJson) for value in row.values()):
        raise Unreadable(invoice_id)
    seller = row["account_tax_ids"] if row["account_tax_ids"] is not None else rows["seller"][0]["tax_ids"]
    attempt = rows["attempt"][0] if rows["attempt"] else {}
    return InvoiceView(
        **{**row, "status": InvoiceStatus(row["status"]), "account_tax_ids": seller},
        lines=tuple(LineView(**line) for line in rows["lines"]),
        attempt_status=attempt.get("status"),
        attempt_url=attempt.get("next_action_url"),
        decline_code=attempt.get("decline_code"),
    )
