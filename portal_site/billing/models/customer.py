"""A merchant's customer: who pays, where the invoice goes, and the credit it holds."""

from typing import Any

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
    values,
)
from portal_site.db import Base


class Customer(HasLivemode, HasMetadata, Base):
    """Who subscribes. `address` is {line1, line2, city, state, postal_code, country}; `shipping` is {name, phone, address}.

    `balance` is in the minor unit of `currency`; a negative one is credit that the next invoice uses.
    """

    __tablename__ = "customers"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    name: Mapped[LongText | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    description: Mapped[LongText | None]
    address: Mapped[OptionalDocument]
    shipping: Mapped[OptionalDocument]
    balance: Mapped[int] = mapped_column(default=0)
    currency: Mapped[str | None]
    delinquent: Mapped[bool] = mapped_column(default=False)
    invoice_prefix: Mapped[str | None]
    next_invoice_sequence: Mapped[int] = mapped_column(default=1)
    # No foreign key: a payment method refers to its customer, and a circle would make each import two passes.
    default_payment_method_id: Mapped[str | None]
    preferred_locales: Mapped[Documents]
    tax_exempt: Mapped[str] = mapped_column(default="none")
    timezone: Mapped[str | None]
    deleted_at: Mapped[int | None]
    # No foreign keys on columns that joined later: SQLite would have to copy the table for each.
    test_clock_id: Mapped[str | None]

    __table_args__ = (
        Index("ix_customers_account_id_email", "account_id", "email"),
        # Partial, lest a database begin there when it looks for the many without a clock.
        Index(
            "ix_customers_test_clock_id",
            "test_clock_id",
            sqlite_where=text("test_clock_id IS NOT NULL"),
            postgresql_where=text("test_clock_id IS NOT NULL"),
        ),
    )

    def as_object(self) -> dict[str, Any]:
        """The customer as an event carries it."""
        names = ("id", "created", "livemode", "name", "email", "phone", "address", "shipping", "balance", "currency")
        return {
            "object": "customer",
            **values(self, *names, "delinquent", "description", "invoice_prefix", "preferred_locales", "tax_exempt"),
            "invoice_settings": {"default_payment_method": self.default_payment_method_id},
            "metadata": self.metadata_,
        }


class TaxId(HasLivemode, Base):
    """A customer's tax identification number, printed on its invoices."""

    __tablename__ = "tax_ids"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    created: Mapped[int]
    type: Mapped[str]
    value: Mapped[str]
    country: Mapped[str | None]
    verification_status: Mapped[str] = mapped_column(default="unavailable")
    verified_name: Mapped[LongText | None]
    verified_address: Mapped[LongText | None]

    __table_args__ = (Index("uq_tax_ids_customer_id_type_value", "customer_id", "type", "value", unique=True),)

    def as_object(self) -> dict[str, Any]:
        """The tax id as an event carries it."""
        verification = {
            "status": self.verification_status,
            "verified_name": self.verified_name,
            "verified_address": self.verified_address,
        }
        named = values(self, "id", "created", "livemode", "type", "value", "country")
        return {"object": "tax_id", **named, "customer": self.customer_id, "verification": verification}


class CustomerBalanceTransaction(HasLivemode, Base):
    """One change of a customer's balance; the balance is their sum."""

    __tablename__ = "customer_balance_transactions"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    created: Mapped[int]
    type: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    ending_balance: Mapped[int]
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"))
    description: Mapped[LongText | None]
