"""What a program has before a payment: payment methods of no customer yet, and Checkout sessions."""

from sqlalchemy import Index, text
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
)
from portal_site.db import Base


class UnattachedMethod(HasLivemode, HasMetadata, Base):
    """A payment method that is no customer's. Attaching it makes a `PaymentMethod` with its id; one payment uses it up."""

    __tablename__ = "unattached_payment_methods"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    type: Mapped[str]
    brand: Mapped[str | None]
    last4: Mapped[str]
    exp_month: Mapped[int | None]
    exp_year: Mapped[int | None]
    funding: Mapped[str | None]
    country: Mapped[str | None]
    fingerprint: Mapped[str | None]
    billing_details: Mapped[OptionalDocument]
    gateway: Mapped[str]
    gateway_reference: Mapped[str]
    used_at: Mapped[int | None]


class CheckoutSession(HasLivemode, HasMetadata, Base):
    """A visit to the provider's page in which a customer saves a payment method, for a setup intent of its own.

    `success_url` may have the id of the session in it already.
    """

    __tablename__ = "checkout_sessions"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    # No foreign key: the setup intents of portal visits are removed after some time, and these with them are not.
    setup_intent_id: Mapped[str] = mapped_column(index=True)
    created: Mapped[int]
    expires_at: Mapped[int]
    status: Mapped[str]
    currency: Mapped[str | None]
    payment_method_types: Mapped[Documents]
    client_reference_id: Mapped[str | None]
    success_url: Mapped[LongText]
    cancel_url: Mapped[LongText | None]
    url: Mapped[LongText]

    __table_args__ = (
        Index("ix_checkout_sessions_list", "account_id", "livemode", "created", "id"),
        Index("ix_checkout_sessions_customer_id", "customer_id", "created", "id"),
        Index(
            "ix_checkout_sessions_open",
            "expires_at",
            sqlite_where=text("status = 'open'"),
            postgresql_where=text("status = 'open'"),
        ),
    )
