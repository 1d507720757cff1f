"""Prices: creating, changing, archiving and listing them. What a price costs never changes, and no price is deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from portal_site.billing.catalog import lists, rows
from portal_site.billing.catalog.lists import FIRST, Page, Place
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Price, Product
from portal_site.billing.rules.catalog import members, price_definitions
from portal_site.billing.rules.catalog.price_definitions import TAX_BEHAVIORS, PriceDefinition
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

LONGEST_KEY = 200


class PriceChanges(TypedDict, total=False):
    """What can be changed of a price. `tax_behavior` can be chosen once, while it is unspecified."""

    nickname: str | None
    lookup_key: str | None
    tax_behavior: str
    active: bool
    metadata: Mapping[str, str | None] | None


_CHECKS: rows.Checks = {
    "nickname": lambda value: members.optional_line(value, "nickname"),
    "lookup_key": lambda value: members.optional_line(value, "lookup_key", LONGEST_KEY),
    "tax_behavior": lambda value: members.choice(value, "tax_behavior", TAX_BEHAVIORS),
    "active": bool,
    "metadata": lambda value: value,
}


def create(
    account_id: str,
    livemode: bool,
    at: int,
    product_id: str,
    definition: PriceDefinition,
    *,
    nickname: str | None = None,
    lookup_key: str | None = None,
    transfer_lookup_key: bool = False,
    active: bool = True,
    metadata: Mapping[str, str | None] | None = None,
) -> Price:
    """Create a price of a product. With `transfer_lookup_key`, the price that has this lookup key loses it.

    Raises NotFound, and BillingError, with `param` set, for a member that cannot be so.
    """
    row = Price(
        id=new_id("price"),
        account_id=account_id,
        livemode=livemode,
        created=at,
        product_id=product_id,
        nickname=members.optional_line(nickname, "nickname"),
        lookup_key=members.optional_line(lookup_key, "lookup_key", LONGEST_KEY),
        active=active,
        metadata_=members.metadata(metadata, {}),
        **price_definitions.columns(definition),
    )
    with transaction() as session:
        if row.lookup_key is not None:
            _take_lookup_key(session, row, row.lookup_key, at, transfer=transfer_lookup_key)
        rows.get(session, Product, account_id, livemode, product_id, "product", lock=True)
        return rows.add(session, row, "price.created", at)


def update(
    account_id: str,
    livemode: bool,
    price_id: str,
    at: int,
    *,
    transfer_lookup_key: bool = False,
    **changes: Unpack[PriceChanges],
) -> Price:
    """Change a price; `active` archives it or brings it back. Raises NotFound, and BillingError with `param` set.

    Subscriptions that have an archived price keep it.
    """
    wanted = rows.checked(changes, _CHECKS)
    with transaction() as session:
        row = rows.get(session, Price, account_id, livemode, price_id, "price", lock=True)
        if row.tax_behavior not in ("unspecified", wanted.get("tax_behavior", row.tax_behavior)):
            problem = N_("Create another price: whether this one includes tax is settled.")
            raise BillingError(problem, "", "tax_behavior")
        if wanted.get("lookup_key") is not None:
            _take_lookup_key(session, row, wanted["lookup_key"], at, transfer=transfer_lookup_key)
        return rows.change(session, row, "price.updated", wanted, at)


def _take_lookup_key(session: Session, price: Price, key: str, at: int, *, transfer: bool) -> None:
    """Make sure that no other price has this lookup key. Raises BillingError if it is not to be transferred."""
    rows.lock_names(session, price.account_id)
    holding = select(Price).where(
        *rows.owned(Price, price.account_id, price.livemode), Price.lookup_key == key, Price.id != price.id
    )
    for holder in session.scalars(holding.with_for_update(key_share=True)).all():
        if not transfer:
            problem = N_("Choose another lookup key, or transfer this one: the price %(id)s has it.")
            raise BillingError(problem, "resource_already_exists", "lookup_key", id=holder.id)
        rows.change(session, holder, "price.updated", {"lookup_key": None}, at)


def get(account_id: str, livemode: bool, price_id: str) -> Row[Any]:
    """The row of a price. Raises NotFound."""
    return lists.one(Price, account_id, livemode, price_id, "price")


def page(
    account_id: str,
    livemode: bool,
    *,
    product_id: str | None = None,
    active: bool | None = None,
    lookup_keys: Sequence[str] = (),
    text: str = "",
    place: Place = FIRST,
) -> Page:
    """A page of prices, newest first: all, or those of a product, those that are active or archived, those with one of some
    lookup keys, or those whose nickname, lookup key or id holds a text."""
    conditions = lists.holding(text, Price.nickname, Price.lookup_key, Price.id)
    conditions += [] if product_id is None else [Price.product_id == product_id.replace("\0", "")]
    conditions += [] if active is None else [Price.active == active]
    keys = [key.replace("\0", "") for key in lookup_keys]
    # Of one key SQLite knows that its index is in the order of the list; for several it goes through the list.
    conditions += [] if not keys else [Price.lookup_key == keys[0] if len(keys) == 1 else Price.lookup_key.in_(keys)]
    return lists.page(Price, account_id, livemode, conditions, place)
