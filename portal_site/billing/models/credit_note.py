"""Credit notes: what reduces an invoice after it was finalized."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, CustomerId, Documents, HasLivemode, Id, LongText
from portal_site.db import Base


class CreditNote(HasLivemode, Base):
    """A reduction of an invoice, in minor units ≥ 0 of `currency`, with tax.

    amount = pre_payment_amount + post_payment_amount: the part that is owed no more, and the part that was paid already, which
    went to the customer's balance.
    """

    __tablename__ = "credit_notes"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    created: Mapped[int]
    number: Mapped[str]
    currency: Mapped[str]
    amount: Mapped[int]
    pre_payment_amount: Mapped[int]
    post_payment_amount: Mapped[int]
    reason: Mapped[str | None]


class CreditNoteLineItem(Base):
    """The part of an invoice's line that a credit note takes off, in minor units ≥ 0: for unused time from `period_start` on.

    total = amount + exclusive taxes.
    """

    __tablename__ = "credit_note_line_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    credit_note_id: Mapped[str] = mapped_column(ForeignKey("credit_notes.id"), index=True)
    invoice_line_item_id: Mapped[str]
    description: Mapped[LongText]
    period_start: Mapped[int]
    period_end: Mapped[int]
    amount: Mapped[int]
    total: Mapped[int]
    taxes: Mapped[Documents]

    # A line is reduced once: what is left of it was used.
    __table_args__ = (Index("uq_credit_note_line_items_invoice_line_item_id", "invoice_line_item_id", unique=True),)
