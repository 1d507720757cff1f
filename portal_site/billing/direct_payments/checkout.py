"""Checkout sessions in setup mode: the customer saves a payment method on the provider's page, and returns to the merchant's."""

from collections.abc import Callable, Mapping
from typing import Any

from portal_site.billing.customers import customers, payment_methods
from portal_site.billing.direct_payments import owned, setups
from portal_site.billing.direct_payments.owned import Owner
from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import CustomerDetails
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import CheckoutSession, PaymentMethod, SetupIntent
from portal_site.billing.resources import payments
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.portal import safe_urls
from portal_site.db.transactions import transaction
from portal_site.ids import ordered_id

PLACEHOLDER = "{CHECKOUT_SESSION_ID}"
HOUR = 60 * 60
SHORTEST, LONGEST = HOUR // 2, 24 * HOUR
OPEN, COMPLETE, EXPIRED = "open", "complete", "expired"


def create(
    gateways: Gateways, owner: Owner, wanted: Mapping[str, Any], at: int, return_page: Callable[[str], str]
) -> CheckoutSession:
    """Make a session with its setup intent and its page, from which one returns to `return_page` of the session's id.

    Raises NotFound and BillingError.
    """
    name, gateway = gateways.simulated()
    session_id = ordered_id("cs_live" if owner.livemode else "cs_test")
    success_url = safe_urls.check(wanted["success_url"].replace(PLACEHOLDER, session_id), "success_url")
    cancel_url = safe_urls.check(wanted["cancel_url"], "cancel_url") if wanted.get("cancel_url") else None
    allowed = setups.types(wanted.get("payment_method_types"))
    expires_at = wanted.get("expires_at") or at + LONGEST
    if not SHORTEST <= expires_at - at <= LONGEST:
        raise BillingError(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.", "", "expires_at"
        )
    if not allowed and not wanted.get("currency"):
        raise BillingError("Missing required param: currency.", "parameter_missing", "currency")
    currency = members.currency(wanted["currency"], "currency") if wanted.get("currency") else None
    offered = allowed or [kind for kind in setups.TYPES if kind == payments.CARD or currency == "eur"]
    with transaction() as session:
        customer = customers.locked(session, owner.account_id, owner.livemode, wanted["customer"], "customer")
        now = customers.time_of(session, customer, at)
    known = CustomerDetails(customer.id, customer.livemode, customer.name, customer.email)
    provider = gateways.named(name, owner)
    reference = provider.create_customer(known, f"customer_{customer.id}") if provider is not None else customer.id
    page = gateway.begin_checkout(reference, return_page(session_id), cancel_url, offered)
    with transaction() as session:
        intent = setups.begun(
            owner, customer.id, name, {**wanted.get("setup_intent_data", {}), "payment_method_types": offered}, now
        )
        intent.gateway_reference, intent.client_secret = page.reference, setups.secret_of(intent.id)
        row = CheckoutSession(
            id=session_id, account_id=owner.account_id, livemode=owner.livemode, created=now, customer_id=customer.id,
            setup_intent_id=intent.id, expires_at=expires_at, status=OPEN, currency=currency, payment_method_types=offered,
            client_reference_id=wanted.get("client_reference_id"), success_url=success_url, cancel_url=cancel_url,
            url=page.url, metadata_=members.metadata(wanted.get("metadata") or {}, {}),
        )  # fmt: skip
        session.add_all([intent, row])
        session.flush()
        emit(session, "setup_intent.created", intent, now)
    return row


def settle(gateways: Gateways, owner: Owner, session_id: str, at: int) -> CheckoutSession:
    """Take over what the customer has entered on the page: the session is complete then. One whose time is over expires.

    Raises NotFound.
    """
    with transaction() as session:
        row = owned.get(session, CheckoutSession, owner, session_id)
        intent = owned.get(session, SetupIntent, owner, row.setup_intent_id)
        now = owned.time_of(session, owner, row.customer_id, at)
        is_gone = owned.is_deleted(session, owner, row.customer_id)
    if row.status != OPEN:
        return row
    if is_gone:
        return expire(gateways, owner, session_id, at)
    method = payment_methods.finish_adding(gateways, row.customer_id, intent.id, now, is_default=False)
    if method is None:
        return expire(gateways, owner, session_id, at) if row.expires_at <= at else row
    return _complete(owner, session_id, now)


def _complete(owner: Owner, session_id: str, at: int) -> CheckoutSession:
    with transaction() as session:
        row = owned.get(session, CheckoutSession, owner, session_id)
        intent = owned.get(session, SetupIntent, owner, row.setup_intent_id)
        if row.status == OPEN:
            method = owned.get(session, PaymentMethod, owner, intent.payment_method_id or "")
            if method.type == payments.SEPA_DEBIT:  # who saves an account on a provider's page gives a mandate
                intent.acceptance = {
                    "type": "online",
                    "accepted_at": at,
                    "online": {"ip_address": None, "user_agent": None},
                }
            row.status = COMPLETE
            session.flush()
            emit(session, "setup_intent.succeeded", intent, at)
            emit(session, "checkout.session.completed", row, at)
    return row


def expire(gateways: Gateways, owner: Owner, session_id: str, at: int) -> CheckoutSession:
    """End an open session: its page is gone. Raises NotFound and BillingError."""
    _, gateway = gateways.simulated()
    with transaction() as session:
        row = owned.get(session, CheckoutSession, owner, session_id)
        intent = owned.get(session, SetupIntent, owner, row.setup_intent_id)
        if row.status != OPEN:
            raise BillingError(
                "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of "
                "`%(status)s`.", "", "session", status=row.status,
            )  # fmt: skip
        row.status = EXPIRED
        intent.status, intent.cancellation_reason = "canceled", "abandoned"
        session.flush()
        now = owned.time_of(session, owner, row.customer_id, at)
        emit(session, "setup_intent.canceled", intent, now)
        emit(session, "checkout.session.expired", row, now)
    gateway.end_setup(intent.gateway_reference)
    return row
