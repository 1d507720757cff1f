"""Invoices, their line items and credit notes. An invoice keeps the names and addresses of its own date."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    CustomerId,
    Documents,
    HasLivemode,
    HasMetadata,
    Id,
    LongText,
    OptionalDocument,
    OptionalDocuments,
)
from portal_site.db import Base
from portal_site.ids import new_id


class Invoice(HasLivemode, HasMetadata, Base):
    """An invoice. Amounts are in the minor unit of `currency`; `status` is a `rules.subscriptions.statuses.InvoiceStatus`.

    total = subtotal − discounts + exclusive taxes. amount_due = max(0, total + starting_balance − ending_balance), so it takes
    account of the customer balance that the invoice applied. Credit notes reduce what is owed: amount_due is less their
    `pre_payment_credit_notes_amount`, as at Stripe. What they took off of paid amounts, `post_payment_credit_notes_amount`,
    went to the customer's balance or was refunded. amount_remaining = amount_due − amount_paid.
    """

    __tablename__ = "invoices"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    on_behalf_of: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    created: Mapped[int]
    number: Mapped[str | None]
    status: Mapped[str]
    billing_reason: Mapped[str | None]
    collection_method: Mapped[str] = mapped_column(default="charge_automatically")
    currency: Mapped[str]
    description: Mapped[LongText | None]
    footer: Mapped[LongText | None]
    period_start: Mapped[int]
    period_end: Mapped[int]
    due_date: Mapped[int | None]
    subtotal: Mapped[int]
    total: Mapped[int]
    total_excluding_tax: Mapped[int | None]
    amount_due: Mapped[int]
    amount_paid: Mapped[int] = mapped_column(default=0)
    amount_remaining: Mapped[int]
    pre_payment_credit_notes_amount: Mapped[int] = mapped_column(default=0, server_default="0")
    post_payment_credit_notes_amount: Mapped[int] = mapped_column(default=0, server_default="0")
    # Of its payments, in minor units: what was refunded, the part of it that credit notes are about, and what banks took back.
    amount_refunded: Mapped[int] = mapped_column(default=0, server_default="0")
    refunds_credited: Mapped[int] = mapped_column(default=0, server_default="0")
    amount_disputed: Mapped[int] = mapped_column(default=0, server_default="0")
    starting_balance: Mapped[int] = mapped_column(default=0)
    ending_balance: Mapped[int | None]
    total_discount_amounts: Mapped[Documents]
    total_taxes: Mapped[Documents]
    attempt_count: Mapped[int] = mapped_column(default=0)
    next_payment_attempt: Mapped[int | None]
    # The renewal date of a renewal invoice, else null. Unique per subscription, so that no period is billed twice.
    cycle_at: Mapped[int | None]
    finalized_at: Mapped[int | None]
    paid_at: Mapped[int | None]
    voided_at: Mapped[int | None]
    marked_uncollectible_at: Mapped[int | None]
    account_name: Mapped[LongText | None]
    account_address: Mapped[OptionalDocument]  # null where it is not known
    account_tax_ids: Mapped[OptionalDocuments]  # as {type, value}; null where they are not known
    customer_name: Mapped[LongText | None]
    customer_email: Mapped[str | None]
    customer_phone: Mapped[str | None]
    customer_address: Mapped[OptionalDocument]
    customer_shipping: Mapped[OptionalDocument]
    customer_tax_ids: Mapped[Documents]
    customer_tax_exempt: Mapped[str | None]  # none, exempt or reverse; null where it is not known

    __table_args__ = (
        # For keyset pagination of the invoice history: newest first, ties broken by id. Customers never see drafts.
        Index(
            "ix_invoices_history",
            "customer_id",
            "created",
            "id",
            sqlite_where=text("status <> 'draft'"),
            postgresql_where=text("status <> 'draft'"),
        ),
        Index(
            "ix_invoices_open",
            "customer_id",
            "created",
            "id",
            sqlite_where=text("status = 'open'"),
            postgresql_where=text("status = 'open'"),
        ),
        Index(
            "ix_invoices_to_collect",
            "next_payment_attempt",
            "id",
            sqlite_where=text("next_payment_attempt IS NOT NULL"),
            postgresql_where=text("next_payment_attempt IS NOT NULL"),
        ),
        Index(
            "ix_invoices_amount",
            "customer_id",
            "total",
            "created",
            "id",
            sqlite_where=text("status <> 'draft'"),
            postgresql_where=text("status <> 'draft'"),
        ),
        # What is to be paid until a date, for the reminders.
        Index(
            "ix_invoices_due",
            "due_date",
            "id",
            sqlite_where=text("status = 'open'"),
            postgresql_where=text("status = 'open'"),
        ),
        Index("uq_invoices_customer_id_number", "customer_id", "number", unique=True),
        # Also serves look-ups of a subscription's invoices, since `subscription_id` is its first column.
        Index("uq_invoices_subscription_id_cycle_at", "subscription_id", "cycle_at", unique=True),
    )


class InvoiceLineItem(Base):
    """One line of an invoice. Amounts are in minor units; a negative amount is a credit.

    total = amount − discount_amounts + exclusive taxes. A line without an invoice is pending (Stripe's invoice item) and is
    added to the subscription's next invoice. A credit refers to the line that it credits, and a line is credited only once.
    """

    __tablename__ = "invoice_line_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"))
    position: Mapped[int]
    amount: Mapped[int]
    total: Mapped[int]
    currency: Mapped[str]
    description: Mapped[LongText | None]
    quantity: Mapped[int | None]
    unit_amount_decimal: Mapped[str | None]
    period_start: Mapped[int]
    period_end: Mapped[int]
    proration: Mapped[bool] = mapped_column(default=False)
    discountable: Mapped[bool] = mapped_column(default=True)
    price_id: Mapped[str | None]
    product_id: Mapped[str | None]
    subscription_id: Mapped[str | None]
    subscription_item_id: Mapped[str | None]
    product_name: Mapped[LongText | None]  # as of the invoice's date, like the invoice's other names
    unit_label: Mapped[str | None]
    # For a proration: the prorated seconds, the seconds of the full period, and the full period's amount in minor units.
    share_left: Mapped[int | None]
    share_whole: Mapped[int | None]
    share_amount: Mapped[int | None]
    credited_line_id: Mapped[str | None]
    pending_since: Mapped[int | None]  # when the line became pending; null for a line that never was
    discount_amounts: Mapped[Documents]
    taxes: Mapped[Documents]

    __table_args__ = (
        # Without pending lines: SQLite would take `invoice_id IS NULL` for a search that finds few rows.
        Index(
            "uq_invoice_line_items_position",
            "invoice_id",
            "position",
            unique=True,
            sqlite_where=text("invoice_id IS NOT NULL"),
            postgresql_where=text("invoice_id IS NOT NULL"),
        ),
        Index("uq_invoice_line_items_credited_line_id", "credited_line_id", unique=True),
        Index("ix_invoice_line_items_subscription_id_period_end", "subscription_id", "period_end"),
        Index(
            "ix_invoice_line_items_pending",
            "subscription_id",
            sqlite_where=text("invoice_id IS NULL"),
            postgresql_where=text("invoice_id IS NULL"),
        ),
    )

    def waiting_again(self) -> "InvoiceLineItem":
        """A pending copy of this line, for the next invoice after this line's invoice was voided.

        The copy does not refer to a credited line; the caller sets `credited_line_id` where it applies.
        """
        reset = {"id": new_id("il"), "invoice_id": None, "credited_line_id": None}
        columns = {column.key: getattr(self, column.key) for column in type(self).__mapper__.column_attrs}
        return InvoiceLineItem(**{**columns, **reset})


class CreditNote(HasLivemode, Base):
    """A reduction of an invoice, in minor units ≥ 0 of `currency`, with tax.

    amount = pre_payment_amount + post_payment_amount: the part that is owed no more, and the part that was paid already, which
    went to the customer's balance or, with `refund_id`, to where it came from. It is void if that refund failed. The `memo` is
    for the customer to read; `idempotency_key` is the caller's.
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
    memo: Mapped[LongText | None]
    refund_id: Mapped[str | None] = mapped_column(index=True)
    voided_at: Mapped[int | None]
    idempotency_key: Mapped[str | None]

    __table_args__ = (
        Index("uq_credit_notes_customer_id_idempotency_key", "customer_id", "idempotency_key", unique=True),
    )


class CreditNoteLineItem(Base):
    """The part of an invoice's line that a credit note takes off, in minor units ≥ 0: for unused time from `period_start` on.

    total = amount + exclusive taxes. Without a period, as in imported credit notes, it is a lower price of the whole line.
    """

    __tablename__ = "credit_note_line_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    credit_note_id: Mapped[str] = mapped_column(ForeignKey("credit_notes.id"), index=True)
    invoice_line_item_id: Mapped[str]
    description: Mapped[LongText]
    period_start: Mapped[int | None]
    period_end: Mapped[int | None]
    amount: Mapped[int]
    total: Mapped[int]
    taxes: Mapped[Documents]

    __table_args__ = (
        Index("ix_credit_note_line_items_invoice_line_item_id", "invoice_line_item_id"),
        # A line is reduced to its used time once: what is left of it was used.
        Index(
            "uq_credit_note_line_items_invoice_line_item_id",
            "invoice_line_item_id",
            unique=True,
            sqlite_where=text("period_start IS NOT NULL"),
            postgresql_where=text("period_start IS NOT NULL"),
        ),
    )


class PrintedDocument(Base):
    """A PDF of an invoice or a credit note, in one language and for one size of paper.

    Its id is the hash of whose it is and of all that it was made from, so that it is found again as long as that is the same,
    whatever later versions of the program would print.
    """

    __tablename__ = "printed_documents"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"))
    created: Mapped[int]
    data: Mapped[bytes]
