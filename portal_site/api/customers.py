"""`GET /v1/customers`, one of them, and searching them."""

from collections.abc import Sequence
from typing import Any, ClassVar

from flask import Response, g
from sqlalchemy import or_
from sqlalchemy.engine import Row

from portal_site.api import answers, lists, parameters, search
from portal_site.api.parameters import Instants, ListParameters, Parameters, SearchParameters, Text
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import READ
from portal_site.billing.models import Customer, Discount
from portal_site.billing.resources import customers
from portal_site.billing.resources import lists as resources
from portal_site.billing.resources.subscriptions import discount
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading

FIELDS = {
    "created": search.number(Customer.created),
    "email": search.words(Customer.email),
    "name": search.words(Customer.name),
    "phone": search.words(Customer.phone),
}
EXPANDABLE = frozenset({"address", "invoice_settings", "shipping"})  # they are there anyway


class _List(ListParameters):
    EXPANDABLE: ClassVar[frozenset[str]] = EXPANDABLE
    created: Instants | None = None
    email: Text = None
    test_clock: Text = None


class _Search(SearchParameters):
    EXPANDABLE: ClassVar[frozenset[str]] = EXPANDABLE | {"total_count"}


class _One(Parameters):
    EXPANDABLE: ClassVar[frozenset[str]] = EXPANDABLE


@route("GET", "/customers", "customers", READ)
def list_customers() -> Response:
    """The customers, the newest first; with `email`, those that have exactly this address."""
    wanted = parameters.read(_List)
    conditions = [Customer.deleted_at.is_(None), *lists.between(Customer.created, wanted.created)]
    if wanted.email is not None:
        conditions.append(Customer.email == wanted.email)
    if wanted.test_clock is not None:
        conditions.append(Customer.test_clock_id == wanted.test_clock)
    return answers.json(lists.page(Customer, wanted, "/v1/customers", "customer", _objects, *conditions))


@route("GET", "/customers/search", "customers", READ)
def search_customers() -> Response:
    """The customers that a query finds, the newest first."""
    wanted = parameters.read(_Search)
    asked = search.conditions(wanted.query, FIELDS, Customer.metadata_, "customer")
    there = Customer.deleted_at.is_(None)
    return answers.json(lists.found(Customer, wanted, "/v1/customers/search", _objects, there, asked))


@route("GET", "/customers/<name>", "customers", READ)
def retrieve_customer(name: str) -> Response:
    """One customer; of a deleted one only that it is."""
    parameters.read(_One)
    row = lists.one(Customer, name)
    if row is None:
        raise answers.missing("customer", name, "id")
    if row.deleted_at is not None:
        return answers.json(resources.deleted("customer", row.id))
    return answers.json(_objects([row])[0])


def _objects(rows: Sequence[Row[Any]]) -> list[JsonObject]:
    """The customers with the discounts that they have themselves, of which one is in force at a time."""
    own = lists.columns_of(Discount).where(
        Discount.account_id == g.caller.account_id,
        Discount.customer_id.in_([row.id for row in rows]),
        Discount.subscription_id.is_(None),
        Discount.start <= g.now,
        or_(Discount.end.is_(None), Discount.end > g.now),
    )
    with reading() as connection:
        discounts = {row.customer_id: discount(row) for row in connection.execute(own.order_by(Discount.start))}
    return [{**customers.customer(row), "discount": discounts.get(row.id)} for row in rows]
