"""Setup intents of programs: a payment method is saved for later payments, with its bank's consent where that is asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.customers import customers
from portal_site.billing.direct_payments import methods, owned
from portal_site.billing.direct_payments.owned import Method, Owner
from portal_site.billing.errors import BillingError, UnexpectedState
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import Saving
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import CheckoutSession, SetupIntent, UnattachedMethod
from portal_site.billing.resources import intents, payments
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.payments import declines
from portal_site.billing.rules.portal import safe_urls
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id, random_letters

TYPES = (payments.CARD, payments.SEPA_DEBIT)
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
REASONS = ("abandoned", "duplicate", "requested_by_customer")
SECRET_LETTERS = 25
ReturnUrl = Callable[[str], str]  # of the id of an intent, the page of this program's that its customer returns to


def create(gateways: Gateways, owner: Owner, wanted: Mapping[str, Any], at: int) -> SetupIntent:
    """Make a setup intent, for a customer if one is named. Raises NotFound and BillingError."""
    name, _ = gateways.simulated()
    method_id = wanted.get("payment_method")
    if method_id is not None:
        method_id = methods.resolve(gateways, owner, method_id, at)
    with transaction() as session:
        customer = owned.customer(session, owner, wanted.get("customer"))
        at = customers.time_of(session, customer, at) if customer is not None else at
        row = begun(owner, customer.id if customer is not None else None, name, wanted, at)
        row.client_secret = secret_of(row.id)
        if method_id is not None:
            _choose(row, owned.method(session, owner, method_id, "payment_method"))
        session.add(row)
        session.flush()
        emit(session, "setup_intent.created", row, at)
    return row


def secret_of(intent_id: str) -> str:
    """A new client secret of an intent."""
    return f"{intent_id}_secret_{random_letters(SECRET_LETTERS)}"


def begun(owner: Owner, customer_id: str | None, gateway: str, wanted: Mapping[str, Any], at: int) -> SetupIntent:
    """A new setup intent, which the caller stores."""
    return SetupIntent(
        id=ordered_id("seti"), account_id=owner.account_id, livemode=owner.livemode, customer_id=customer_id, created=at,
        status="requires_payment_method", gateway=gateway, gateway_reference="",
        payment_method_types=types(wanted.get("payment_method_types")) or list(TYPES),
        usage=wanted.get("usage") or "off_session", description=wanted.get("description"),
        metadata_=members.metadata(wanted.get("metadata") or {}, {}),
    )  # fmt: skip


def types(given: list[str] | None) -> list[str]:
    """Types of payment methods that there are here, each once. Raises BillingError for another."""
    for one in given or []:
        if one not in TYPES:
            raise BillingError(
                "The payment method type “%(type)s” does not exist here: there are %(types)s.",
                "", "payment_method_types", type=one, types=" and ".join(TYPES),
            )  # fmt: skip
    return list(dict.fromkeys(given or []))


def _choose(row: SetupIntent, method: Method) -> None:
    owned.check_usable(method, row.customer_id)
    check_type(method, row.payment_method_types, "SetupIntent")
    row.chosen_method_id, row.status, row.last_setup_error = method.id, "requires_confirmation", None


def check_type(method: Method, allowed: list[str], noun: str) -> None:
    """Raise BillingError unless payment methods of this type may be used for an intent."""
    if method.type not in allowed:
        raise BillingError(
            "The PaymentMethod provided (%(type)s) is not allowed for this %(noun)s. Its payment_method_types are %(allowed)s.",
            "", "payment_method", type=method.type, noun=noun, allowed=", ".join(allowed),
        )  # fmt: skip


def confirm(
    gateways: Gateways, owner: Owner, intent_id: str, wanted: Mapping[str, Any], at: int, return_page: ReturnUrl
) -> tuple[SetupIntent, JsonObject | None]:
    """Save the payment method of a setup intent: the intent and, if its bank declined that, the error, which is stored in it.

    Raises NotFound, and BillingError for what cannot be confirmed.
    """
    _, gateway = gateways.simulated()
    method_id = wanted.get("payment_method")
    if method_id is not None:
        method_id = methods.resolve(gateways, owner, method_id, at)
    with transaction() as session:
        row = owned.get(session, SetupIntent, owner, intent_id)
        at = owned.time_of(session, owner, row.customer_id, at)
        if method_id is None and row.chosen_method_id is None and row.status in OPEN:
            raise _unexpected(row, "You cannot confirm this SetupIntent because it's missing a payment method.")
        _check_open(session, row, "confirm")
        if method_id is not None:
            _choose(row, owned.method(session, owner, method_id, "payment_method"))
        method = owned.method(session, owner, row.chosen_method_id or "", "payment_method")
        if wanted.get("return_url"):
            row.return_url = safe_urls.check(wanted["return_url"], "return_url")
        row.acceptance = accepted(wanted.get("mandate_data"), method.type, at)
        reference = method.gateway_reference or ""
    saving = gateway.save_method(reference, return_page(row.id))
    with transaction() as session:
        row = owned.get(session, SetupIntent, owner, intent_id)
        return row, _record(session, owner, row, saving, at)


def accepted(mandate_data: JsonObject | None, kind: str, at: int) -> JsonObject | None:
    """How the mandate of a debit was accepted. Raises BillingError for a debit without it."""
    if kind != payments.SEPA_DEBIT:
        return None
    given = (mandate_data or {}).get("customer_acceptance")
    if not given:
        raise BillingError(
            "Missing required param: mandate_data. A debit needs a mandate of its debtor.",
            "parameter_missing",
            "mandate_data",
        )
    kind = given.get("type") or "online"
    how = given.get(kind) or {}
    shown = {name: how.get(name) for name in ("ip_address", "user_agent")} if kind == "online" else {}
    return {"type": kind, "accepted_at": given.get("accepted_at") or at, kind: shown}


def _record(session: Session, owner: Owner, row: SetupIntent, saving: Saving, at: int) -> JsonObject | None:
    if saving.status == "requires_action":
        row.status, row.next_action_url, row.gateway_reference = "requires_action", saving.url, saving.reference or ""
        session.flush()
        emit(session, "setup_intent.requires_action", row, at)
        return None
    if saving.status == "declined":
        return fail(session, owner, row, saving.decline_code, at)
    succeed(session, owner, row, at)
    return None


def succeed(session: Session, owner: Owner, row: SetupIntent, at: int) -> None:
    """The chosen payment method is saved: it is the customer's from now on. Without a customer it is used up."""
    method = owned.method(session, owner, row.chosen_method_id or "")
    if row.customer_id is not None:
        customer = customers.locked(session, owner.account_id, owner.livemode, row.customer_id, "customer")
        row.payment_method_id = methods.attached(session, method, customer, at).id
    elif isinstance(method, UnattachedMethod):
        method.used_at = at
    row.status, row.next_action_url, row.last_setup_error = "succeeded", None, None
    session.flush()
    emit(session, "setup_intent.succeeded", row, at)


def fail(session: Session, owner: Owner, row: SetupIntent, decline_code: str | None, at: int) -> JsonObject:
    """The chosen payment method cannot be saved: the intent waits for another one. Returns the error."""
    method = owned.method(session, owner, row.chosen_method_id or "")
    error = intents.error(declines.read(decline_code, "setup"), method)
    row.status, row.chosen_method_id, row.next_action_url, row.last_setup_error = OPEN[0], None, None, error
    session.flush()
    emit(session, "setup_intent.setup_failed", row, at)
    return error


def cancel(owner: Owner, intent_id: str, reason: str | None, at: int) -> SetupIntent:
    """Cancel a setup intent that is not done. Raises NotFound and BillingError."""
    if reason is not None and reason not in REASONS:
        raise BillingError(
            "Invalid cancellation_reason: must be one of %(all)s", "", "cancellation_reason", all=", ".join(REASONS)
        )
    with transaction() as session:
        row = owned.get(session, SetupIntent, owner, intent_id)
        at = owned.time_of(session, owner, row.customer_id, at)
        _check_open(session, row, "cancel")
        row.status, row.cancellation_reason, row.next_action_url = "canceled", reason, None
        session.flush()
        emit(session, "setup_intent.canceled", row, at)
    return row


def _check_open(session: Session, row: SetupIntent, what: str) -> None:
    if row.status not in OPEN:
        raise _unexpected(row, f"You cannot {what} this SetupIntent because it has a status of {row.status}.")
    own = CheckoutSession.account_id == row.account_id, CheckoutSession.setup_intent_id == row.id
    if row.client_secret is None or session.scalar(select(CheckoutSession.id).where(*own)) is not None:
        raise _unexpected(
            row, f"You cannot {what} this SetupIntent: it belongs to a page on which a customer saves a method."
        )


def _unexpected(row: SetupIntent, sentence: str) -> UnexpectedState:
    return UnexpectedState(sentence, "setup_intent_unexpected_state", None, setup_intent=intents.setup_intent(row))


def settle(gateways: Gateways, owner: Owner, intent_id: str, at: int) -> SetupIntent:
    """Take over what the customer answered to its bank, if it has. For one that was deleted nothing is saved. Raises NotFound."""
    with transaction() as session:
        row = owned.get(session, SetupIntent, owner, intent_id)
        reference, at = row.gateway_reference, owned.time_of(session, owner, row.customer_id, at)
        is_gone = row.customer_id is not None and owned.is_deleted(session, owner, row.customer_id)
        is_awaited = row.status == "requires_action" and not is_gone
    gateway = gateways.named(row.gateway or "", row) if is_awaited else None
    found = gateway.find_setup(reference) if gateway is not None else None
    if found is None or not (found.details or found.has_failed):
        return row
    with transaction() as session:
        row = owned.get(session, SetupIntent, owner, intent_id)
        if row.status == "requires_action" and row.gateway_reference == reference:
            if found.has_failed:
                fail(session, owner, row, declines.NOT_AUTHENTICATED, at)
            else:
                succeed(session, owner, row, at)
    return row


def mandate(owner: Owner, name: str) -> JsonObject:
    """The mandate with this id, which is that of a setup intent with another prefix. Raises ObjectMissing."""
    with transaction() as session:
        prefix, _, rest = name.partition("_")
        row = owned.find(session, SetupIntent, owner, f"seti_{rest}") if prefix == "mandate" else None
        if row is None or row.acceptance is None or row.status != "succeeded":
            raise owned.missing("mandate", name)
        saved = row.payment_method_id or row.chosen_method_id or ""
        return intents.mandate(row, owned.method(session, owner, saved))
