"""Payment intents with their charges and refunds."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    CustomerId,
    Document,
    Documents,
    HasLivemode,
    HasMetadata,
    Id,
    LongText,
    OptionalDocument,
)
from portal_site.db import Base


class PaymentIntent(HasLivemode, HasMetadata, Base):
    """A payment of no invoice, in one of Stripe's statuses. That of an invoice is derived from the invoice.

    Each confirmation is a try, of which the provider's key is made. `return_url` is where the customer returns to after
    authenticating it at `next_action_url`. `due_at` is when the provider is asked about it next; null while nothing is awaited.
    """

    __tablename__ = "payment_intents"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId | None]
    created: Mapped[int]
    amount: Mapped[int]
    amount_received: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str]
    status: Mapped[str]
    client_secret: Mapped[str]
    # No foreign key: it may be an unattached one.
    payment_method_id: Mapped[str | None]
    payment_method_types: Mapped[Documents]
    automatic_payment_methods: Mapped[OptionalDocument]
    setup_future_usage: Mapped[str | None]
    description: Mapped[LongText | None]
    receipt_email: Mapped[str | None]
    shipping: Mapped[OptionalDocument]
    statement_descriptor: Mapped[str | None]
    statement_descriptor_suffix: Mapped[str | None]
    return_url: Mapped[LongText | None]
    next_action_url: Mapped[LongText | None]
    last_payment_error: Mapped[OptionalDocument]
    latest_charge_id: Mapped[str | None]
    canceled_at: Mapped[int | None]
    cancellation_reason: Mapped[str | None]
    tries: Mapped[int] = mapped_column(default=0)
    tried_at: Mapped[int | None]
    due_at: Mapped[int | None]

    __table_args__ = (
        Index("ix_payment_intents_list", "account_id", "livemode", "created", "id"),
        Index("ix_payment_intents_customer_id", "customer_id", "created", "id"),
        Index(
            "ix_payment_intents_due",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )


class IntentCharge(HasLivemode, HasMetadata, Base):
    """A try of a payment intent that reached the bank: `succeeded`, `pending` or `failed`. That of an invoice is an attempt.

    `payment_method_details` and `billing_details` are those of the payment method as it was then. `decline_code` is the
    provider's.
    """

    __tablename__ = "charges"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId | None]
    payment_intent_id: Mapped[str] = mapped_column(ForeignKey("payment_intents.id"), index=True)
    created: Mapped[int]
    amount: Mapped[int]
    amount_refunded: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str]
    status: Mapped[str]
    decline_code: Mapped[str | None]
    payment_method_id: Mapped[str]
    payment_method_details: Mapped[Document]
    billing_details: Mapped[Document]
    description: Mapped[LongText | None]
    receipt_email: Mapped[str | None]
    shipping: Mapped[OptionalDocument]
    statement_descriptor: Mapped[str | None]
    statement_descriptor_suffix: Mapped[str | None]
    gateway: Mapped[str]
    gateway_reference: Mapped[str]

    __table_args__ = (
        Index("ix_charges_list", "account_id", "livemode", "created", "id"),
        Index("ix_charges_customer_id", "customer_id", "created", "id"),
    )


class IntentRefund(HasLivemode, HasMetadata, Base):
    """Money of such a charge that was given back: `succeeded` or `failed`. The provider's key is its id."""

    __tablename__ = "charge_refunds"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId | None]
    payment_intent_id: Mapped[str] = mapped_column(ForeignKey("payment_intents.id"), index=True)
    charge_id: Mapped[str] = mapped_column(ForeignKey("charges.id"), index=True)
    created: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    reason: Mapped[str | None]
    status: Mapped[str]
    gateway_reference: Mapped[str | None]

    __table_args__ = (Index("ix_charge_refunds_list", "account_id", "livemode", "created", "id"),)
