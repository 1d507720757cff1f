"""Payment intents of programs: made, changed, confirmed and canceled."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from portal_site.billing.customers import customers
from portal_site.billing.direct_payments import charges, methods, owned, setups
from portal_site.billing.direct_payments.charges import REQUIRES_ACTION, REQUIRES_METHOD
from portal_site.billing.direct_payments.owned import Method, Owner
from portal_site.billing.errors import BillingError, UnexpectedState
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import Charge, ChargeRequest, Gateway
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import PaymentIntent, UnattachedMethod
from portal_site.billing.resources import intents, payments
from portal_site.billing.rules.amounts import money
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.payments import declines
from portal_site.billing.rules.portal import safe_urls
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id

REQUIRES_CONFIRMATION = "requires_confirmation"
OPEN = (REQUIRES_METHOD, REQUIRES_CONFIRMATION, REQUIRES_ACTION)
REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
TEXTS = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix", "setup_future_usage")
ReturnUrl = Callable[[str], str]


def create(gateways: Gateways, owner: Owner, wanted: Mapping[str, Any], at: int) -> PaymentIntent:
    """Make a payment intent, which moves no money. Raises NotFound and BillingError."""
    gateways.simulated()
    method_id = _resolved(gateways, owner, wanted, at)
    with transaction() as session:
        customer = owned.customer(session, owner, wanted.get("customer"))
        at = customers.time_of(session, customer, at)
        intent_id = ordered_id("pi")
        row = PaymentIntent(
            id=intent_id, account_id=owner.account_id, livemode=owner.livemode, created=at, status=REQUIRES_METHOD,
            customer_id=customer.id if customer else None, client_secret=setups.secret_of(intent_id), amount_received=0,
            metadata_={}, tries=0, payment_method_types=[],
        )  # fmt: skip
        _set(session, owner, row, {**wanted, "payment_method": method_id})
        session.add(row)
        session.flush()
        emit(session, "payment_intent.created", row, at)
    return row


def _resolved(gateways: Gateways, owner: Owner, wanted: Mapping[str, Any], at: int) -> str | None:
    name = wanted.get("payment_method")
    return methods.resolve(gateways, owner, name, at) if name is not None else None


def change(gateways: Gateways, owner: Owner, intent_id: str, changes: Mapping[str, Any], at: int) -> PaymentIntent:
    """Set members of an intent that waits for nobody but the program; any change takes its last error away.

    Raises NotFound and BillingError.
    """
    method_id = _resolved(gateways, owner, changes, at)
    given = {**changes, "payment_method": method_id} if "payment_method" in changes else dict(changes)
    waiting = REQUIRES_METHOD, REQUIRES_CONFIRMATION
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        later = {"metadata", "description", "receipt_email", "shipping"}
        if row.status not in waiting and not later.issuperset(given):
            raise unexpected(row, f"This PaymentIntent could not be updated because it has a status of {row.status}.")
        if given.get("customer") is not None:
            customer = owned.customer(session, owner, given["customer"])
            if row.customer_id is not None and customer is not None and customer.id != row.customer_id:
                raise BillingError("The customer of a PaymentIntent cannot be replaced by another one.", "", "customer")
            row.customer_id = customer.id if customer else row.customer_id
        _set(session, owner, row, given)
        row.last_payment_error = None
    return row


def _set(session: Session, owner: Owner, row: PaymentIntent, wanted: Mapping[str, Any]) -> None:
    if "currency" in wanted:
        row.currency = members.currency(wanted["currency"], "currency")
    if "amount" in wanted:
        row.amount = wanted["amount"]
    check_amount(row.amount, row.currency)
    for name in TEXTS:
        if name in wanted:
            setattr(row, name, wanted[name])
    if "metadata" in wanted:
        row.metadata_ = members.metadata(wanted["metadata"], row.metadata_)
    if "shipping" in wanted:
        row.shipping = customers.shipping(row.shipping, wanted["shipping"], "shipping")
    _set_types(row, wanted)
    if wanted.get("payment_method") is not None:
        _choose(row, owned.method(session, owner, wanted["payment_method"], "payment_method"))
    elif "payment_method" in wanted:
        row.payment_method_id, row.status = None, REQUIRES_METHOD


def _set_types(row: PaymentIntent, wanted: Mapping[str, Any]) -> None:
    if wanted.get("payment_method_types"):
        row.payment_method_types, row.automatic_payment_methods = setups.types(wanted["payment_method_types"]), None
    elif not row.payment_method_types or row.automatic_payment_methods is not None:
        row.payment_method_types = [kind for kind in setups.TYPES if kind == payments.CARD or row.currency == "eur"]
        given = wanted.get("automatic_payment_methods") or row.automatic_payment_methods or {}
        row.automatic_payment_methods = {"allow_redirects": given.get("allow_redirects") or "always", "enabled": True}
    if payments.SEPA_DEBIT in row.payment_method_types and row.currency != "eur":
        raise BillingError(
            "The currency provided (%(currency)s) is invalid for the payment method type sepa_debit, which is for eur.",
            "", "currency", currency=row.currency,
        )  # fmt: skip


def check_amount(amount: int, currency: str) -> None:
    """Raise BillingError for an amount that is too small, too large, or no multiple of the smallest coin."""
    least = money.minimum_charge(currency)
    if amount < 1:
        raise BillingError("This value must be greater than or equal to 1.", "parameter_invalid_integer", "amount")
    if amount < least:
        raise BillingError(
            "Amount must be at least %(least)s %(currency)s.",
            "amount_too_small", "amount", least=money.major(least, currency), currency=currency,
        )  # fmt: skip
    if amount > members.MOST_AN_AMOUNT:
        raise BillingError(
            "Amount must be no more than %(most)s %(currency)s.",
            "amount_too_large", "amount", most=money.major(members.MOST_AN_AMOUNT, currency), currency=currency,
        )  # fmt: skip
    if amount % money.step(currency):
        raise BillingError("Amount must be a multiple of %(step)s.", "", "amount", step=money.step(currency))


def _choose(row: PaymentIntent, method: Method) -> None:
    owned.check_usable(method, row.customer_id)
    setups.check_type(method, row.payment_method_types, "PaymentIntent")
    row.payment_method_id, row.status = method.id, REQUIRES_CONFIRMATION


def confirm(
    gateways: Gateways, owner: Owner, intent_id: str, wanted: Mapping[str, Any], at: int, return_page: ReturnUrl
) -> tuple[PaymentIntent, JsonObject | None]:
    """Charge the payment method of an intent: the intent and, if its bank declined that, the error, which is stored in it.

    With `off_session` the customer is not there: what its bank wants to ask it is declined. Raises NotFound and BillingError.
    """
    gateways.simulated()
    _stop_waiting(gateways, owner, intent_id, at)
    method_id = _resolved(gateways, owner, wanted, at)
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        at = owned.time_of(session, owner, row.customer_id, at)
        if row.status not in OPEN:
            already = " because it has already succeeded after being previously confirmed"
            why = already if row.status == charges.SUCCEEDED else f" because it has a status of {row.status}"
            raise unexpected(row, f"You cannot confirm this PaymentIntent{why}.")
        for name in ("receipt_email", "setup_future_usage", "shipping"):
            if name in wanted:
                _set(session, owner, row, {name: wanted[name]})
        if method_id is not None:
            _choose(row, owned.method(session, owner, method_id, "payment_method"))
        if row.payment_method_id is None:
            raise unexpected(
                row,
                "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
                "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with one.",
            )
        if "return_url" in wanted:
            row.return_url = safe_urls.check(wanted["return_url"], "return_url") if wanted["return_url"] else None
        method = _ready(session, owner, row, wanted, at)
        row.tries, row.tried_at, row.last_payment_error = row.tries + 1, at, None
        gateway, request = _request(gateways, row, method, return_page(row.id))
    charge = _charge(gateway, request, off_session=bool(wanted.get("off_session")))
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        return row, charges.record(session, row, owned.method(session, owner, method.id), charge, at)


def _ready(session: Session, owner: Owner, row: PaymentIntent, wanted: Mapping[str, Any], at: int) -> Method:
    """The intent's payment method, which is the customer's from now on if it is for later payments, too."""
    method = owned.method(session, owner, row.payment_method_id or "", "payment_method")
    owned.check_usable(method, row.customer_id)
    if method.type == payments.SEPA_DEBIT and isinstance(method, UnattachedMethod):
        setups.accepted(wanted.get("mandate_data"), method.type, at)
    customer = owned.customer(session, owner, row.customer_id)
    if row.setup_future_usage and customer is not None:
        return methods.attached(session, method, customer, at)
    return method


def _request(
    gateways: Gateways, row: PaymentIntent, method: Method, return_url: str, *, off_session: bool = False
) -> tuple[Gateway, ChargeRequest]:
    gateway = gateways.for_method(method)
    if gateway is None:
        raise BillingError(
            "The payment provider of this payment method is not installed any more.", "", "payment_method"
        )
    return gateway, ChargeRequest(
        payment_method=method.gateway_reference or "", amount=row.amount, currency=row.currency,
        idempotency_key=f"{row.id}_{row.tries}", created=row.tried_at or row.created, return_url=return_url,
        livemode=row.livemode, off_session=off_session, type=method.type,
    )  # fmt: skip


def _charge(gateway: Gateway, request: ChargeRequest, *, off_session: bool) -> Charge:
    charge = gateway.charge(request)
    if charge.status != REQUIRES_ACTION or not off_session:
        return charge
    ended = gateway.cancel_charge(request) or charge
    if ended.status == charges.SUCCEEDED:
        return ended
    return Charge("declined", charge.reference, declines.AUTHENTICATION)


def cancel(gateways: Gateways, owner: Owner, intent_id: str, reason: str | None, at: int) -> PaymentIntent:
    """Cancel an intent that is not done, nor under way. Raises NotFound and BillingError."""
    if reason is not None and reason not in REASONS:
        raise BillingError(
            "Invalid cancellation_reason: must be one of %(all)s", "", "cancellation_reason", all=", ".join(REASONS)
        )
    _stop_waiting(gateways, owner, intent_id, at)
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        at = owned.time_of(session, owner, row.customer_id, at)
        if row.status not in OPEN:
            raise unexpected(
                row,
                f"You cannot cancel this PaymentIntent because it has a status of {row.status}. Only a PaymentIntent with one of "
                f"the following statuses may be canceled: {', '.join(OPEN)}.",
            )
        row.status, row.canceled_at, row.cancellation_reason = "canceled", at, reason
        row.next_action_url, row.due_at = None, None
        session.flush()
        emit(session, "payment_intent.canceled", row, at)
    return row


def _stop_waiting(gateways: Gateways, owner: Owner, intent_id: str, at: int) -> None:
    """Let nobody complete a try any more that waits for the customer. One that has been completed is taken over."""
    row = settle(gateways, owner, intent_id, at)
    if row.status != REQUIRES_ACTION:
        return
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        at = owned.time_of(session, owner, row.customer_id, at)
        method = owned.method(session, owner, row.payment_method_id or "")
        gateway, request = _request(gateways, row, method, row.return_url or "")
    charge = gateway.cancel_charge(request)
    if charge is not None and charge.status == charges.SUCCEEDED:
        with transaction() as session:
            row = owned.get(session, PaymentIntent, owner, intent_id)
            charges.record(session, row, owned.method(session, owner, method.id), charge, at)


def settle(gateways: Gateways, owner: Owner, intent_id: str, at: int) -> PaymentIntent:
    """Take over what became of a payment that waits for the customer or for the bank. Raises NotFound."""
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        at = owned.time_of(session, owner, row.customer_id, at)
        if row.status not in (REQUIRES_ACTION, charges.PROCESSING):
            return row
        method = owned.method(session, owner, row.payment_method_id or "")
        gateway, request = _request(gateways, row, method, row.return_url or "", off_session=True)
        before = row.status, row.tries
    charge = gateway.find_charge(request, at)
    with transaction() as session:
        row = owned.get(session, PaymentIntent, owner, intent_id)
        if (row.status, row.tries) != before:
            return row
        if charge is None or charge.status == row.status:
            row.due_at = at + charges.ASKED_AGAIN
        else:
            charges.record(session, row, owned.method(session, owner, method.id), charge, at)
    return row


def unexpected(row: PaymentIntent, sentence: str) -> UnexpectedState:
    """The refusal of what cannot be done in an intent's state, which shows the intent."""
    return UnexpectedState(
        sentence, "payment_intent_unexpected_state", None, payment_intent=intents.payment_intent(row)
    )
