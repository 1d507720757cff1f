"""The merchant's descriptions of products, for the page on which customers choose between them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from portal_site.billing.models import Product
from portal_site.db.transactions import reading

MOST_FEATURES = 5


@dataclass(frozen=True, slots=True)
class ProductText:
    """A product's description, and its first few features."""

    description: str
    features: tuple[str, ...]


NOTHING = ProductText("", ())


def texts(account_id: str, product_ids: Collection[str]) -> Mapping[str, ProductText]:
    """The descriptions of these products by id."""
    query = select(Product.id, Product.description, Product.marketing_features).where(
        Product.account_id == account_id, Product.id.in_(sorted(product_ids))
    )
    with reading() as connection:
        rows = connection.execute(query).all()
    return {
        row.id: ProductText(
            row.description or "",
            tuple(str(one["name"]) for one in row.marketing_features if one.get("name"))[:MOST_FEATURES],
        )
        for row in rows
    }
