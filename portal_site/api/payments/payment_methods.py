"""`/v1/payment_methods` and those of a customer: cards and bank accounts of the sandbox, which the portal shows, too."""

from functools import partial
from typing import Annotated, Any, ClassVar

from flask import Response, g

from portal_site.api import answers, lists, parameters
from portal_site.api.expansion import objects
from portal_site.api.fields import UNSET, BillingDetails, Iban, Metadata, Token, given
from portal_site.api.parameters import Filled, Hash, ListParameters, Parameters, Text, Whole
from portal_site.api.payments.routes import answer, check_customer, check_path, gateways, owner, route, token
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.direct_payments import methods
from portal_site.billing.models import PaymentMethod, UnattachedMethod
from portal_site.db.json_columns import JsonObject

KIND, AREA = "payment_method", "payment_methods"
TYPES = ("card", "sepa_debit")


class New(Hash):
    """A payment method to make, as it stands inside of other requests, too."""

    type: Annotated[str, parameters.choice(*TYPES)]
    billing_details: BillingDetails | None = None
    card: Token | None = None
    metadata: Metadata = None
    sepa_debit: Iban | None = None


class _New(Parameters, New):
    KIND: ClassVar[str] = KIND


class _Expiry(Hash):
    exp_month: Whole | None = None
    exp_year: Whole | None = None


class _Changes(Parameters):
    KIND: ClassVar[str] = KIND
    billing_details: Annotated[BillingDetails | None, UNSET] = None
    card: _Expiry | None = None
    metadata: Metadata = None


class _Attach(Parameters):
    KIND: ClassVar[str] = KIND
    customer: Filled


class _One(Parameters):
    KIND: ClassVar[str] = KIND


class _List(ListParameters):
    KIND: ClassVar[str] = KIND
    type: Annotated[str | None, parameters.choice(*TYPES)] = None


class _ListOfAny(_List):
    customer: Text = None


def make(wanted: New) -> UnattachedMethod:
    """Make a payment method of nobody's."""
    details: JsonObject | None = given(wanted).get("billing_details")
    found = token(wanted.type, wanted.card, wanted.sepa_debit)
    return methods.create(gateways(), owner(), found, details, wanted.metadata, g.now)


@route("POST", "/payment_methods", AREA, WRITE)
def create_payment_method() -> Response:
    """Make one from a test token or a published test number."""
    wanted = parameters.read(_New)
    return answer(KIND, wanted.expanded, make(wanted))


@route("GET", "/payment_methods", AREA, READ)
def list_payment_methods() -> Response:
    """Those of a customer; without one an empty page, as at Stripe."""
    wanted = parameters.read(_ListOfAny)
    check_customer(wanted.customer)
    return _page(wanted, wanted.customer or "", "/v1/payment_methods")


@route("GET", "/customers/<customer_id>/payment_methods", AREA, READ)
def list_methods_of_customer(customer_id: str) -> Response:
    """Those of a customer."""
    wanted = parameters.read(_List)
    check_path(customer_id)
    return _page(wanted, customer_id, f"/v1/customers/{customer_id}/payment_methods")


def _page(wanted: _List, customer_id: str, url: str) -> Response:
    conditions: list[Any] = [
        PaymentMethod.customer_id == customer_id.replace("\0", ""),
        PaymentMethod.detached_at.is_(None),
    ]
    if wanted.type is not None:
        conditions.append(PaymentMethod.type == wanted.type)
    made = partial(objects.of, KIND, wanted.expanded)
    return answers.json(lists.page(PaymentMethod, wanted, url, "PaymentMethod", made, *conditions))


@route("GET", "/payment_methods/<name>", AREA, READ)
def retrieve_payment_method(name: str) -> Response:
    """One, attached or not."""
    wanted = parameters.read(_One)
    row = lists.one(PaymentMethod, name) or lists.one(UnattachedMethod, name)
    if row is None:
        raise answers.missing("PaymentMethod", name, "payment_method")
    return answer(KIND, wanted.expanded, row)


@route("GET", "/customers/<customer_id>/payment_methods/<name>", AREA, READ)
def retrieve_method_of_customer(customer_id: str, name: str) -> Response:
    """One of a customer's."""
    wanted = parameters.read(_One)
    check_path(customer_id)
    row = lists.one(PaymentMethod, name)
    if row is None or row.customer_id != customer_id or row.detached_at is not None:
        raise answers.missing("PaymentMethod", name, "payment_method")
    return answer(KIND, wanted.expanded, row)


@route("POST", "/payment_methods/<name>", AREA, WRITE)
def update_payment_method(name: str) -> Response:
    """Change its metadata, billing details or expiry."""
    wanted = parameters.read(_Changes)
    changes = given(wanted)
    changes |= changes.pop("card", None) or {}
    return answer(KIND, wanted.expanded, methods.change(gateways(), owner(), name, changes, g.now))


@route("POST", "/payment_methods/<name>/attach", AREA, WRITE)
def attach_payment_method(name: str) -> Response:
    """Attach it to a customer; with the name of a test card, such as pm_card_visa, a new one of that kind."""
    wanted = parameters.read(_Attach)
    return answer(KIND, wanted.expanded, methods.attach(gateways(), owner(), name, wanted.customer, g.now))


@route("POST", "/payment_methods/<name>/detach", AREA, WRITE)
def detach_payment_method(name: str) -> Response:
    """Take it from its customer, for good."""
    wanted = parameters.read(_One)
    return answer(KIND, wanted.expanded, methods.detach(gateways(), owner(), name, g.now))
