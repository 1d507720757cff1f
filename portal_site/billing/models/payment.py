"""Payment methods, setup intents and payment attempts. Card and bank account numbers are never stored."""

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    CustomerId,
    Document,
    Documents,
    HasLivemode,
    Id,
    LongText,
    OptionalDocument,
)
from portal_site.db import Base


class PaymentMethod(HasLivemode, Base):
    """A card, bank debit or wallet stored at the gateway. `gateway_reference` is the gateway's id for it.

    `last4` is empty for what has no digits; `label` is what its owner knows such a one by, an e-mail address for example.
    `billing_details` are {address, email, name, phone} as a merchant's program gave them.
    """

    __tablename__ = "payment_methods"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    created: Mapped[int]
    type: Mapped[str]
    brand: Mapped[str | None]
    last4: Mapped[str]
    exp_month: Mapped[int | None]
    exp_year: Mapped[int | None]
    funding: Mapped[str | None]
    country: Mapped[str | None]
    fingerprint: Mapped[str | None]
    label: Mapped[LongText | None]
    wallet: Mapped[str | None]  # in which a card is, such as apple_pay
    mandate_reference: Mapped[
        str | None
    ]  # of a debit, as bank statements have it, with the provider's page that shows it
    mandate_url: Mapped[LongText | None]
    gateway: Mapped[str] = mapped_column(default="sandbox")
    gateway_reference: Mapped[str | None]
    detached_at: Mapped[int | None]
    billing_details: Mapped[OptionalDocument]
    metadata_: Mapped[Document] = mapped_column("metadata", server_default="{}")

    __table_args__ = (
        Index("ix_payment_methods_reference", "account_id", "gateway_reference"),
        # Cards in the order of their expiry, for the reminders.
        Index(
            "ix_payment_methods_expiry",
            "exp_year",
            "exp_month",
            "id",
            sqlite_where=text("detached_at IS NULL AND exp_month IS NOT NULL"),
            postgresql_where=text("detached_at IS NULL AND exp_month IS NOT NULL"),
        ),
    )


class ProviderCustomer(HasLivemode, Base):
    """A customer under the name that a payment provider has for it. Methods that are left there belong to it."""

    __tablename__ = "provider_customers"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    created: Mapped[int]
    gateway: Mapped[str]
    reference: Mapped[str]

    __table_args__ = (
        UniqueConstraint("customer_id", "gateway"),
        Index("ix_provider_customers_reference", "account_id", "reference"),
    )


class SetupIntent(HasLivemode, Base):
    """A customer's visit to the gateway's page to add a payment method, or what a merchant's program saves one with.

    `client_secret` is null for those that the portal began. `return_url` is where the customer returns to after authenticating
    the method at `next_action_url`; `acceptance` is how the mandate of a debit was accepted. Programs may
    leave the customer out.
    """

    __tablename__ = "setup_intents"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"))
    created: Mapped[int] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(default="requires_payment_method")
    gateway: Mapped[str | None]  # of those that were begun before there were several: the default one
    gateway_reference: Mapped[str]
    payment_method_id: Mapped[str | None] = mapped_column(ForeignKey("payment_methods.id"))
    client_secret: Mapped[str | None]
    payment_method_types: Mapped[Documents] = mapped_column(server_default='["card", "sepa_debit"]')
    usage: Mapped[str] = mapped_column(default="off_session", server_default="off_session")
    description: Mapped[LongText | None]
    # The method that is to be saved, attached or not, until it is: then it is `payment_method_id`.
    chosen_method_id: Mapped[str | None]
    return_url: Mapped[LongText | None]
    next_action_url: Mapped[LongText | None]
    last_setup_error: Mapped[OptionalDocument]
    acceptance: Mapped[OptionalDocument]
    cancellation_reason: Mapped[str | None]
    metadata_: Mapped[Document] = mapped_column("metadata", server_default="{}")

    __table_args__ = (
        Index("ix_setup_intents_reference", "account_id", "gateway_reference"),
        Index("ix_setup_intents_list", "account_id", "livemode", "created", "id"),
    )


class Refund(HasLivemode, Base):
    """Money of a payment that is given back, in minor units of `currency`: `pending`, `succeeded` or `failed`.

    It is written before the gateway is called, whose key is its id. `idempotency_key` is the caller's.
    """

    __tablename__ = "refunds"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    payment_attempt_id: Mapped[str] = mapped_column(ForeignKey("payment_attempts.id"), index=True)
    created: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    reason: Mapped[str | None]
    status: Mapped[str]
    idempotency_key: Mapped[str]
    gateway_reference: Mapped[str | None]
    checked_at: Mapped[int | None]

    __table_args__ = (
        UniqueConstraint("customer_id", "idempotency_key"),
        Index("ix_refunds_reference", "account_id", "gateway_reference"),
        Index(
            "ix_refunds_failed",
            "account_id",
            "created",
            sqlite_where=text("status = 'failed'"),
            postgresql_where=text("status = 'failed'"),
        ),
        Index(
            "ix_refunds_pending",
            "created",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
    )


class Dispute(HasLivemode, Base):
    """A payment that its customer disputes at the bank, in minor units of `currency`; `status` and `reason` are Stripe's.

    It is over since `closed_at`. While `is_withdrawn`, the bank has taken the money back: during the dispute, and for good if
    that is lost. Evidence counts until `evidence_due_by`. `gateway_reference` is the provider's id of it.
    """

    __tablename__ = "disputes"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), index=True)
    payment_attempt_id: Mapped[str] = mapped_column(ForeignKey("payment_attempts.id"))
    created: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    reason: Mapped[str]
    status: Mapped[str]
    is_withdrawn: Mapped[bool] = mapped_column(default=False)
    evidence_due_by: Mapped[int | None]
    closed_at: Mapped[int | None]
    gateway_reference: Mapped[str]

    __table_args__ = (
        UniqueConstraint("account_id", "gateway_reference"),
        Index(
            "ix_disputes_open",
            "account_id",
            "created",
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )


class PaymentAttempt(HasLivemode, Base):
    """One attempt to collect an invoice. It is written before the gateway is called and settled afterwards, so none is lost.

    `status` is a `rules.subscriptions.statuses.AttemptStatus`. An invoice can have only one unsettled attempt at a time, which
    a unique index enforces.
    """

    __tablename__ = "payment_attempts"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"))
    payment_method_id: Mapped[str] = mapped_column(ForeignKey("payment_methods.id"))
    created: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    gateway_reference: Mapped[str | None]
    decline_code: Mapped[str | None]
    next_action_url: Mapped[LongText | None]
    automatic: Mapped[bool] = mapped_column(default=False)  # made because the next attempt was due
    checked_at: Mapped[int | None]
    settled_at: Mapped[int | None]

    __table_args__ = (
        Index("ix_payment_attempts_newest", "invoice_id", "created"),
        # What a provider's event is about; nobody looks for the settled ones in this way.
        Index(
            "ix_payment_attempts_reference",
            "gateway_reference",
            sqlite_where=text("settled_at IS NULL"),
            postgresql_where=text("settled_at IS NULL"),
        ),
        Index(
            "uq_payment_attempts_under_way",
            "invoice_id",
            unique=True,
            sqlite_where=text("settled_at IS NULL"),
            postgresql_where=text("settled_at IS NULL"),
        ),
    )


class ProviderEvent(HasLivemode, Base):
    """An event of a payment provider, stored when it came, and worked off until `due_at` is null.

    `id`, `type` and `created` are the provider's, `subject` and `reference` say what it is about. `fault` is why it could not be
    worked off, for good if it is not due any more.
    """

    __tablename__ = "provider_events"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    gateway: Mapped[str]
    type: Mapped[str]
    created: Mapped[int]
    received_at: Mapped[int]
    subject: Mapped[str]
    reference: Mapped[str]
    attempt_id: Mapped[str | None]
    due_at: Mapped[int | None]
    tries: Mapped[int] = mapped_column(default=0)
    fault: Mapped[LongText | None]

    __table_args__ = (
        Index(
            "ix_provider_events_due",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("ix_provider_events_received_at", "received_at"),
    )
