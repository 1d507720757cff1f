"""A merchant's customer, with tax ids and the transactions of its credit balance."""

from sqlalchemy import ForeignKey, Index, func, literal_column, text
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
from portal_site.db.collation import BYTEWISE, in_bytes


class Customer(HasLivemode, HasMetadata, Base):
    """A customer. `address` is {line1, line2, city, state, postal_code, country}; `shipping` is {name, phone, address}.

    `balance` is in the minor unit of `currency`; a negative balance is credit that the next invoice uses. `other_balances` are
    those in other currencies, by currency, as in Stripe's `invoice_credit_balance` but with the sign of `balance`.
    `billing_contacts` are others who get e-mails, as {email, cc, kinds}; `muted_notices` are the kinds of reminders that the
    customer does not want. Links in e-mails work if they were made at `email_links_from` or later.
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
    other_balances: Mapped[OptionalDocument]
    delinquent: Mapped[bool] = mapped_column(default=False)
    invoice_prefix: Mapped[str | None]
    next_invoice_sequence: Mapped[int] = mapped_column(default=1)
    # No foreign key: payment methods refer to customers, and a circular reference would require two passes in each import.
    default_payment_method_id: Mapped[str | None]
    preferred_locales: Mapped[Documents]
    tax_exempt: Mapped[str] = mapped_column(default="none")
    timezone: Mapped[str | None]
    deleted_at: Mapped[int | None]
    # No foreign key, as for every column added by a later migration: SQLite would have to copy the whole table.
    test_clock_id: Mapped[str | None]
    billing_contacts: Mapped[Documents] = mapped_column(server_default="[]")
    muted_notices: Mapped[Documents] = mapped_column(server_default="[]")
    email_links_from: Mapped[int | None]

    __table_args__ = (
        Index("ix_customers_account_id_email", "account_id", "email"),
        # The columns of the list follow what is searched, so that a search finds its rows in the order of the list.
        Index(
            "ix_customers_account_id_lower_email",
            "account_id",
            func.lower(literal_column("email")),
            "livemode",
            "created",
            "id",
        ),
        # For those that begin with what was typed, whatever order the database has for texts.
        Index(
            "ix_customers_account_id_lower_email_bytes",
            "account_id",
            "livemode",
            in_bytes(func.lower(literal_column("email"))),
            "created",
            "id",
        ),
        Index("ix_customers_list", "account_id", "livemode", "created", "id"),
        Index("ix_customers_invoice_prefix", "account_id", "invoice_prefix"),
        # A partial index, so that a query planner cannot use it for the many customers without a test clock.
        Index(
            "ix_customers_test_clock_id",
            "test_clock_id",
            sqlite_where=text("test_clock_id IS NOT NULL"),
            postgresql_where=text("test_clock_id IS NOT NULL"),
        ),
    )


class CustomerTerm(HasLivemode, Base):
    """What a customer is searched by: a word of its `name` or `phone`, or an entry of its metadata, the field `metadata.key`.

    It is in lower case, and cut off behind the 200th character. Triggers of the database write the terms with the customer
    (migration 0033), so that nothing that writes customers has to. Terms that begin alike stand together in the index.
    """

    __tablename__ = "customer_terms"

    account_id: Mapped[AccountId]
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    term: Mapped[str] = mapped_column(BYTEWISE, primary_key=True)
    created: Mapped[int]  # the customer's

    __table_args__ = (
        # The columns of the list follow what is searched, so that a search finds its rows in the order of the list.
        Index("ix_customer_terms", "account_id", "livemode", "field", "term", "created", "customer_id"),
    )


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


class CustomerBalanceTransaction(HasLivemode, Base):
    """One change of a customer's balance, in minor units. The balance is the sum of its transactions."""

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
