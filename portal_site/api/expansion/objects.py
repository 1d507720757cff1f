"""Rows as the API's objects, with what is to be expanded in them: one select for each member, whatever the number of rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import g
from sqlalchemy import ColumnElement, func, or_, select

from portal_site.api import lists
from portal_site.api.expansion.members import OF_KIND, Contents, Members, Reference
from portal_site.api.expansion.paths import Tree
from portal_site.billing.models import (
    CheckoutSession,
    Coupon,
    Customer,
    Discount,
    IntentCharge,
    IntentRefund,
    Invoice,
    PaymentIntent,
    PaymentMethod,
    PortalConfiguration,
    Price,
    PromotionCode,
    SetupIntent,
    Subscription,
    SubscriptionItem,
    TaxId,
    TestClock,
    UnattachedMethod,
)
from portal_site.billing.resources import (
    catalog,
    customers,
    intents,
    invoices,
    payments,
    portal,
    subscriptions,
    test_clocks,
)
from portal_site.billing.resources import lists as resources
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading
from portal_site.web import addresses

MOST = 10  # objects that a list inside an object shows
Objects = list[JsonObject]
Make = Callable[[Sequence[Any], Tree], Objects]
ENDED = (SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED)


def of(kind: str, tree: Tree, rows: Sequence[Any]) -> Objects:
    """The rows as objects of this kind, in their order."""
    objects = _KINDS[kind].make(rows, tree) if rows else []
    expand(kind, tree, objects)
    return objects


def expand(kind: str, tree: Tree, objects: Objects) -> None:
    """Expand members of objects of this kind that are there already."""
    _expand([one for one in objects if "deleted" not in one], OF_KIND[kind], tree)


def _expand(parents: Objects, members: Members, tree: Tree) -> None:
    for name, inner in tree.items():
        member = members[name]
        if isinstance(member, Reference):
            _replace(parents, name, member.kind, inner)
        elif isinstance(member, Contents):
            _add_list(parents, name, member.kind, inner.get("data", {}))
        else:
            _expand([parent[name] for parent in parents if isinstance(parent.get(name), dict)], member, inner)


def _replace(parents: Objects, name: str, kind: str, tree: Tree) -> None:
    """Put objects in the place of their ids. The id of a row that is no more stays as it is."""
    ids = {parent[name] for parent in parents if parent.get(name)}
    if not ids:
        return
    model: Any = _KINDS[kind].model
    with reading() as connection:
        rows = list(connection.execute(lists.rows_of(model).where(model.id.in_(sorted(ids)))))
        if model is PaymentMethod and len(rows) < len(ids):  # those that are no customer's
            other = lists.rows_of(UnattachedMethod).where(UnattachedMethod.id.in_(sorted(ids)))
            rows += connection.execute(other)
    found = {row.id: one for row, one in zip(rows, of(kind, tree, rows), strict=True)}
    for parent in parents:
        parent[name] = found.get(parent[name], parent[name])


def _add_list(parents: Objects, name: str, kind: str, tree: Tree) -> None:
    """Add the member that lists what belongs to each customer, the newest first."""
    model: Any = _KINDS[kind].model
    conditions = [Subscription.status.not_in(ENDED)] if model is Subscription else []
    rows = _first(model, model.customer_id, [parent["id"] for parent in parents], *conditions)
    shown = [row for row in rows if row.place <= MOST]
    made: dict[str, Objects] = {}
    for row, one in zip(shown, of(kind, tree, shown), strict=True):
        made.setdefault(row.customer_id, []).append(one)
    more = {row.customer_id for row in rows if row.place > MOST}
    for parent in parents:
        url = f"/v1/customers/{parent['id']}/{name}"
        parent[name] = resources.page(url, made.get(parent["id"], []), parent["id"] in more)


def _first(
    model: Any, parent: Any, ids: Sequence[str], *conditions: ColumnElement[bool], oldest_first: bool = False
) -> Sequence[Any]:
    """The first rows of each parent, one more than a list shows, with their `place` in it."""
    order = (model.created, model.id) if oldest_first else (model.created.desc(), model.id.desc())
    place = func.row_number().over(partition_by=parent, order_by=order).label("place")
    numbered = lists.rows_of(model).where(parent.in_(ids), *conditions).add_columns(place).subquery()
    with reading() as connection:
        return connection.execute(select(numbered).where(numbered.c.place <= MOST + 1).order_by(numbered.c.place)).all()


# --- the kinds ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """A table, and how its rows become objects."""

    model: type
    make: Make


def _each(make: Callable[[Any], JsonObject]) -> Make:
    return lambda rows, _tree: [make(row) for row in rows]


def _customers(rows: Sequence[Any], _tree: Tree) -> Objects:
    """With the discounts that they have themselves, of which one is in force at a time; of a deleted one only that it is."""
    own = lists.rows_of(Discount).where(
        Discount.customer_id.in_([row.id for row in rows]),
        Discount.subscription_id.is_(None),
        Discount.start <= g.now,
        or_(Discount.end.is_(None), Discount.end > g.now),
    )
    with reading() as connection:
        found = connection.execute(own.order_by(Discount.start)).all()
    discounts = {row.customer_id: subscriptions.discount(row) for row in found}
    return [
        {**customers.customer(row), "discount": discounts.get(row.id)}
        if row.deleted_at is None
        else resources.deleted("customer", row.id)
        for row in rows
    ]


def _subscriptions(rows: Sequence[Any], _tree: Tree) -> Objects:
    """With their items, which have whole prices."""
    items = _first(SubscriptionItem, SubscriptionItem.subscription_id, [row.id for row in rows], oldest_first=True)
    priced = lists.rows_of(Price).where(Price.id.in_(sorted({item.price_id for item in items})))
    with reading() as connection:
        prices = {row.id: catalog.price(row) for row in connection.execute(priced)}
    made: dict[str, Objects] = {row.id: [] for row in rows}
    for item in items:
        one = {**subscriptions.subscription_item(item), "price": prices.get(item.price_id, item.price_id)}
        made[item.subscription_id].append(one)
    objects = []
    for row in rows:
        url = f"/v1/subscription_items?subscription={row.id}"
        listed = resources.page(url, made[row.id][:MOST], len(made[row.id]) > MOST)
        objects.append({**subscriptions.subscription(row), "items": listed})
    return objects


def _configurations(rows: Sequence[Any], tree: Tree) -> Objects:
    """With the URL of the login page, if that is open; with the products, if they are asked for."""
    with_products = "products" in tree.get("features", {}).get("subscription_update", {})
    objects = []
    for row in rows:
        page_id = row.login_page_id if row.login_page_enabled else None
        url = addresses.of(row.account_id, "logins.show_login", login_page_id=page_id) if page_id else None
        objects.append(portal.configuration(row, with_products=with_products, login_url=url))
    return objects


def _checkout_sessions(rows: Sequence[Any], _tree: Tree) -> Objects:
    """With what is known of the customers of those that are complete."""
    done = {row.customer_id for row in rows if row.status == "complete"}
    with reading() as connection:
        found = connection.execute(lists.rows_of(Customer).where(Customer.id.in_(sorted(done)))) if done else ()
        known = {row.id: customers.details(row) for row in found}
    return [
        {
            **intents.checkout_session(row),
            "customer_details": known.get(row.customer_id) if row.status == "complete" else None,
        }
        for row in rows
    ]


_KINDS: Mapping[str, _Kind] = {
    "charge": _Kind(IntentCharge, _each(intents.charge)),
    "checkout_session": _Kind(CheckoutSession, _checkout_sessions),
    "configuration": _Kind(PortalConfiguration, _configurations),
    "coupon": _Kind(Coupon, _each(catalog.coupon)),
    "customer": _Kind(Customer, _customers),
    "invoice": _Kind(Invoice, _each(invoices.invoice)),
    "payment_method": _Kind(PaymentMethod, _each(payments.payment_method)),
    "payment_intent": _Kind(PaymentIntent, _each(intents.payment_intent)),
    "promotion_code": _Kind(PromotionCode, _each(catalog.promotion_code)),
    "refund": _Kind(IntentRefund, _each(intents.refund)),
    "setup_intent": _Kind(SetupIntent, _each(intents.setup_intent)),
    "subscription": _Kind(Subscription, _subscriptions),
    "tax_id": _Kind(TaxId, _each(customers.tax_id)),
    "test_clock": _Kind(TestClock, _each(test_clocks.test_clock)),
}
