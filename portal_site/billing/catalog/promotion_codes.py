"""Promotion codes of a merchant: creating, changing, archiving and listing them. Customers redeem them elsewhere."""

import secrets
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Row, and_, exists, not_, or_, select
from sqlalchemy.orm import Session

from portal_site.billing.catalog import coupons, lists, rows
from portal_site.billing.catalog.lists import FIRST, Page, Place
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import Coupon, Customer, PromotionCode
from portal_site.billing.rules.amounts import promotion_codes as code_rules
from portal_site.billing.rules.catalog import discount_definitions, members
from portal_site.billing.rules.catalog.discount_definitions import CodeRestrictions
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without those that are taken for each other
LENGTH = 8  # of a code that the merchant does not choose: 40 bits
TRIES = 5
UNRESTRICTED = CodeRestrictions()


class PromotionCodeChanges(TypedDict, total=False):
    """What can be changed of a promotion code. One that has ended, or is used up, cannot become active again."""

    active: bool
    metadata: Mapping[str, str | None] | None


_CHECKS: rows.Checks = {"active": bool, "metadata": lambda value: value}


def create(
    account_id: str,
    livemode: bool,
    at: int,
    coupon_id: str,
    *,
    code: str = "",
    restrictions: CodeRestrictions = UNRESTRICTED,
    active: bool = True,
    metadata: Mapping[str, str | None] | None = None,
) -> PromotionCode:
    """Create a code for a coupon; without a text it gets a random one. No other active code of the account has the same.

    Raises NotFound for the coupon and the customer, and BillingError, with `param` set, for what cannot be so.
    """
    typed = discount_definitions.check_code(code) if code.strip() else ""
    merged = members.metadata(metadata, {})
    with transaction() as session:
        rows.lock_names(session, account_id)
        coupon = rows.get(session, Coupon, account_id, livemode, coupon_id, "coupon")
        _check_coupon(session, coupon, at)
        limits = discount_definitions.code_columns(restrictions, coupon.redeem_by, coupon.max_redemptions, at)
        if restrictions.customer_id is not None:
            _check_customer(session, account_id, livemode, restrictions.customer_id)
        text = typed or _unused(session, account_id, livemode, at)
        row = PromotionCode(
            id=new_id("promo"),
            account_id=account_id,
            livemode=livemode,
            created=at,
            coupon_id=coupon.id,
            code=text,
            code_key=code_rules.normalized(text),
            active=active,
            metadata_=merged,
            **limits,
        )
        if active:
            _check_unique(session, row, at)
        return rows.add(session, row, "promotion_code.created", at)


def _check_coupon(session: Session, coupon: Coupon, at: int) -> None:
    own = Coupon.account_id == coupon.account_id, Coupon.id == coupon.id
    if session.scalar(select(Coupon.id).where(*own, coupons.redeemable(at))) is None:
        problem = N_("This coupon can no longer be redeemed. Choose or create another one.")
        raise BillingError(problem, "coupon_expired", "coupon")


def _check_customer(session: Session, account_id: str, livemode: bool, customer_id: str) -> None:
    own = Customer.account_id == account_id, Customer.livemode == livemode, Customer.deleted_at.is_(None)
    if session.scalar(select(Customer.id).where(*own, Customer.id == customer_id.replace("\0", ""))) is None:
        raise NotFound(N_("No such customer: '%(id)s'"), "resource_missing", "customer", id=customer_id)


def _unused(session: Session, account_id: str, livemode: bool, at: int) -> str:
    """A random code that no active one is like."""
    for _ in range(TRIES):
        code = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        if _holder(session, account_id, livemode, code, at) is None:
            return code
    raise RuntimeError("all random codes are taken")  # five times in a row, of 2**40 codes


def _holder(session: Session, account_id: str, livemode: bool, code: str, at: int) -> str | None:
    """The id of the active code with this text, in whatever case."""
    like_it = PromotionCode.account_id == account_id, PromotionCode.code_key == code_rules.normalized(code)
    active = PromotionCode.livemode == livemode, _redeemable(account_id, at)
    return session.scalar(select(PromotionCode.id).where(*like_it, *active).limit(1))


def _check_unique(session: Session, row: PromotionCode, at: int) -> None:
    holder = _holder(session, row.account_id, row.livemode, row.code, at)
    if holder is not None:
        problem = N_("Choose another code: there is an active one like this already.")
        raise BillingError(problem, "resource_already_exists", "code")


def update(
    account_id: str, livemode: bool, code_id: str, at: int, **changes: Unpack[PromotionCodeChanges]
) -> PromotionCode:
    """Change a code; `active` archives it or brings it back. Raises NotFound, and BillingError with `param` set."""
    wanted = rows.checked(changes, _CHECKS)
    with transaction() as session:
        if wanted.get("active"):
            rows.lock_names(session, account_id)
        row = rows.get(session, PromotionCode, account_id, livemode, code_id, "promotion_code", lock=True)
        if wanted.get("active") and not row.active:
            _check_usable(session, row, at)
            _check_unique(session, row, at)
        return rows.change(session, row, "promotion_code.updated", wanted, at)


def _check_usable(session: Session, row: PromotionCode, at: int) -> None:
    """Raise BillingError if the code could not be redeemed even if it were active."""
    own = PromotionCode.account_id == row.account_id, PromotionCode.id == row.id
    if session.scalar(select(PromotionCode.id).where(*own, _open(row.account_id, at))) is None:
        problem = N_("This code or its coupon has ended or is used up. Create another code.")
        raise BillingError(problem, "promotion_code_invalid", "active")


def _open(account_id: str, at: int) -> ColumnElement[bool]:
    """The condition for codes that can be redeemed while they are active."""
    in_time = or_(PromotionCode.expires_at.is_(None), PromotionCode.expires_at > at)
    most, times = PromotionCode.max_redemptions, PromotionCode.times_redeemed
    coupon = exists().where(
        Coupon.account_id == account_id, Coupon.id == PromotionCode.coupon_id, coupons.redeemable(at)
    )
    return and_(in_time, or_(most.is_(None), times < most), coupon)


def _redeemable(account_id: str, at: int) -> ColumnElement[bool]:
    return and_(PromotionCode.active, _open(account_id, at))


def get(account_id: str, livemode: bool, code_id: str) -> Row[Any]:
    """The row of a code. Raises NotFound."""
    return lists.one(PromotionCode, account_id, livemode, code_id, "promotion_code")


def page(
    account_id: str,
    livemode: bool,
    at: int,
    *,
    coupon_id: str | None = None,
    customer_id: str | None = None,
    active: bool | None = None,
    code: str = "",
    text: str = "",
    place: Place = FIRST,
) -> Page:
    """A page of codes, newest first: all, or those of a coupon or a customer, those that can still be redeemed or cannot, those
    with a certain text, in whatever case, or whose text or id holds another."""
    conditions = lists.holding(text, PromotionCode.code, PromotionCode.id)
    conditions += [] if coupon_id is None else [PromotionCode.coupon_id == coupon_id.replace("\0", "")]
    conditions += [] if customer_id is None else [PromotionCode.customer_id == customer_id.replace("\0", "")]
    conditions += [PromotionCode.code_key == code_rules.normalized(code).replace("\0", "")] if code else []
    if active is not None:
        condition = _redeemable(account_id, at)
        conditions.append(condition if active else not_(condition))
    return lists.page(PromotionCode, account_id, livemode, conditions, place)
