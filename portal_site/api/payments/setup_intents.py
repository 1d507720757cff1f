"""`/v1/setup_intents` and `/v1/mandates`: saving a payment method of a customer's for later payments."""

from functools import partial
from typing import Annotated, Any, ClassVar

from flask import Response, g
from pydantic import Field

from portal_site.api import answers, lists, parameters
from portal_site.api.answers import ApiError
from portal_site.api.expansion import objects
from portal_site.api.fields import Metadata, given
from portal_site.api.parameters import Hash, Instants, ListParameters, Parameters, Text, Texts, Truth, Whole
from portal_site.api.payments import payment_methods
from portal_site.api.payments.routes import answer, check_customer, gateways, owner, return_page, route, shown
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.direct_payments import setups
from portal_site.billing.models import SetupIntent
from portal_site.db.json_columns import JsonObject

KIND, AREA = "setup_intent", "setup_intents"


class _Online(Hash):
    ip_address: Text = None
    user_agent: Text = None


class _Acceptance(Hash):
    type: Annotated[str, parameters.choice("online", "offline")] = "online"
    accepted_at: Whole | None = None
    online: _Online | None = None
    offline: Hash | None = None


class MandateData(Hash):
    """How the debtor of a bank account agreed to debits."""

    customer_acceptance: _Acceptance


class Automatic(Hash):
    """Whether the types of payment methods are chosen for the program."""

    enabled: Truth
    allow_redirects: Annotated[str | None, parameters.choice("always", "never")] = None


class Confirmable(Hash):
    """What a confirmation of an intent takes."""

    mandate_data: MandateData | None = None
    payment_method: Text = None
    payment_method_data: payment_methods.New | None = None
    return_url: Text = None


class _New(Parameters, Confirmable):
    KIND: ClassVar[str] = KIND
    automatic_payment_methods: Automatic | None = None
    confirm: Truth = False
    customer: Text = None
    description: Annotated[Text, parameters.longest(1000)] = None
    metadata: Metadata = None
    payment_method_types: Texts = Field(default_factory=list)
    usage: Annotated[str | None, parameters.choice("off_session", "on_session")] = None


class _Confirm(Parameters, Confirmable):
    KIND: ClassVar[str] = KIND


class _Cancel(Parameters):
    KIND: ClassVar[str] = KIND
    cancellation_reason: Text = None


class _One(Parameters):
    KIND: ClassVar[str] = KIND
    client_secret: Text = None


class _List(ListParameters):
    KIND: ClassVar[str] = KIND
    created: Instants | None = None
    customer: Text = None
    payment_method: Text = None


class _Mandate(Parameters):
    KIND: ClassVar[str] = "mandate"


def confirmation(wanted: Any) -> JsonObject:
    """What was sent for a confirmation, with the id of a payment method that is made for it."""
    found = given(wanted)
    if wanted.payment_method_data is not None:
        if wanted.payment_method is not None:
            raise ApiError(
                400,
                "You may only specify one of these parameters: payment_method, payment_method_data.",
                None,
                "payment_method",
            )
        found["payment_method"] = payment_methods.make(wanted.payment_method_data).id
    found.pop("payment_method_data", None)
    return found


@route("POST", "/setup_intents", AREA, WRITE)
def create_setup_intent() -> Response:
    """Make one and, with `confirm`, save the payment method at once."""
    wanted = parameters.read(_New)
    for name in ("return_url", "mandate_data"):
        if getattr(wanted, name) is not None and not wanted.confirm:
            raise ApiError(400, f"The parameter {name} is only allowed together with confirm=true.", None, name)
    found = confirmation(wanted)
    row = setups.create(gateways(), owner(), found, g.now)
    return _confirmed(wanted, row.id, found) if wanted.confirm else answer(KIND, wanted.expanded, row)


@route("GET", "/setup_intents", AREA, READ)
def list_setup_intents() -> Response:
    """The setup intents, also those of visits to the portal, the newest first."""
    wanted = parameters.read(_List)
    check_customer(wanted.customer)
    filters = (SetupIntent.customer_id, wanted.customer), (SetupIntent.payment_method_id, wanted.payment_method)
    conditions = [*lists.between(SetupIntent.created, wanted.created), *lists.equal(*filters)]
    make = partial(objects.of, KIND, wanted.expanded)
    return answers.json(lists.page(SetupIntent, wanted, "/v1/setup_intents", "setupintent", make, *conditions))


@route("GET", "/setup_intents/<name>", AREA, READ)
def retrieve_setup_intent(name: str) -> Response:
    """One, after asking what its customer answered."""
    wanted = parameters.read(_One)
    return answer(KIND, wanted.expanded, setups.settle(gateways(), owner(), name, g.now))


@route("POST", "/setup_intents/<name>/confirm", AREA, WRITE)
def confirm_setup_intent(name: str) -> Response:
    """Save the payment method."""
    wanted = parameters.read(_Confirm)
    return _confirmed(wanted, name, confirmation(wanted))


def _confirmed(wanted: Parameters, name: str, found: JsonObject) -> Response:
    row, error = setups.confirm(gateways(), owner(), name, found, g.now, return_page("setup"))
    intent = shown(KIND, wanted.expanded, row)
    return answers.json(intent) if error is None else answers.declined(error, setup_intent=intent)


@route("POST", "/setup_intents/<name>/cancel", AREA, WRITE)
def cancel_setup_intent(name: str) -> Response:
    """Cancel one that is not done."""
    wanted = parameters.read(_Cancel)
    row = setups.cancel(owner(), name, wanted.cancellation_reason, g.now)
    return answer(KIND, wanted.expanded, row)


@route("GET", "/mandates/<name>", AREA, READ)
def retrieve_mandate(name: str) -> Response:
    """The mandate that a setup intent for debits brought."""
    wanted = parameters.read(_Mandate)
    made = setups.mandate(owner(), name)
    objects.expand("mandate", wanted.expanded, [made])
    return answers.json(made)
