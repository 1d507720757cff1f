"""What the rows of an import refer to, and whether it is there: in the file or here, the same owner's and in the same mode."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import ImportRefused
from portal_site.billing.models import (
    Account,
    Coupon,
    Customer,
    Discount,
    Invoice,
    PaymentMethod,
    PortalConfiguration,
    Price,
    Product,
    PromotionCode,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    TaxId,
)
from portal_site.billing.rules.portal import portal_features
from portal_site.db import Base

WORLDS = ("the other mode", "another customer")
# Which column of which row refers to what.
REFERENCES: dict[type[Base], tuple[tuple[str, str, type[Base]], ...]] = {
    Price: (("product_id", "product", Product),),
    PromotionCode: (("coupon_id", "coupon", Coupon), ("customer_id", "customer", Customer)),
    Customer: (("default_payment_method_id", "payment method", PaymentMethod),),
    TaxId: (("customer_id", "customer", Customer),),
    PaymentMethod: (("customer_id", "customer", Customer),),
    Subscription: (
        ("customer_id", "customer", Customer),
        ("default_payment_method_id", "payment method", PaymentMethod),
        ("latest_invoice_id", "invoice", Invoice),
        ("on_behalf_of", "connected account", Account),
    ),
    SubscriptionItem: (("price_id", "price", Price),),
    SubscriptionSchedule: (("customer_id", "customer", Customer), ("subscription_id", "subscription", Subscription)),
    SchedulePhaseItem: (("price_id", "price", Price),),
    Discount: (("coupon_id", "coupon", Coupon),),
    Invoice: (
        ("customer_id", "customer", Customer),
        ("subscription_id", "subscription", Subscription),
        ("on_behalf_of", "connected account", Account),
    ),
}


def _references(row: Base) -> Iterator[tuple[str, Any, str]]:
    """What a row refers to, as (the word for it, its kind, its id)."""
    if isinstance(row, PortalConfiguration):
        for offered in portal_features.read(row.features).subscription_update.products:
            yield "product", Product, offered["product"]
            yield from (("price", Price, price_id) for price_id in offered["prices"])
    for column, word, target in REFERENCES.get(type(row), ()):
        wanted = getattr(row, column)
        if wanted is not None:
            yield word, target, wanted


def check(session: Session, fresh: list[Base], account_id: str) -> None:
    """Raise ImportRefused for a row that refers to what is neither in the file nor in the account, or is somebody else's."""
    known = {(type(row), row.id): _world(row) for row in fresh}
    for row in fresh:
        for word, target, wanted in _references(row):
            if (target, wanted) not in known:
                found = session.scalar(select(target).where(target.id == wanted, _of_account(target, account_id)))
                if found is None:
                    raise ImportRefused(
                        f"{name(row)} refers to {word} {wanted}, which is neither in the file nor here."
                    )
                known[target, wanted] = _world(found)
            for ours, theirs, whose in zip(_world(row), known[target, wanted], WORLDS, strict=True):
                if None not in (ours, theirs) and ours != theirs:
                    raise ImportRefused(f"{name(row)} refers to {word} {wanted} of {whose}.")


def _world(row: Base) -> tuple[bool | None, str | None]:
    """The mode and the customer that a row belongs to, where it belongs to one."""
    customer_id = row.id if isinstance(row, Customer) else getattr(row, "customer_id", None)
    return getattr(row, "livemode", None), customer_id


def _of_account(target: Any, account_id: str) -> ColumnElement[bool]:
    owned: ColumnElement[bool] = (target.platform_id if target is Account else target.account_id) == account_id
    return owned


def name(row: Base) -> str:
    """A row as a sentence names it: `customer cus_…`."""
    kind = row.__tablename__.removesuffix("s").replace("_", " ")
    return f"{kind} {row.id}"
