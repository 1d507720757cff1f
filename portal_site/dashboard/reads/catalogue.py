"""What an account sells, for the choices in its settings."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, bindparam, select

from portal_site.billing.models import Coupon, Price, Product
from portal_site.db.page_query import PageQuery, literal_limit
from portal_site.db.transactions import reading
from portal_site.web.rendering import filters

MOST = 100  # products and coupons that can be chosen from, the newest
_ACCOUNT: BindParameter[str] = bindparam("account_id")
_MODE: BindParameter[bool] = bindparam("livemode")
_PRODUCTS = (
    select(Product.id)
    .where(Product.account_id == _ACCOUNT, Product.livemode == _MODE, Product.active)
    .order_by(Product.created.desc(), Product.id)
    .limit(literal_limit(MOST))
)
_CATALOGUE = PageQuery(
    products=select(Product.id, Product.name, Product.unit_label)
    .where(Product.account_id == _ACCOUNT, Product.livemode == _MODE, Product.active)
    .order_by(Product.created.desc(), Product.id)
    .limit(literal_limit(MOST)),
    prices=select(
        Price.id,
        Price.product_id,
        Price.nickname,
        Price.currency,
        Price.unit_amount,
        Price.interval,
        Price.interval_count,
    )
    .where(Price.account_id == _ACCOUNT, Price.livemode == _MODE)
    .where(Price.active, Price.interval.is_not(None), Price.product_id.in_(_PRODUCTS))
    .order_by(Price.created, Price.id),
    coupons=select(Coupon.id, Coupon.name, Coupon.percent_off, Coupon.amount_off, Coupon.currency)
    .where(Coupon.account_id == _ACCOUNT, Coupon.livemode == _MODE, Coupon.valid)
    .order_by(Coupon.created.desc(), Coupon.id)
    .limit(literal_limit(MOST)),
)


@dataclass(frozen=True)
class SoldProduct:
    """An active product with its active, recurring prices as (id, words)."""

    id: str
    name: str
    prices: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Catalogue:
    """Products, newest first, and coupons as (id, words)."""

    products: Sequence[SoldProduct]
    coupons: Sequence[tuple[str, str]]

    @property
    def prices(self) -> list[tuple[str, str]]:
        """All prices as (id, words with the product's name)."""
        return [(price, f"{product.name}, {words}") for product in self.products for price, words in product.prices]


def find(account_id: str, livemode: bool) -> Catalogue:
    """The catalogue of an account in a mode."""
    found = _CATALOGUE.fetch(account_id=account_id, livemode=livemode)
    prices: dict[str, list[tuple[str, str]]] = {}
    for row in found["prices"]:
        prices.setdefault(row["product_id"], []).append((row["id"], _price(row)))
    products = [SoldProduct(row["id"], row["name"], prices.get(row["id"], [])) for row in found["products"]]
    return Catalogue(products, [(row["id"], _coupon(row)) for row in found["coupons"]])


def product_names(account_id: str, product_ids: Collection[str]) -> dict[str, str]:
    """The names of an account's products by id, archived ones too."""
    if not product_ids:
        return {}
    query = select(Product.id, Product.name).where(Product.account_id == account_id, Product.id.in_(product_ids))
    with reading() as reader:
        return {row.id: row.name for row in reader.execute(query)}


def _price(row: dict[str, object]) -> str:
    amount, currency = row["unit_amount"], str(row["currency"])
    sum_ = filters.money(int(str(amount)), currency) if amount is not None else f"by quantity, in {currency.upper()}"
    count, interval = row["interval_count"], row["interval"]
    every = f"per {interval}" if count == 1 else f"every {count} {interval}s"
    return " ".join(filter(None, (sum_, every, f"({row['nickname']})" if row["nickname"] else "")))


def _coupon(row: dict[str, object]) -> str:
    off = (
        f"{row['percent_off']} %"
        if row["percent_off"]
        else filters.money(int(str(row["amount_off"])), str(row["currency"]))
    )
    return f"{row['name'] or row['id']}: {off} off"
