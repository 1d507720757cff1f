"""Loads prices with their products as PricedPlan, the input of the rules."""

from collections.abc import Iterable
from typing import TypedDict, cast

from sqlalchemy import Row, and_, bindparam, select
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal_site.billing.models import Price, Product
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.subscriptions.starts import SoldPrice
from portal_site.db.json_columns import JsonObject

Reader = Session | Connection
# Labelled, so that they do not clash with the columns of tables that refer to a price.
PLAN_COLUMNS = (
    Price.id.label("price_id"),
    Price.currency.label("price_currency"),
    Price.billing_scheme,
    Price.unit_amount,
    Price.unit_amount_decimal,
    Price.tiers_mode,
    Price.tiers,
    Price.transform_quantity,
    Price.usage_type,
    Price.interval,
    Price.interval_count,
    Price.tax_behavior,
    Price.product_id,
    Product.name.label("product"),
    Product.unit_label,
)


class PlanRow(TypedDict):
    """A row with the columns of PLAN_COLUMNS, by name."""

    price_id: str
    price_currency: str
    billing_scheme: str
    unit_amount: int | None
    unit_amount_decimal: str | None
    tiers_mode: str | None
    tiers: list[JsonObject] | None
    transform_quantity: JsonObject | None
    usage_type: str
    interval: str | None
    interval_count: int | None
    tax_behavior: str
    product_id: str
    product: str
    unit_label: str | None


def priced_plan(row: PlanRow) -> PricedPlan:
    """The plan of a row. Without an interval it is monthly."""
    return PricedPlan(
        price_id=row["price_id"],
        product_id=row["product_id"],
        product=row["product"],
        terms=PriceTerms.of(row, row["price_currency"]),
        interval=row["interval"] or "month",
        interval_count=row["interval_count"] or 1,
        unit_label=row["unit_label"],
        tax_behavior=row["tax_behavior"],
    )


_PLANS = (
    select(*PLAN_COLUMNS)
    .join(Product, Product.id == Price.product_id)
    .where(Price.id.in_(bindparam("ids", expanding=True)))
)
_OF_ACCOUNT = _PLANS.where(Price.account_id == bindparam("account_id"))
_OFFERABLE = _OF_ACCOUNT.where(
    Price.active,
    Product.active,
    Price.type == "recurring",
    Price.usage_type == "licensed",
    Price.livemode == bindparam("livemode"),
)
_PLANS_REFERRED_TO = _PLANS.execution_options(unscoped="prices that a subscription of ours refers to")


def load_plans(reader: Reader, account_id: str | None, price_ids: Iterable[str]) -> dict[str, PricedPlan]:
    """The plans with these prices, by price id.

    With `account_id` None the account is not checked: the ids must come from rows that the caller may read.
    """
    ids = sorted(set(price_ids))
    if account_id is None:
        return _plans(reader.execute(_PLANS_REFERRED_TO, {"ids": ids}))
    return _plans(reader.execute(_OF_ACCOUNT, {"account_id": account_id, "ids": ids}))


def load_offers(reader: Reader, account_id: str, livemode: bool, price_ids: Iterable[str]) -> dict[str, PricedPlan]:
    """The plans of an account that a subscription may change to, of those with these prices, by price id."""
    ids = sorted(set(price_ids))
    return _plans(reader.execute(_OFFERABLE, {"account_id": account_id, "livemode": livemode, "ids": ids}))


_SOLD = (
    select(
        *PLAN_COLUMNS,
        Price.trial_period_days,
        (Price.type == "recurring").label("is_recurring"),
        and_(Price.active, Product.active).label("is_active"),
    )
    .join(Product, Product.id == Price.product_id)
    .where(
        Price.account_id == bindparam("account_id"),
        Price.livemode == bindparam("livemode"),
        Price.id.in_(bindparam("ids", expanding=True)),
    )
)


def load_sold(reader: Reader, account_id: str, livemode: bool, price_ids: Iterable[str]) -> dict[str, SoldPrice]:
    """The prices with these ids that the account has in this mode, whether or not they can still be bought, by id."""
    ids = sorted({name.replace("\0", "") for name in price_ids})  # no id contains a NUL, and PostgreSQL refuses it
    rows = reader.execute(_SOLD, {"account_id": account_id, "livemode": livemode, "ids": ids})
    return {
        row.price_id: SoldPrice(
            priced_plan(cast(PlanRow, row._mapping)), bool(row.is_active), bool(row.is_recurring), row.trial_period_days
        )
        for row in rows
    }


def _plans(rows: Iterable[Row[*tuple[object, ...]]]) -> dict[str, PricedPlan]:
    return {row.price_id: priced_plan(cast(PlanRow, row._mapping)) for row in rows}
