"""`GET /v1/customers`, one of them, and searching them."""

from functools import partial
from typing import ClassVar

from flask import Response

from portal_site.api import answers, lists, parameters
from portal_site.api.expansion import objects
from portal_site.api.parameters import Instants, ListParameters, Parameters, SearchParameters, Text
from portal_site.api.routes import route
from portal_site.api.search import clauses, language, pages
from portal_site.api.search.clauses import Resource
from portal_site.billing.api_access.api_keys import READ
from portal_site.billing.models import Customer, CustomerTerm

KIND = "customer"
SEARCHED = Resource(
    KIND, Customer, CustomerTerm, CustomerTerm.customer_id,
    {
        "created": clauses.created,
        "email": clauses.whole(Customer.email),
        "name": clauses.words("name", Customer.name),
        "phone": clauses.words("phone", Customer.phone),
    },
)  # fmt: skip


class _List(ListParameters):
    KIND: ClassVar[str] = KIND
    created: Instants | None = None
    email: Text = None
    test_clock: Text = None


class _Search(SearchParameters):
    KIND: ClassVar[str] = KIND


class _One(Parameters):
    KIND: ClassVar[str] = KIND


@route("GET", "/customers", "customers", READ)
def list_customers() -> Response:
    """The customers, the newest first; with `email`, those that have exactly this address."""
    wanted = parameters.read(_List)
    conditions = [Customer.deleted_at.is_(None), *lists.between(Customer.created, wanted.created)]
    if wanted.email is not None:
        conditions.append(Customer.email == wanted.email)
    if wanted.test_clock is not None:
        conditions.append(Customer.test_clock_id == wanted.test_clock)
    make = partial(objects.of, KIND, wanted.expanded)
    return answers.json(lists.page(Customer, wanted, "/v1/customers", KIND, make, *conditions))


@route("GET", "/customers/search", "customers", READ)
def search_customers() -> Response:
    """The customers that a query finds, the newest first."""
    wanted = parameters.read(_Search)
    plan = clauses.plan(language.parse(wanted.query), SEARCHED)
    make = partial(objects.of, KIND, wanted.expanded)
    there = Customer.deleted_at.is_(None)
    return answers.json(pages.found(SEARCHED, plan, wanted, "/v1/customers/search", make, there))


@route("GET", "/customers/<name>", "customers", READ)
def retrieve_customer(name: str) -> Response:
    """One customer; of a deleted one only that it is."""
    wanted = parameters.read(_One)
    row = lists.one(Customer, name)
    if row is None:
        raise answers.missing(KIND, name, "id")
    return answers.json(objects.of(KIND, wanted.expanded, [row])[0])
