"""`/v1/payment_intents`: payments of no invoice, which a program makes itself."""

from functools import partial
from typing import Annotated, ClassVar

from flask import Response, g
from pydantic import Field

from portal_site.api import answers, lists, parameters
from portal_site.api.answers import ApiError
from portal_site.api.expansion import objects
from portal_site.api.fields import UNSET, Metadata, Shipping, given
from portal_site.api.parameters import Filled, Hash, Instants, ListParameters, Parameters, Text, Texts, Truth, Whole
from portal_site.api.payments.routes import answer, check_customer, gateways, owner, return_page, route, shown
from portal_site.api.payments.setup_intents import Automatic, Confirmable, confirmation
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.direct_payments import payment_intents
from portal_site.billing.models import PaymentIntent
from portal_site.db.json_columns import JsonObject

KIND, AREA = "payment_intent", "payment_intents"
NO_CAPTURE = "Payments are captured at once here: leave capture_method out, or use automatic."
USAGE = parameters.choice("off_session", "on_session")


class _Members(Hash):
    customer: Text = None
    description: Annotated[Text, parameters.longest(1000)] = None
    metadata: Metadata = None
    payment_method_types: Texts = Field(default_factory=list)
    receipt_email: Annotated[Text, parameters.longest(512)] = None
    setup_future_usage: Annotated[str | None, USAGE] = None
    shipping: Annotated[Shipping | None, UNSET] = None
    statement_descriptor: Annotated[Text, parameters.longest(22)] = None
    statement_descriptor_suffix: Annotated[Text, parameters.longest(22)] = None


class _New(Parameters, _Members, Confirmable):
    KIND: ClassVar[str] = KIND
    amount: Whole
    automatic_payment_methods: Automatic | None = None
    capture_method: Annotated[str | None, parameters.choice("automatic", "automatic_async", "manual")] = None
    confirm: Truth = False
    currency: Filled
    error_on_requires_action: Truth = False
    off_session: Truth = False


class _Changes(Parameters, _Members):
    KIND: ClassVar[str] = KIND
    amount: Whole = 0
    currency: Filled = ""
    payment_method: Text = None


class _Confirm(Parameters, Confirmable):
    KIND: ClassVar[str] = KIND
    error_on_requires_action: Truth = False
    off_session: Truth = False
    receipt_email: Annotated[Text, parameters.longest(512)] = None
    setup_future_usage: Annotated[str | None, USAGE] = None
    shipping: Annotated[Shipping | None, UNSET] = None


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


@route("POST", "/payment_intents", AREA, WRITE)
def create_payment_intent() -> Response:
    """Make one and, with `confirm`, charge the payment method at once."""
    wanted = parameters.read(_New)
    if wanted.capture_method == "manual":
        raise ApiError(400, NO_CAPTURE, None, "capture_method")
    for name in ("off_session", "error_on_requires_action", "return_url", "mandate_data"):
        if getattr(wanted, name) and not wanted.confirm:
            raise ApiError(400, f"The parameter {name} is only allowed together with confirm=true.", None, name)
    found = confirmation(wanted)
    row = payment_intents.create(gateways(), owner(), found, g.now)
    if not wanted.confirm:
        return answer(KIND, wanted.expanded, row)
    found["payment_method"] = None  # it is the intent's already
    return _confirmed(wanted, row.id, found)


@route("GET", "/payment_intents", AREA, READ)
def list_payment_intents() -> Response:
    """The payment intents, the newest first."""
    wanted = parameters.read(_List)
    check_customer(wanted.customer)
    filters = ((PaymentIntent.customer_id, wanted.customer),)
    conditions = [*lists.between(PaymentIntent.created, wanted.created), *lists.equal(*filters)]
    make = partial(objects.of, KIND, wanted.expanded)
    return answers.json(lists.page(PaymentIntent, wanted, "/v1/payment_intents", KIND, make, *conditions))


@route("GET", "/payment_intents/<name>", AREA, READ)
def retrieve_payment_intent(name: str) -> Response:
    """One, after asking what became of it."""
    wanted = parameters.read(_One)
    return answer(KIND, wanted.expanded, payment_intents.settle(gateways(), owner(), name, g.now))


@route("POST", "/payment_intents/<name>", AREA, WRITE)
def update_payment_intent(name: str) -> Response:
    """Change one that is not done."""
    wanted = parameters.read(_Changes)
    return answer(KIND, wanted.expanded, payment_intents.change(gateways(), owner(), name, given(wanted), g.now))


@route("POST", "/payment_intents/<name>/confirm", AREA, WRITE)
def confirm_payment_intent(name: str) -> Response:
    """Charge the payment method."""
    wanted = parameters.read(_Confirm)
    return _confirmed(wanted, name, confirmation(wanted))


def _confirmed(wanted: _New | _Confirm, name: str, found: JsonObject) -> Response:
    found["off_session"] = wanted.off_session or wanted.error_on_requires_action
    row, error = payment_intents.confirm(gateways(), owner(), name, found, g.now, return_page("payment"))
    intent = shown(KIND, wanted.expanded, row)
    return answers.json(intent) if error is None else answers.declined(error, payment_intent=intent)


@route("POST", "/payment_intents/<name>/cancel", AREA, WRITE)
def cancel_payment_intent(name: str) -> Response:
    """Cancel one that is not done."""
    wanted = parameters.read(_Cancel)
    row = payment_intents.cancel(gateways(), owner(), name, wanted.cancellation_reason, g.now)
    return answer(KIND, wanted.expanded, row)


@route("POST", "/payment_intents/<name>/capture", AREA, WRITE)
def capture_payment_intent(name: str) -> Response:
    """Refuse: there is never anything to capture."""
    row = payment_intents.settle(gateways(), owner(), name, g.now)
    raise payment_intents.unexpected(
        row, f"This PaymentIntent could not be captured because it has a status of {row.status}. {NO_CAPTURE}"
    )
