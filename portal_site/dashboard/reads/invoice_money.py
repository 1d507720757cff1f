"""What became of the money of an invoice: its payments, refunds, credit notes and disputes; and what needs somebody."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, literal_column, select

from portal_site.billing.models import CreditNote, Customer, Dispute, Invoice, PaymentAttempt, PaymentMethod, Refund
from portal_site.db.page_query import PageQuery, literal_limit
from portal_site.db.transactions import reading

MOST = 50  # of each kind that an invoice shows
MOST_ALERTS = 10
LOOK_BACK = 30 * 24 * 60 * 60  # for refunds that failed


def _mine(model: Any) -> tuple[Any, ...]:
    # Not by the customer besides, by whom databases would look through all that it has.
    return model.account_id == bindparam("account_id"), model.invoice_id == bindparam("invoice_id")


def _newest(model: Any, query: Any) -> Any:
    return query.where(*_mine(model)).order_by(model.created.desc(), model.id.desc()).limit(literal_limit(MOST))


MONEY = PageQuery(
    payments=_newest(
        PaymentAttempt,
        select(
            PaymentAttempt.id,
            PaymentAttempt.created,
            PaymentAttempt.amount,
            PaymentAttempt.currency,
            PaymentAttempt.status,
            PaymentAttempt.decline_code,
            PaymentAttempt.gateway_reference,
            PaymentMethod.type,
            PaymentMethod.brand,
            PaymentMethod.last4,
            PaymentMethod.label,
            PaymentMethod.gateway,
        ).join(PaymentMethod, PaymentMethod.id == PaymentAttempt.payment_method_id),
    ),
    refunds=_newest(
        Refund,
        select(
            Refund.id,
            Refund.created,
            Refund.amount,
            Refund.currency,
            Refund.status,
            Refund.reason,
            Refund.gateway_reference,
            CreditNote.number.label("note"),
        ).outerjoin(CreditNote, (CreditNote.refund_id == Refund.id) & (CreditNote.account_id == Refund.account_id)),
    ),
    notes=_newest(
        CreditNote,
        select(
            CreditNote.id,
            CreditNote.created,
            CreditNote.number,
            CreditNote.amount,
            CreditNote.currency,
            CreditNote.pre_payment_amount,
            CreditNote.post_payment_amount,
            CreditNote.refund_id,
            CreditNote.voided_at,
            CreditNote.memo,
        ),
    ),
    disputes=_newest(
        Dispute,
        select(
            Dispute.id,
            Dispute.created,
            Dispute.amount,
            Dispute.currency,
            Dispute.status,
            Dispute.reason,
            Dispute.is_withdrawn,
            Dispute.evidence_due_by,
            Dispute.gateway_reference,
            PaymentMethod.gateway,
        )
        .join(PaymentAttempt, PaymentAttempt.id == Dispute.payment_attempt_id)
        .join(PaymentMethod, PaymentMethod.id == PaymentAttempt.payment_method_id),
    ),
)


@dataclass(frozen=True, slots=True)
class Alert:
    """A dispute that is open, or a refund that failed (`status` is `failed`), of an invoice."""

    kind: str
    created: int
    amount: int
    currency: str
    status: str
    due_by: int | None
    livemode: bool
    customer_id: str
    customer: str
    invoice_id: str
    number: str


def alerts(account_id: str, at: int, customer_id: str | None = None) -> list[Alert]:
    """What needs somebody's attention in an account, or of one of its customers, the newest first."""
    open_ones, failed = queries(account_id, at, customer_id)
    with reading() as reader:
        disputes, refunds = reader.execute(open_ones).all(), reader.execute(failed).all()
    found = [
        *(_alert("dispute", row, row.evidence_due_by) for row in disputes),
        *(_alert("refund", row) for row in refunds),
    ]
    return sorted(found, key=lambda one: -one.created)[:MOST_ALERTS]


def find_alert(account_id: str, kind: str, row_id: str) -> Alert | None:
    """A `dispute` or `refund` of an invoice as it is now, whether or not it still needs somebody."""
    model: Any = Dispute if kind == "dispute" else Refund
    with reading() as reader:
        row = reader.execute(_alerts(model, account_id, None, model.id == row_id)).first()
    return None if row is None else _alert(kind, row, row.evidence_due_by if kind == "dispute" else None)


def queries(account_id: str, at: int, customer_id: str | None) -> tuple[Any, Any]:
    """The selects of open disputes and of refunds that failed lately."""
    # A literal, so that the databases can use the partial index.
    failed = Refund.status == literal_column("'failed'"), Refund.created > at - LOOK_BACK
    return (
        _alerts(Dispute, account_id, customer_id, Dispute.closed_at.is_(None)),
        _alerts(Refund, account_id, customer_id, *failed),
    )


def _alerts(model: Any, account_id: str, customer_id: str | None, *only: Any) -> Any:
    dates = (Dispute.evidence_due_by,) if model is Dispute else ()
    return (
        select(
            model.created,
            model.amount,
            model.currency,
            model.status,
            model.livemode,
            model.customer_id,
            model.invoice_id,
            Customer.name,
            Customer.email,
            Invoice.number,
            *dates,
        )
        .join(Customer, Customer.id == model.customer_id)
        .join(Invoice, Invoice.id == model.invoice_id)
        .where(model.account_id == account_id, *only, *([model.customer_id == customer_id] if customer_id else []))
        .order_by(model.created.desc())
        .limit(literal_limit(MOST_ALERTS))
    )


def _alert(kind: str, row: Any, due_by: int | None = None) -> Alert:
    who = row.name or row.email or row.customer_id
    return Alert(
        kind, row.created, row.amount, row.currency, row.status, due_by, row.livemode, row.customer_id, who,
        row.invoice_id, row.number or row.invoice_id,
    )  # fmt: skip
