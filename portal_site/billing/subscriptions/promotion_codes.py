"""Promotion codes: lookup of entered codes with a limit on failed tries, and redemption within the allowed number."""

from collections.abc import Iterable

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.billing.loading.plans import Reader
from portal_site.billing.models import (
    Coupon,
    Customer,
    Discount,
    Invoice,
    PromotionCode,
    PromotionCodeTry,
    Subscription,
)
from portal_site.billing.rules.amounts import promotion_codes as rules
from portal_site.billing.rules.amounts.discounts import CouponTerms
from portal_site.billing.rules.amounts.items import ItemSpec
from portal_site.billing.rules.amounts.promotion_codes import CodeTerms, Redeemer
from portal_site.billing.subscriptions import applied_discounts
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

MOST_TRIES, TRIES_WITHIN = 10, 60 * 60  # failed tries per customer, and the seconds for which they count

_CODE = (
    PromotionCode.id,
    PromotionCode.code,
    PromotionCode.coupon_id,
    PromotionCode.active,
    PromotionCode.customer_id,
    PromotionCode.expires_at,
    PromotionCode.max_redemptions,
    PromotionCode.times_redeemed,
    PromotionCode.first_time_transaction,
    PromotionCode.minimum_amount,
    PromotionCode.minimum_amount_currency,
)
_COUPON = (
    Coupon.percent_off,
    Coupon.amount_off,
    Coupon.currency.label("coupon_currency"),
    Coupon.applies_to_products,
    Coupon.duration,
    Coupon.duration_in_months,
    Coupon.valid.label("coupon_valid"),
    Coupon.redeem_by.label("coupon_redeem_by"),
    Coupon.max_redemptions.label("coupon_max_redemptions"),
    Coupon.times_redeemed.label("coupon_times_redeemed"),
)
_COUPON_TERMS = ("percent_off", "amount_off", "coupon_currency", "applies_to_products")


def find(customer_id: str, typed: str, at: int) -> str:
    """The id of the entered code. Raises BillingError if it is unknown, or after MOST_TRIES unknown codes in an hour."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        recent = (PromotionCodeTry.customer_id == customer_id, PromotionCodeTry.created > at - TRIES_WITHIN)
        if (session.scalar(select(func.count()).where(*recent)) or 0) >= MOST_TRIES:
            raise BillingError(
                N_("Too many codes were tried. Please try again in an hour."),
                "promotion_code_invalid",
                "promotion_code",
            )
        code_id = _find_id(session, customer, typed)
        if code_id is None:
            row = PromotionCodeTry(
                id=new_id("try"), account_id=customer.account_id, customer_id=customer_id, created=at
            )
            session.add(row)
    if code_id is None:  # outside the transaction, so that the try is counted
        raise rules.unknown()
    return code_id


def find_for_customer(reader: Reader, customer: Customer, typed: str) -> str:
    """The id of a code that staff entered for this customer, who may not guess. Raises BillingError if it is unknown."""
    code_id = _find_id(reader, customer, typed)
    if code_id is None:
        raise rules.unknown()
    return code_id


def _find_id(reader: Reader, customer: Customer, typed: str) -> str | None:
    """The newest active code with this text that the customer may use, else the newest inactive one.

    The inactive one allows an error message that says why. A code of the customer's own precedes a code for everyone.
    """
    if not typed or len(typed) > rules.LONGEST or "\0" in typed:
        return None
    query = (
        select(PromotionCode.id)
        .where(
            PromotionCode.account_id == customer.account_id,
            PromotionCode.livemode == customer.livemode,
            PromotionCode.code_key == rules.normalized(typed),
            or_(PromotionCode.customer_id.is_(None), PromotionCode.customer_id == customer.id),
        )
        .order_by(PromotionCode.active.desc(), PromotionCode.customer_id.is_(None), PromotionCode.created.desc())
    )
    return reader.scalar(query.limit(1))


def display_code(customer_id: str, code_id: str) -> str:
    """The code in the merchant's spelling. Raises BillingError if it no longer exists."""
    with reading() as reader:
        account = select(Customer.account_id).where(Customer.id == customer_id)
        return load(reader, reader.execute(account).scalar_one(), code_id).code


def load(reader: Reader, account_id: str, code_id: str) -> CodeTerms:
    """The terms of a code. Raises BillingError if it no longer exists."""
    query = (
        select(*_CODE, *_COUPON)
        .join(Coupon, and_(Coupon.account_id == PromotionCode.account_id, Coupon.id == PromotionCode.coupon_id))
        .where(PromotionCode.account_id == account_id, PromotionCode.id == code_id)
    )
    row = reader.execute(query).first()
    if row is None:
        raise rules.unknown()
    members = dict(row._mapping)
    coupon = CouponTerms.of({name: members.pop(name) for name in _COUPON_TERMS})
    return CodeTerms(coupon=coupon, **members)


def load_coupon(reader: Reader, account_id: str, coupon_id: str) -> CodeTerms:
    """The terms of a coupon without a code. Raises BillingError if it no longer exists."""
    owned = Coupon.account_id == account_id, Coupon.id == coupon_id
    row = reader.execute(select(Coupon.id.label("coupon_id"), *_COUPON).where(*owned)).first()
    if row is None:
        raise rules.unknown()
    members = dict(row._mapping)
    coupon = CouponTerms.of({name: members.pop(name) for name in _COUPON_TERMS})
    return CodeTerms(id=None, code="", coupon=coupon, **members)


def redeemer(
    reader: Reader,
    customer_id: str,
    code: CodeTerms,
    currency: str,
    items: Iterable[ItemSpec],
    *,
    given_again: bool = False,
) -> Redeemer:
    """The customer who redeems the code, with the part of its history that the code's restrictions depend on.

    With `given_again` the merchant gives a coupon, to whom it pleases and as often as it pleases.
    """
    paid = select(Invoice.id).where(Invoice.customer_id == customer_id, Invoice.amount_paid > 0).limit(1)
    trials = select(Subscription.id).where(
        Subscription.customer_id == customer_id, Subscription.trial_start.is_not(None)
    )
    return Redeemer(
        customer_id=customer_id,
        currency=currency,
        items=tuple(items),
        has_bought_before=any(reader.execute(query).first() is not None for query in (paid, trials.limit(1))),
        has_redeemed=not given_again
        and (has_redeemed(reader, customer_id, code.id) if code.id else _has_had(reader, customer_id, code.coupon_id)),
    )


def has_redeemed(reader: Reader, customer_id: str, code_id: str) -> bool:
    """Whether the customer has redeemed the code before, or has a pending update with it."""
    used = Discount.customer_id == customer_id, Discount.promotion_code_id == code_id
    if reader.execute(select(Discount.id).where(*used).limit(1)).first() is not None:
        return True
    pending = Subscription.customer_id == customer_id, Subscription.pending_update.is_not(None)
    updates = reader.execute(select(Subscription.pending_update).where(*pending))
    return any(change is not None and change.promotion_code_id == code_id for (change,) in updates)


def _has_had(reader: Reader, customer_id: str, coupon_id: str) -> bool:
    """Whether the customer has or had a discount of this coupon. Without a code, a merchant gives it once to a customer."""
    given = Discount.customer_id == customer_id, Discount.coupon_id == coupon_id
    return reader.execute(select(Discount.id).where(*given).limit(1)).first() is not None


def redeem(session: Session, account_id: str, code: CodeTerms) -> None:
    """Count one redemption of the code and its coupon. Raises BillingError when either is used up."""
    for kind, row_id in ((PromotionCode, code.id), (Coupon, code.coupon_id)):
        if row_id is not None and not count_redemption(session, kind, account_id, row_id):
            raise BillingError(N_("This code is no longer available."), "promotion_code_invalid", "promotion_code")


def count_redemption(session: Session, kind: type[PromotionCode | Coupon], account_id: str, row_id: str) -> bool:
    """Count one redemption; False if none is left.

    One statement checks and counts, so that two customers cannot both get the last redemption.
    """
    owned = kind.account_id == account_id, kind.id == row_id
    is_left = or_(kind.max_redemptions.is_(None), kind.times_redeemed < kind.max_redemptions)
    counted = update(kind).where(*owned, is_left).values(times_redeemed=kind.times_redeemed + 1)
    return bool(session.execute(counted).rowcount == 1)  # type: ignore[attr-defined]


def give_back(session: Session, account_id: str, code_id: str | None, coupon_id: str) -> None:
    """Return one redemption of the code, if there is one, and of its coupon: the change that it was for was not made."""
    for kind, row_id in ((PromotionCode, code_id), (Coupon, coupon_id)):
        owned = kind.account_id == account_id, kind.id == row_id, kind.times_redeemed > 0
        session.execute(update(kind).where(*owned).values(times_redeemed=kind.times_redeemed - 1))


def return_codes(session: Session, subscription: Subscription, at: int) -> None:
    """End the discounts of a subscription that never began, and return what was redeemed for them: it can be used again."""
    mine = Discount.customer_id == subscription.customer_id, Discount.subscription_id == subscription.id
    discounts = session.scalars(select(Discount).where(*mine)).all()
    applied_discounts.end_discounts(session, subscription, [discount.id for discount in discounts], at)
    for discount in discounts:
        give_back(session, subscription.account_id, discount.promotion_code_id, discount.coupon_id)
        discount.promotion_code_id = None  # a customer has each code once
    session.flush()
