"""What a subscription can be started with: the active recurring prices of an account, its coupons and its tax rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import BindParameter, bindparam, or_, select

from portal_site.billing.loading.plans import PLAN_COLUMNS, PlanRow, priced_plan
from portal_site.billing.models import CatalogTaxRate, Coupon, Price, Product
from portal_site.dashboard.catalog import wording
from portal_site.db.page_query import PageQuery, literal_limit
from portal_site.web.rendering.filters import stretch

MOST_PRICES, MOST = 1000, 200  # that can be chosen from; of coupons and rates the newest
_ACCOUNT: BindParameter[str] = bindparam("account_id")
_MODE: BindParameter[bool] = bindparam("livemode")
_CURRENCY = bindparam("currency", type_=Price.currency.type)
_SOLD = PageQuery(
    prices=select(*PLAN_COLUMNS, Price.nickname, Price.trial_period_days)
    .join(Product, Product.id == Price.product_id)
    .where(Price.account_id == _ACCOUNT, Price.livemode == _MODE, Price.active, Product.active)
    .where(Price.type == "recurring", or_(_CURRENCY.is_(None), Price.currency == _CURRENCY))
    .order_by(Product.name, Product.id, Price.created, Price.id)
    .limit(literal_limit(MOST_PRICES)),
    coupons=select(
        Coupon.id,
        Coupon.name,
        Coupon.percent_off,
        Coupon.amount_off,
        Coupon.currency,
        Coupon.duration,
        Coupon.duration_in_months,
    )
    .where(Coupon.account_id == _ACCOUNT, Coupon.livemode == _MODE, Coupon.valid)
    .order_by(Coupon.created.desc(), Coupon.id)
    .limit(literal_limit(MOST)),
    rates=select(CatalogTaxRate.id, CatalogTaxRate.display_name, CatalogTaxRate.percentage, CatalogTaxRate.inclusive)
    .where(CatalogTaxRate.account_id == _ACCOUNT, CatalogTaxRate.livemode == _MODE, CatalogTaxRate.active)
    .order_by(CatalogTaxRate.created.desc(), CatalogTaxRate.id)
    .limit(literal_limit(MOST)),
)
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Sold:
    """The choices, as (id, words): prices by the name of their product, coupons, and tax rates."""

    prices: Mapping[str, Pairs]
    coupons: Pairs
    tax_rates: Pairs

    @property
    def has_all(self) -> bool:
        """Whether no price is left out."""
        return sum(map(len, self.prices.values())) < MOST_PRICES


def find(account_id: str, livemode: bool, currency: str | None) -> Sold:
    """The choices in a mode. With a currency, prices in another one are left out."""
    found = _SOLD.fetch(account_id=account_id, livemode=livemode, currency=currency)
    prices: dict[str, list[tuple[str, str]]] = {}
    for row in found["prices"]:
        prices.setdefault(row["product"], []).append((row["price_id"], _price(row)))
    coupons, rates = ([SimpleNamespace(**row) for row in found[name]] for name in ("coupons", "rates"))
    return Sold(
        prices,
        [(row.id, f"{row.name or row.id}: {wording.coupon_off(cast(Any, row))}") for row in coupons],
        [(row.id, wording.tax_rate(cast(Any, row))) for row in rates],
    )


def _price(row: dict[str, Any]) -> str:
    plan = priced_plan(cast(PlanRow, row))
    words = wording.amount(plan.terms, plan.interval, plan.interval_count, plan.unit_label)
    more = [row["nickname"]] if row["nickname"] else []
    more += [f"{stretch(row['trial_period_days'], 'day')} of trial"] if row["trial_period_days"] else []
    return f"{words} ({', '.join(more)})" if more else words
