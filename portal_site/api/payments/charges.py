"""`/v1/charges` and `/v1/refunds`, `/v1/balance` and `/v1/account`."""

from functools import partial
from typing import Annotated, ClassVar

from flask import Response, g

from portal_site.api import answers, lists, parameters
from portal_site.api.expansion import objects
from portal_site.api.fields import Metadata
from portal_site.api.parameters import Instants, ListParameters, Parameters, Text, Whole
from portal_site.api.payments.routes import answer, check_customer, gateways, owner, route
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.direct_payments import refunds
from portal_site.billing.models import Account, IntentCharge, IntentRefund
from portal_site.billing.resources import accounts
from portal_site.db.transactions import reading

CHARGE, REFUND, AREA = "charge", "refund", "charges"


class _Charge(Parameters):
    KIND: ClassVar[str] = CHARGE


class _Charges(ListParameters):
    KIND: ClassVar[str] = CHARGE
    created: Instants | None = None
    customer: Text = None
    payment_intent: Text = None


class _Refund(Parameters):
    KIND: ClassVar[str] = REFUND


class _NewRefund(Parameters):
    KIND: ClassVar[str] = REFUND
    amount: Whole | None = None
    charge: Text = None
    metadata: Metadata = None
    payment_intent: Text = None
    reason: Annotated[str | None, parameters.choice(*refunds.REASONS)] = None


class _Changes(Parameters):
    KIND: ClassVar[str] = REFUND
    metadata: Metadata = None


class _Refunds(ListParameters):
    KIND: ClassVar[str] = REFUND
    charge: Text = None
    created: Instants | None = None
    payment_intent: Text = None


class _Plain(Parameters):
    KIND: ClassVar[str] = "balance"


@route("GET", "/charges", AREA, READ)
def list_charges() -> Response:
    """The charges of programs, the newest first."""
    wanted = parameters.read(_Charges)
    check_customer(wanted.customer)
    filters = (IntentCharge.customer_id, wanted.customer), (IntentCharge.payment_intent_id, wanted.payment_intent)
    conditions = [*lists.between(IntentCharge.created, wanted.created), *lists.equal(*filters)]
    make = partial(objects.of, CHARGE, wanted.expanded)
    return answers.json(lists.page(IntentCharge, wanted, "/v1/charges", CHARGE, make, *conditions))


@route("GET", "/charges/<name>", AREA, READ)
def retrieve_charge(name: str) -> Response:
    """One charge."""
    wanted = parameters.read(_Charge)
    row = lists.one(IntentCharge, name)
    if row is None:
        raise answers.missing(CHARGE, name, "id")
    return answer(CHARGE, wanted.expanded, row)


@route("POST", "/refunds", AREA, WRITE)
def create_refund() -> Response:
    """Give a charge back, or a part of it."""
    wanted = parameters.read(_NewRefund)
    asked = wanted.model_dump(include={"amount", "charge", "metadata", "payment_intent", "reason"})
    return answer(REFUND, wanted.expanded, refunds.create(gateways(), owner(), asked, g.now))


@route("GET", "/refunds", AREA, READ)
def list_refunds() -> Response:
    """The refunds of such charges, the newest first."""
    wanted = parameters.read(_Refunds)
    filters = (IntentRefund.charge_id, wanted.charge), (IntentRefund.payment_intent_id, wanted.payment_intent)
    conditions = [*lists.between(IntentRefund.created, wanted.created), *lists.equal(*filters)]
    make = partial(objects.of, REFUND, wanted.expanded)
    return answers.json(lists.page(IntentRefund, wanted, "/v1/refunds", REFUND, make, *conditions))


@route("GET", "/refunds/<name>", AREA, READ)
def retrieve_refund(name: str) -> Response:
    """One refund."""
    wanted = parameters.read(_Refund)
    row = lists.one(IntentRefund, name)
    if row is None:
        raise answers.missing(REFUND, name, "refund")
    return answer(REFUND, wanted.expanded, row)


@route("POST", "/refunds/<name>", AREA, WRITE)
def update_refund(name: str) -> Response:
    """Change its metadata."""
    wanted = parameters.read(_Changes)
    changes = wanted.metadata if "metadata" in wanted.model_fields_set else {}
    return answer(REFUND, wanted.expanded, refunds.change(owner(), name, changes, g.now))


@route("GET", "/balance", "balance", READ)
def retrieve_balance() -> Response:
    """What charges of programs brought."""
    parameters.read(_Plain)
    return answers.json(refunds.balance(owner()))


@route("GET", "/account", "account", READ)
def retrieve_account() -> Response:
    """The account of the key."""
    parameters.read(_Plain)
    with reading() as connection:
        row = connection.execute(lists.columns_of(Account).where(Account.id == g.caller.account_id)).one()
    return answers.json(accounts.own(row))
