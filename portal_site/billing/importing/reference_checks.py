"""Checks the references of imported rows: the target must exist, in the same mode and for the same customer."""

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

WORLDS = ("the other mode", "another customer")  # the words for the two values of `_world`
# For each model: (column, name of the target for messages, target model).
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
    """The references of a row as (name for messages, target model, target id)."""
    if isinstance(row, PortalConfiguration):
        changes = portal_features.read(row.features).subscription_update
        for offered in (*changes.products, *changes.add_ons):
            yield "product", Product, offered["product"]
            yield from (("price", Price, price_id) for price_id in offered["prices"])
    for column, word, target in REFERENCES.get(type(row), ()):
        target_id = getattr(row, column)
        if target_id is not None:
            yield word, target, target_id


def check(session: Session, new_rows: list[Base], account_id: str) -> None:
    """Raise ImportRefused for a reference to an object that is neither in the file nor in the account.

    A reference to an object of the other mode or of another customer is refused as well.
    """
    worlds = {(type(row), row.id): _world(row) for row in new_rows}
    for row in new_rows:
        for word, target, target_id in _references(row):
            if (target, target_id) not in worlds:
                stored = session.scalar(select(target).where(target.id == target_id, _of_account(target, account_id)))
                if stored is None:
                    raise ImportRefused(
                        f"{name(row)} refers to {word} {target_id}, which is neither in the file nor here."
                    )
                worlds[target, target_id] = _world(stored)
            for own, other, whose in zip(_world(row), worlds[target, target_id], WORLDS, strict=True):
                if None not in (own, other) and own != other:
                    raise ImportRefused(f"{name(row)} refers to {word} {target_id} of {whose}.")


def _world(row: Base) -> tuple[bool | None, str | None]:
    """The mode (`livemode`) and the customer id of a row; None where the model has none."""
    customer_id = row.id if isinstance(row, Customer) else getattr(row, "customer_id", None)
    return getattr(row, "livemode", None), customer_id


def _of_account(target: Any, account_id: str) -> ColumnElement[bool]:
    owned: ColumnElement[bool] = (target.platform_id if target is Account else target.account_id) == account_id
    return owned


def name(row: Base) -> str:
    """A row's name for messages: `customer cus_…`."""
    kind = row.__tablename__.removesuffix("s").replace("_", " ")
    return f"{kind} {row.id}"
