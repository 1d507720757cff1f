"""Payment methods of programs: made from test tokens, attached to customers, changed and detached."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.customers import customers, payment_methods
from portal_site.billing.direct_payments import owned
from portal_site.billing.direct_payments.owned import Method, Owner
from portal_site.billing.errors import BillingError, Declined
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import MethodToken, PaymentDetails
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Customer, PaymentMethod, UnattachedMethod
from portal_site.billing.models.columns import values
from portal_site.billing.resources import payments
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.payments import declines
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id

# What the names of the test cards that everybody may use begin with; ids have no second underscore.
TEST_CARD = "pm_card_"
KEPT = (
    "id", "account_id", "livemode", "created", "type", "brand", "last4", "exp_month", "exp_year", "funding", "country",
    "fingerprint", "gateway", "gateway_reference", "billing_details", "metadata_",
)  # fmt: skip


def create(
    gateways: Gateways, owner: Owner, token: MethodToken, details: JsonObject | None, metadata: Any, at: int
) -> UnattachedMethod:
    """Make a payment method of nobody's. Raises BillingError for a token that does not exist."""
    _check_debtor(token.type, details)
    name, gateway = gateways.simulated()
    stored = members.metadata(metadata or {}, {})
    made = gateway.make_method(token)
    with transaction() as session:
        row = _row(owner, name, made, at)
        row.billing_details, row.metadata_ = _merged(None, details), stored
        session.add(row)
    return row


def _check_debtor(kind: str, details: JsonObject | None) -> None:
    """Raise BillingError for a debit of whose debtor too little is said."""
    for name in ("name", "email") if kind == payments.SEPA_DEBIT else ():
        if not (details or {}).get(name):
            param = f"billing_details[{name}]"
            raise BillingError("Missing required param: %(name)s.", "parameter_missing", param, name=param)


def _row(owner: Owner, gateway: str, made: PaymentDetails, at: int) -> UnattachedMethod:
    shown = ("type", "brand", "last4", "exp_month", "exp_year", "funding", "country", "fingerprint")
    return UnattachedMethod(
        id=ordered_id("pm"), account_id=owner.account_id, livemode=owner.livemode, created=at, gateway=gateway,
        gateway_reference=made.reference, metadata_={}, **values(made, *shown),
    )  # fmt: skip


def resolve(gateways: Gateways, owner: Owner, name: str, at: int) -> str:
    """The id of a payment method: of a new one, if the name is that of a test card such as pm_card_visa."""
    if not name.startswith(TEST_CARD):
        return name
    gateway_name, gateway = gateways.simulated()
    try:
        made = gateway.make_method(MethodToken(payments.CARD, name))
    except BillingError:
        raise owned.missing(owned.NOUNS[PaymentMethod], name, "payment_method") from None
    with transaction() as session:
        row = _row(owner, gateway_name, made, at)
        session.add(row)
    return row.id


def attach(
    gateways: Gateways, owner: Owner, name: str, customer_id: str, at: int, param: str | None = None
) -> PaymentMethod:
    """Attach a payment method, which `param` names, to a customer; None: the path does.

    Raises Declined for one that its bank refuses, NotFound and BillingError.
    """
    _, gateway = gateways.simulated()
    method_id = resolve(gateways, owner, name, at)
    with transaction() as session:
        row = owned.method(session, owner, method_id, param)
        owned.customer(session, owner, customer_id)
        if isinstance(row, PaymentMethod) and row.detached_at is None:
            if row.customer_id == customer_id:
                return row
            raise BillingError("The payment method you provided has already been attached to a customer.")
        owned.check_usable(row, customer_id)
        reference = row.gateway_reference
    answer = gateway.save_method(reference or "", None)
    if answer.status == "declined":
        decline = declines.read(answer.decline_code, "setup")
        more = {"decline_code": decline.decline_code} if decline.decline_code else {}
        raise Declined(decline.message, decline.code, decline.param, **more)
    with transaction() as session:
        customer = customers.locked(session, owner.account_id, owner.livemode, customer_id, "customer")
        return attached(session, owned.method(session, owner, method_id), customer, at)


def attached(session: Session, row: Method, customer: Customer, at: int) -> PaymentMethod:
    """The payment method as one of the locked customer's, with the event if it was nobody's."""
    if isinstance(row, PaymentMethod):
        return row
    method = PaymentMethod(customer_id=customer.id, **values(row, *KEPT))
    session.delete(row)
    session.add(method)
    session.flush()
    emit(session, "payment_method.attached", method, customers.time_of(session, customer, at))
    return method


def change(gateways: Gateways, owner: Owner, name: str, changes: Mapping[str, Any], at: int) -> Method:
    """Set the metadata, the billing details or a card's expiry (`exp_month`, `exp_year`). Raises NotFound and BillingError."""
    _, gateway = gateways.simulated()
    with transaction() as session:
        row = owned.method(session, owner, name)
        if isinstance(row, UnattachedMethod):
            raise BillingError("You must save this PaymentMethod to a customer before you can update it.")
        before = payments.payment_method(row)
        if "metadata" in changes:
            row.metadata_ = members.metadata(changes["metadata"], row.metadata_)
        if "billing_details" in changes:
            row.billing_details = _merged(row.billing_details, changes["billing_details"])
        expires = changes.get("exp_month") or row.exp_month, changes.get("exp_year") or row.exp_year
        if expires != (row.exp_month, row.exp_year):
            _check_expiry(row, expires)
            row.exp_month, row.exp_year = expires
        session.flush()
        previous = customers.differing(before, payments.payment_method(row))
        if previous:
            emit(
                session,
                "payment_method.updated",
                row,
                owned.time_of(session, owner, row.customer_id, at),
                previous=previous,
            )
    if row.type == payments.CARD and row.exp_month and row.exp_year:
        gateway.change_method(row.gateway_reference or "", row.exp_month, row.exp_year)
    return row


def _check_expiry(row: PaymentMethod, expires: tuple[int | None, int | None]) -> None:
    if row.type != payments.CARD:
        raise BillingError("You can only update `card` on a PaymentMethod of this type.", "", "card")
    if not 1 <= (expires[0] or 0) <= 12:
        raise BillingError("Your card's expiration month is invalid.", "invalid_expiry_month", "card[exp_month]")
    if not 2000 <= (expires[1] or 0) < 2100:
        raise BillingError("Your card's expiration year is invalid.", "invalid_expiry_year", "card[exp_year]")


def _merged(stored: JsonObject | None, changes: JsonObject | None) -> JsonObject | None:
    if changes is None:
        return stored
    known = stored or {}
    merged = {**known, **changes}
    if changes.get("address") is not None:
        merged["address"] = {**(known.get("address") or {}), **changes["address"]}
    return merged


def detach(gateways: Gateways, owner: Owner, name: str, at: int) -> PaymentMethod:
    """Detach a payment method for good. Raises NotFound, and BillingError for one that is no customer's."""
    with transaction() as session:
        row = owned.method(session, owner, name)
        if isinstance(row, UnattachedMethod) or row.detached_at is not None:
            raise BillingError(
                "The payment method you provided is not attached to a customer so detachment is impossible.",
                "",
                "payment_method",
            )
        now = owned.time_of(session, owner, row.customer_id, at)
    return payment_methods.detach(gateways, row.customer_id, row.id, now)
