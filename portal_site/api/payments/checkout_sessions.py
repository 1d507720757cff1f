"""`/v1/checkout/sessions` in setup mode: a page of the sandbox's on which a customer saves a payment method."""

from functools import partial
from typing import Annotated, ClassVar

from flask import Response, g
from pydantic import Field

from portal_site.api import answers, lists, parameters
from portal_site.api.answers import ApiError
from portal_site.api.expansion import objects
from portal_site.api.fields import Metadata, given
from portal_site.api.parameters import Filled, Hash, Instants, ListParameters, Parameters, Text, Texts, Whole
from portal_site.api.payments.routes import answer, check_customer, gateways, owner, return_page, route
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.direct_payments import checkout
from portal_site.billing.models import CheckoutSession

KIND, AREA, URL = "checkout_session", "checkout_sessions", "/v1/checkout/sessions"
STATUSES = (checkout.OPEN, checkout.COMPLETE, checkout.EXPIRED)
OTHER_MODES = (
    "Checkout sessions of this portal are for saving a payment method: use mode=setup. Subscriptions start in the dashboard, and "
    "payments are made with /v1/payment_intents."
)


class _SetupData(Hash):
    description: Annotated[Text, parameters.longest(1000)] = None
    metadata: Metadata = None


class _New(Parameters):
    KIND: ClassVar[str] = KIND
    cancel_url: Text = None
    client_reference_id: Annotated[Text, parameters.longest(200)] = None
    currency: Text = None
    customer: Text = None
    expires_at: Whole | None = None
    metadata: Metadata = None
    mode: Annotated[str, parameters.choice("payment", "setup", "subscription")]
    payment_method_types: Texts = Field(default_factory=list)
    setup_intent_data: _SetupData = Field(default_factory=_SetupData)
    success_url: Filled


class _One(Parameters):
    KIND: ClassVar[str] = KIND


class _List(ListParameters):
    KIND: ClassVar[str] = KIND
    created: Instants | None = None
    customer: Text = None
    status: Annotated[str | None, parameters.choice(*STATUSES)] = None


@route("POST", "/checkout/sessions", AREA, WRITE)
def create_checkout_session() -> Response:
    """Make one; its URL is the page for a card or a bank account."""
    wanted = parameters.read(_New)
    if wanted.mode != "setup":
        raise ApiError(400, OTHER_MODES, None, "mode")
    if wanted.customer is None:
        raise parameters.missing("customer")
    row = checkout.create(gateways(), owner(), given(wanted), g.now, return_page("checkout"))
    return answer(KIND, wanted.expanded, row)


@route("GET", "/checkout/sessions", AREA, READ)
def list_checkout_sessions() -> Response:
    """The sessions, the newest first."""
    wanted = parameters.read(_List)
    check_customer(wanted.customer)
    filters = (CheckoutSession.customer_id, wanted.customer), (CheckoutSession.status, wanted.status)
    conditions = [*lists.between(CheckoutSession.created, wanted.created), *lists.equal(*filters)]
    make = partial(objects.of, KIND, wanted.expanded)
    return answers.json(lists.page(CheckoutSession, wanted, URL, "checkout.session", make, *conditions))


@route("GET", "/checkout/sessions/<name>", AREA, READ)
def retrieve_checkout_session(name: str) -> Response:
    """One, after asking what its customer has entered."""
    wanted = parameters.read(_One)
    return answer(KIND, wanted.expanded, checkout.settle(gateways(), owner(), name, g.now))


@route("POST", "/checkout/sessions/<name>/expire", AREA, WRITE)
def expire_checkout_session(name: str) -> Response:
    """End an open one."""
    wanted = parameters.read(_One)
    return answer(KIND, wanted.expanded, checkout.expire(gateways(), owner(), name, g.now))
