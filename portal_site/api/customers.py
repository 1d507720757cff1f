"""`/v1/customers`: making, changing and deleting them, their list, one of them, and searching them."""

from functools import partial
from typing import Annotated, Any, ClassVar

from flask import Response, g

from portal_site.api import answers, fields, lists, parameters
from portal_site.api.expansion import objects
from portal_site.api.fields import UNSET, Address, Metadata, Shipping
from portal_site.api.parameters import (
    Hash,
    Instants,
    ListParameters,
    Parameters,
    SearchParameters,
    Text,
    Texts,
    Whole,
)
from portal_site.api.payments import routes as payments
from portal_site.api.routes import route
from portal_site.api.search import clauses, language, pages
from portal_site.api.search.clauses import Resource
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.customers import customers as operations
from portal_site.billing.customers import payment_methods
from portal_site.billing.direct_payments import methods
from portal_site.billing.models import Customer, CustomerTerm
from portal_site.billing.resources.lists import deleted

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


class _InvoiceSettings(Hash):
    default_payment_method: Text = None


class _Changes(Parameters):
    KIND: ClassVar[str] = KIND
    address: Annotated[Address | None, UNSET] = None
    balance: Whole | None = None
    description: Text = None
    email: Annotated[Text, parameters.longest(512)] = None
    invoice_settings: _InvoiceSettings | None = None
    metadata: Metadata = None
    name: Annotated[Text, parameters.longest(256)] = None
    phone: Text = None
    preferred_locales: Annotated[Texts | None, UNSET] = None
    shipping: Annotated[Shipping | None, UNSET] = None
    tax_exempt: Annotated[str | None, parameters.choice(*operations.EXEMPTIONS)] = None


class _New(_Changes):
    payment_method: Text = None
    test_clock: Text = None


@payments.route("POST", "/customers", "customers", WRITE)
def create_customer() -> Response:
    """Make a customer, with a payment method if one is named."""
    wanted = parameters.read(_New)
    given = fields.given(wanted)
    name, settings = given.pop("payment_method", None), given.pop("invoice_settings", None) or {}
    row = operations.create(g.caller.account_id, g.caller.livemode, given, g.now)
    chosen = settings.get("default_payment_method")
    if name is not None:
        method = methods.attach(payments.gateways(), payments.owner(), name, row.id, g.now, "payment_method")
        chosen = method.id if chosen == name else chosen
    if chosen is not None:
        row = _change(row.id, {"invoice_settings": {"default_payment_method": chosen}})
    return payments.answer(KIND, wanted.expanded, row)


@payments.route("POST", "/customers/<name>", "customers", WRITE)
def update_customer(name: str) -> Response:
    """Change a customer."""
    wanted = parameters.read(_Changes)
    return payments.answer(KIND, wanted.expanded, _change(name, fields.given(wanted)))


def _change(name: str, changes: dict[str, Any]) -> Customer:
    return operations.change(g.caller.account_id, g.caller.livemode, name, changes, g.now)


@payments.route("DELETE", "/customers/<name>", "customers", WRITE)
def delete_customer(name: str) -> Response:
    """Delete a customer for ever."""
    parameters.read(_One)
    gone = operations.delete(g.caller.account_id, g.caller.livemode, name, g.now)
    for method in gone:
        payment_methods.forget(payments.gateways(), method)
    return answers.json(deleted(KIND, name))


@route("GET", "/customers", "customers", READ)
def list_customers() -> Response:
    """The customers, the newest first; with `email`, those that have exactly this address."""
    wanted = parameters.read(_List)
    filters = (Customer.email, wanted.email), (Customer.test_clock_id, wanted.test_clock)
    created = lists.between(Customer.created, wanted.created)
    conditions = [Customer.deleted_at.is_(None), *created, *lists.equal(*filters)]
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
