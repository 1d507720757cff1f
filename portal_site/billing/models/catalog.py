"""A merchant's catalogue: products, prices, coupons, promotion codes and tax rates."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, CustomerId, Documents, HasLivemode, HasMetadata, Id
from portal_site.db import Base


def _list(table: str, column: str | None = None, *, where: str | None = None) -> Index:
    """The index of a list: a table's rows of an account and mode, or those with one value of a column, by their age.

    Every list begins with the same two columns, so that SQLite, which counts the columns that it can compare, takes the index
    of the column for a list by that, and the index of the whole list for no other.
    """
    some = None if where is None else text(where)
    columns = ("account_id", "livemode", *([column] if column else []), "created", "id")
    return Index(f"ix_{table}_{column or 'list'}", *columns, sqlite_where=some, postgresql_where=some)


class Product(HasLivemode, HasMetadata, Base):
    """A product. Its name is shown to customers. `updated` is missing in one that was imported or never changed."""

    __tablename__ = "products"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    updated: Mapped[int | None]
    active: Mapped[bool] = mapped_column(default=True)
    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(Text)
    unit_label: Mapped[str | None]
    # What it offers, as {name}; the page for changing plans lists the first few.
    marketing_features: Mapped[Documents] = mapped_column(server_default="[]")

    __table_args__ = (_list("products"),)


class Price(HasLivemode, HasMetadata, Base):
    """A one-time or recurring price of a product in one currency.

    `unit_amount` is in the currency's minor unit; `unit_amount_decimal` is the exact amount where a unit costs a fraction of
    the minor unit. `tiers` is a list of {up_to, unit_amount, unit_amount_decimal, flat_amount, flat_amount_decimal}; the last
    one has no `up_to`.
    """

    __tablename__ = "prices"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"))
    created: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    nickname: Mapped[str | None]
    lookup_key: Mapped[str | None]
    currency: Mapped[str]
    type: Mapped[str] = mapped_column(default="recurring")
    billing_scheme: Mapped[str] = mapped_column(default="per_unit")
    unit_amount: Mapped[int | None]
    unit_amount_decimal: Mapped[str | None]
    interval: Mapped[str | None]
    interval_count: Mapped[int | None]
    usage_type: Mapped[str] = mapped_column(default="licensed")
    trial_period_days: Mapped[int | None]
    tax_behavior: Mapped[str] = mapped_column(default="unspecified")
    tiers_mode: Mapped[str | None]
    tiers: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    transform_quantity: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        _list("prices"),
        _list("prices", "product_id"),
        _list("prices", "lookup_key", where="lookup_key IS NOT NULL"),
    )


class Coupon(HasLivemode, HasMetadata, Base):
    """A percentage or amount off, referred to by discounts. The merchant chooses its id, which is unique per account only.

    A deleted one stays for the discounts that it has given: it is not `valid`, and is neither listed nor found by its id.
    """

    __tablename__ = "coupons"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    id: Mapped[Id]
    created: Mapped[int]
    name: Mapped[str | None]
    percent_off: Mapped[str | None]  # decimal text: 33.33 must stay 33.33
    amount_off: Mapped[int | None]
    currency: Mapped[str | None]
    duration: Mapped[str] = mapped_column(default="once")
    duration_in_months: Mapped[int | None]
    redeem_by: Mapped[int | None]
    max_redemptions: Mapped[int | None]
    times_redeemed: Mapped[int] = mapped_column(default=0)
    valid: Mapped[bool] = mapped_column(default=True)
    applies_to_products: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    deleted_at: Mapped[int | None]

    __table_args__ = (_list("coupons"),)


class PromotionCode(HasLivemode, HasMetadata, Base):
    """A code that customers enter to redeem a coupon. `code_key` is the normalized code, by which codes are looked up."""

    __tablename__ = "promotion_codes"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    coupon_id: Mapped[str]
    created: Mapped[int]
    code: Mapped[str]
    code_key: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"))
    expires_at: Mapped[int | None]
    max_redemptions: Mapped[int | None]
    times_redeemed: Mapped[int] = mapped_column(default=0)
    first_time_transaction: Mapped[bool] = mapped_column(default=False)
    minimum_amount: Mapped[int | None]
    minimum_amount_currency: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(["account_id", "coupon_id"], ["coupons.account_id", "coupons.id"]),
        _list("promotion_codes"),
        _list("promotion_codes", "code_key"),
        _list("promotion_codes", "coupon_id"),
        _list("promotion_codes", "customer_id", where="customer_id IS NOT NULL"),
    )


class PromotionCodeTry(Base):
    """A customer entered a code that does not exist. Entries are counted per hour to limit guessing."""

    __tablename__ = "promotion_code_tries"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    created: Mapped[int] = mapped_column(index=True)

    __table_args__ = (Index("ix_promotion_code_tries_customer_id_created", "customer_id", "created"),)


class CatalogTaxRate(HasLivemode, HasMetadata, Base):
    """A tax rate that can be chosen. Subscriptions have copies of theirs, which a change here does not reach.

    `percentage` is decimal text and never changes. `jurisdiction` is printed beside it, `description` is the merchant's own.
    """

    __tablename__ = "tax_rates"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    active: Mapped[bool] = mapped_column(default=True)
    display_name: Mapped[str]
    description: Mapped[str | None] = mapped_column(Text)
    percentage: Mapped[str]
    inclusive: Mapped[bool]
    country: Mapped[str | None]
    state: Mapped[str | None]
    jurisdiction: Mapped[str | None]

    __table_args__ = (_list("tax_rates"),)
