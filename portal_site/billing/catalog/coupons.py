"""Coupons: creating, changing, deleting and listing them. What a coupon takes off never changes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Row, and_, not_, or_, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Session

from portal_site.billing.catalog import lists, rows
from portal_site.billing.catalog.lists import FIRST, Page, Place
from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Coupon, Product, PromotionCode
from portal_site.billing.rules.catalog import discount_definitions, members
from portal_site.billing.rules.catalog.discount_definitions import CouponDefinition
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import random_letters

LONGEST_NAME = 40
LETTERS = 8  # of an id that the merchant does not choose
MOST_PRODUCTS = 500
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


class CouponChanges(TypedDict, total=False):
    """What can be changed of a coupon."""

    name: str | None
    metadata: Mapping[str, str | None] | None


_CHECKS: rows.Checks = {
    "name": lambda value: members.optional_line(value, "name", LONGEST_NAME),
    "metadata": lambda value: value,
}


def create(
    account_id: str,
    livemode: bool,
    at: int,
    definition: CouponDefinition,
    *,
    coupon_id: str | None = None,
    name: str | None = None,
    applies_to: Sequence[str] = (),
    metadata: Mapping[str, str | None] | None = None,
) -> Coupon:
    """Create a coupon, with an id that the merchant may choose. `applies_to` are the only products that it is for.

    Raises NotFound for such a product, and BillingError, with `param` set, for a member that cannot be so.
    """
    row = Coupon(
        id=_checked_id(coupon_id) if coupon_id else random_letters(LETTERS),
        account_id=account_id,
        livemode=livemode,
        created=at,
        name=members.optional_line(name, "name", LONGEST_NAME),
        applies_to_products=list(dict.fromkeys(applies_to)) or None,
        metadata_=members.metadata(metadata, {}),
        **discount_definitions.coupon_columns(definition, at),
    )
    with transaction() as session:
        rows.lock_names(session, account_id)
        taken = Coupon.account_id == account_id, Coupon.id == row.id
        if session.scalar(select(Coupon.id).where(*taken)) is not None:
            problem = N_("Choose another ID: there is or was a coupon with this one.")
            raise BillingError(problem, "resource_already_exists", "id")
        _check_products(session, row)
        return rows.add(session, row, "coupon.created", at)


def _checked_id(coupon_id: str) -> str:
    if not _ID.fullmatch(coupon_id.strip()):
        problem = N_("Use only letters without accents, digits, dashes and underscores for the ID.")
        raise BillingError(problem, "invalid_characters", "id")
    return coupon_id.strip()


def _check_products(session: Session, coupon: Coupon) -> None:
    """Raise NotFound if it is limited to a product that there is not."""
    ids, param = coupon.applies_to_products or [], "applies_to[products]"
    if len(ids) > MOST_PRODUCTS:
        raise BillingError(N_("Choose at most %(most)s products."), "", param, most=MOST_PRODUCTS)
    own = rows.owned(Product, coupon.account_id, coupon.livemode)
    wanted = [name.replace("\0", "") for name in ids]
    found = set(session.scalars(select(Product.id).where(*own, Product.id.in_(wanted)))) if ids else set()
    for name in ids:
        if name not in found:
            raise rows.missing(Product, name, param)


def update(account_id: str, livemode: bool, coupon_id: str, at: int, **changes: Unpack[CouponChanges]) -> Coupon:
    """Change a coupon's name or metadata. Raises NotFound, and BillingError with `param` set."""
    wanted = rows.checked(changes, _CHECKS)
    with transaction() as session:
        row = rows.get(session, Coupon, account_id, livemode, coupon_id, "coupon", lock=True)
        return rows.change(session, row, "coupon.updated", wanted, at)


def delete(account_id: str, livemode: bool, coupon_id: str, at: int) -> None:
    """Delete a coupon: neither it nor its codes can be redeemed any more. Discounts that it has given go on. Raises NotFound."""
    with transaction() as session:
        rows.lock_names(session, account_id)
        row = rows.get(session, Coupon, account_id, livemode, coupon_id, "coupon", lock=True)
        row.valid, row.deleted_at = False, at
        own = PromotionCode.account_id == account_id, PromotionCode.coupon_id == row.id, PromotionCode.active
        # There may be very many codes: each stays as it is for events, which tell of the coupon alone.
        ended = sql_update(PromotionCode).where(*own).values(active=False)
        session.execute(ended, execution_options={"synchronize_session": False})
        session.flush()
        emit(session, "coupon.deleted", row, at)


def get(account_id: str, livemode: bool, coupon_id: str) -> Row[Any]:
    """The row of a coupon that is not deleted. Raises NotFound."""
    return lists.one(Coupon, account_id, livemode, coupon_id, "coupon")


def redeemable(at: int) -> ColumnElement[bool]:
    """The condition for coupons that can still be redeemed."""
    in_time = or_(Coupon.redeem_by.is_(None), Coupon.redeem_by > at)
    some_left = or_(Coupon.max_redemptions.is_(None), Coupon.times_redeemed < Coupon.max_redemptions)
    return and_(Coupon.valid, in_time, some_left)


def page(
    account_id: str, livemode: bool, at: int, *, active: bool | None = None, text: str = "", place: Place = FIRST
) -> Page:
    """A page of coupons, newest first: all, or those that can still be redeemed or cannot, or whose name or id holds a text."""
    conditions = lists.holding(text, Coupon.name, Coupon.id)
    conditions += [] if active is None else [redeemable(at) if active else not_(redeemable(at))]
    return lists.page(Coupon, account_id, livemode, conditions, place)
