"""Products: creating, changing, archiving and listing them, and deleting one that nothing refers to."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from portal_site.billing.catalog import lists, rows
from portal_site.billing.catalog.lists import FIRST, Page, Place
from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Coupon, PortalConfiguration, Price, Product
from portal_site.billing.resources import catalog as resources
from portal_site.billing.rules.catalog import members
from portal_site.billing.translation_marks import N_
from portal_site.db.json_columns import JsonObject, json_text
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

LONGEST_NAME, LONGEST_UNIT = 250, 12
MOST_FEATURES, LONGEST_FEATURE = 15, 80


class ProductChanges(TypedDict, total=False):
    """What can be changed of a product. A text or a list that is empty is removed; see `members.metadata` for the last one."""

    name: str
    description: str | None
    unit_label: str | None
    marketing_features: Sequence[str]
    active: bool
    metadata: Mapping[str, str | None] | None


def _features(names: Sequence[str]) -> list[JsonObject]:
    param = "marketing_features"
    if len(names) > MOST_FEATURES:
        raise BillingError(N_("List at most %(most)s features."), "", param, most=MOST_FEATURES)
    return [
        {"name": members.line(name, f"{param}[{number}][name]", LONGEST_FEATURE)} for number, name in enumerate(names)
    ]


_CHECKS: rows.Checks = {
    "name": lambda value: members.line(value, "name", LONGEST_NAME),
    "description": lambda value: members.optional_text(value, "description"),
    "unit_label": lambda value: members.optional_line(value, "unit_label", LONGEST_UNIT),
    "marketing_features": _features,
    "active": bool,
    "metadata": lambda value: value,
}


def create(
    account_id: str,
    livemode: bool,
    at: int,
    *,
    name: str,
    description: str | None = None,
    unit_label: str | None = None,
    marketing_features: Sequence[str] = (),
    active: bool = True,
    metadata: Mapping[str, str | None] | None = None,
) -> Product:
    """Create a product. Raises BillingError, with `param` set, for a member that cannot be so."""
    row = Product(
        id=new_id("prod"),
        account_id=account_id,
        livemode=livemode,
        created=at,
        updated=at,
        name=members.line(name, "name", LONGEST_NAME),
        description=members.optional_text(description, "description"),
        unit_label=members.optional_line(unit_label, "unit_label", LONGEST_UNIT),
        marketing_features=_features(marketing_features),
        active=active,
        metadata_=members.metadata(metadata, {}),
    )
    with transaction() as session:
        return rows.add(session, row, "product.created", at)


def update(account_id: str, livemode: bool, product_id: str, at: int, **changes: Unpack[ProductChanges]) -> Product:
    """Change a product; `active` archives it or brings it back. Raises NotFound, and BillingError with `param` set."""
    wanted = rows.checked(changes, _CHECKS)
    with transaction() as session:
        row = rows.get(session, Product, account_id, livemode, product_id, "product", lock=True)
        return rows.change(session, row, "product.updated", wanted, at)


def delete(account_id: str, livemode: bool, product_id: str, at: int) -> None:
    """Delete a product. Raises NotFound, and BillingError for one that has prices, or that a coupon or a portal names."""
    with transaction() as session:
        row = rows.get(session, Product, account_id, livemode, product_id, "product", lock=True)
        if _is_named(session, row):
            problem = N_("This product is in use, by its prices, a coupon or the portal: archive it instead.")
            raise BillingError(problem, "", "product")
        emit(session, "product.deleted", row, at, document={**resources.product(row), "active": False})
        session.delete(row)


def _is_named(session: Session, product: Product) -> bool:
    own = rows.owned(Price, product.account_id, product.livemode)
    if session.scalar(select(Price.id).where(*own, Price.product_id == product.id).limit(1)) is not None:
        return True
    limited = Coupon.account_id == product.account_id, Coupon.applies_to_products.is_not(None)
    if any(
        product.id in (names or ()) for names in session.scalars(select(Coupon.applies_to_products).where(*limited))
    ):
        return True
    portals = select(PortalConfiguration.features).where(PortalConfiguration.account_id == product.account_id)
    return any(f'"{product.id}"' in json_text(features) for features in session.scalars(portals))


def get(account_id: str, livemode: bool, product_id: str) -> Row[Any]:
    """The row of a product. Raises NotFound."""
    return lists.one(Product, account_id, livemode, product_id, "product")


def page(account_id: str, livemode: bool, *, active: bool | None = None, text: str = "", place: Place = FIRST) -> Page:
    """A page of products, newest first: all, or those that are active or archived, or whose name or id holds a text."""
    conditions = lists.holding(text, Product.name, Product.id)
    conditions += [] if active is None else [Product.active == active]
    return lists.page(Product, account_id, livemode, conditions, place)
