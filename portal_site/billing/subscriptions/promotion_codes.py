"""Finding promotion codes that customers type, counting the tries, and redeeming a code exactly as often as it may be."""

from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.billing.loading import ownership
from portal_site.billing.loading.snapshots import Reader
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
from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.amounts.promotion_codes import CodeTerms, Redeemer
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

MOST_TRIES, TRIES_WITHIN = 10, 60 * 60

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


def find(customer_id: str, typed: str, at: int) -> str:
    """The id of the code that was typed. Raises BillingError for none of ours, and when too many were none of ours."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        recent = (PromotionCodeTry.customer_id == customer_id, PromotionCodeTry.created > at - TRIES_WITHIN)
        if (session.scalar(select(func.count()).where(*recent)) or 0) >= MOST_TRIES:
            raise BillingError(
                N_("Too many codes were tried. Please try again in an hour."),
                "promotion_code_invalid",
                "promotion_code",
            )
        found = _typed(session, customer, typed)
        if found is None:
            row = PromotionCodeTry(
                id=new_id("try"), account_id=customer.account_id, customer_id=customer_id, created=at
            )
            session.add(row)
    if found is None:
        raise rules.unknown()
    return found


def _typed(session: Session, customer: Customer, typed: str) -> str | None:
    """The newest active code so written that this customer may know of, else the newest inactive one, to say why not."""
    if not typed or len(typed) > rules.LONGEST:
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
    return session.scalar(query.limit(1))


def display_code(customer_id: str, code_id: str) -> str:
    """A code as the merchant wrote it."""
    with reading() as reader:
        account = select(Customer.account_id).where(Customer.id == customer_id)
        return load(reader, reader.execute(account).scalar_one(), code_id).code


def load(reader: Reader, account_id: str, code_id: str) -> CodeTerms:
    """A code's terms. Raises BillingError when it is gone."""
    query = (
        select(*_CODE, *_COUPON)
        .join(Coupon, and_(Coupon.account_id == PromotionCode.account_id, Coupon.id == PromotionCode.coupon_id))
        .where(PromotionCode.account_id == account_id, PromotionCode.id == code_id)
    )
    row = reader.execute(query).first()
    if row is None:
        raise rules.unknown()
    named: dict[str, Any] = dict(row._mapping)
    coupon = CouponTerms.of({name: named.pop(name) for name in ("percent_off", "amount_off", "applies_to_products", "coupon_currency")})  # fmt: skip # noqa: E501
    return CodeTerms(coupon=coupon, **named)


def redeemer(reader: Reader, customer_id: str, code: CodeTerms, currency: str, items: tuple[Item, ...]) -> Redeemer:
    """Who wants to redeem it, with what of the past counts."""
    paid = select(Invoice.id).where(Invoice.customer_id == customer_id, Invoice.amount_paid > 0).limit(1)
    trials = select(Subscription.id).where(
        Subscription.customer_id == customer_id, Subscription.trial_start.is_not(None)
    )
    return Redeemer(
        customer_id=customer_id,
        currency=currency,
        items=items,
        has_bought_before=any(reader.execute(query).first() is not None for query in (paid, trials.limit(1))),
        has_redeemed=has_redeemed(reader, customer_id, code.id),
    )


def has_redeemed(reader: Reader, customer_id: str, code_id: str) -> bool:
    """Whether the customer used the code before, or has a change with it that waits for its payment."""
    used = Discount.customer_id == customer_id, Discount.promotion_code_id == code_id
    if reader.execute(select(Discount.id).where(*used).limit(1)).first() is not None:
        return True
    mine = Subscription.customer_id == customer_id, Subscription.pending_update.is_not(None)
    waiting = reader.execute(select(Subscription.pending_update).where(*mine))
    return any(((change or {}).get("discount") or {}).get("promotion_code_id") == code_id for (change,) in waiting)


def redeem(session: Session, account_id: str, code: CodeTerms) -> None:
    """Count one redemption of the code and its coupon. Raises BillingError when either is used up."""
    for kind, row_id in ((PromotionCode, code.id), (Coupon, code.coupon_id)):
        if not count_redemption(session, kind, account_id, row_id):
            raise BillingError(N_("This code is no longer available."), "promotion_code_invalid", "promotion_code")


def count_redemption(session: Session, kind: type[PromotionCode | Coupon], account_id: str, row_id: str) -> bool:
    """Whether one more was left. It is checked where it is counted, so that no two customers get the last one."""
    mine = kind.account_id == account_id, kind.id == row_id
    left = or_(kind.max_redemptions.is_(None), kind.times_redeemed < kind.max_redemptions)
    counted = update(kind).where(*mine, left).values(times_redeemed=kind.times_redeemed + 1)
    return bool(session.execute(counted).rowcount == 1)  # type: ignore[attr-defined]


def give_back(session: Session, account_id: str, code_id: str, coupon_id: str) -> None:
    """Count one redemption less: the change that it was for never came to be."""
    for kind, row_id in ((PromotionCode, code_id), (Coupon, coupon_id)):
        mine = kind.account_id == account_id, kind.id == row_id, kind.times_redeemed > 0
        session.execute(update(kind).where(*mine).values(times_redeemed=kind.times_redeemed - 1))
