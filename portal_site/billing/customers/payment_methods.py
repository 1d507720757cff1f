"""A customer's payment methods: adding one on the gateway's page, choosing the default, and removing one."""

import logging
from collections.abc import Callable

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.events.emission import emit
from portal_site.billing.gateways import CustomerDetails, Gateway, PaymentDetails
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.loading import ownership
from portal_site.billing.models import Customer, PaymentMethod, ProviderCustomer, SetupIntent, Subscription
from portal_site.billing.models.columns import values
from portal_site.billing.rules.customers.payment_methods import why_not_removable
from portal_site.billing.rules.subscriptions.statuses import ENDED
from portal_site.billing.subscriptions import trials
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

log = logging.getLogger("portal.billing")
RENEWED = ("brand", "last4", "exp_month", "exp_year", "funding", "country", "fingerprint", "wallet")


def begin_adding(gateways: Gateways, customer_id: str, at: int, return_url: Callable[[str], str]) -> str:
    """The URL of the gateway's page for entering a payment method. `return_url` maps the setup's id to the URL to return to."""
    setup_id = new_id("seti")
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
    gateway = gateways.preferred(customer)
    setup = gateway.begin_setup(_provider_customer(gateway, customer, at), customer.livemode, return_url(setup_id))
    with transaction() as session:
        row = SetupIntent(
            id=setup_id,
            account_id=customer.account_id,
            customer_id=customer_id,
            livemode=customer.livemode,
            created=at,
            gateway=gateway.name,
            gateway_reference=setup.reference,
        )
        session.add(row)
    return setup.url


def _provider_customer(gateway: Gateway, customer: Customer, at: int) -> str:
    """The provider's id of a customer, which is created there if necessary."""
    mine = ProviderCustomer.customer_id == customer.id, ProviderCustomer.gateway == gateway.name
    with transaction() as session:
        known = session.scalar(select(ProviderCustomer.reference).where(*mine))
    if known is not None:
        return known
    details = CustomerDetails(customer.id, customer.livemode, customer.name, customer.email)
    reference = gateway.create_customer(details, f"customer_{customer.id}")
    with transaction() as session:
        ownership.lock_customer(session, customer.id)
        known = session.scalar(select(ProviderCustomer.reference).where(*mine))
        if known is None:  # otherwise a concurrent request stored it, with the same key
            row = ProviderCustomer(
                id=new_id("pcus"),
                account_id=customer.account_id,
                customer_id=customer.id,
                livemode=customer.livemode,
                created=at,
                gateway=gateway.name,
                reference=reference,
            )
            session.add(row)
    return known or reference


def finish_adding(
    gateways: Gateways, customer_id: str, setup_id: str, at: int, *, is_default: bool = True
) -> PaymentMethod | None:
    """Store the payment method that was entered at the gateway, and make it the default. Returns None if there is none.

    One that is not to be the default (`is_default`) can be chosen for single payments. A second call for the same setup intent
    returns the same payment method. Raises NotFound.
    """
    with transaction() as session:
        begun = ownership.get_owned(session, SetupIntent, customer_id, setup_id)
    gateway = gateways.named(begun.gateway, begun) if begun.gateway else gateways.preferred(begun)
    setup = gateway.find_setup(begun.gateway_reference) if gateway else None
    if gateway is None or setup is None or setup.details is None:
        return None
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        intent = ownership.get_owned(session, SetupIntent, customer_id, setup_id, lock=True)
        if intent.payment_method_id is not None:
            return ownership.get_owned(session, PaymentMethod, customer_id, intent.payment_method_id)
        method = _attached(customer, setup.details, gateway.name, at)
        session.add(method)
        session.flush()
        intent.payment_method_id, intent.status = method.id, "succeeded"
        emit(session, "payment_method.attached", method, at)
        if is_default:
            _choose(session, customer, method, at)
    return method


def _attached(customer: Customer, details: PaymentDetails, gateway: str, at: int) -> PaymentMethod:
    return PaymentMethod(
        id=new_id("pm"),
        account_id=customer.account_id,
        customer_id=customer.id,
        livemode=customer.livemode,
        created=at,
        type=details.type,
        brand=details.brand,
        last4=details.last4,
        exp_month=details.exp_month,
        exp_year=details.exp_year,
        funding=details.funding,
        country=details.country,
        fingerprint=details.fingerprint,
        wallet=details.wallet,
        mandate_reference=details.mandate.reference if details.mandate else None,
        mandate_url=details.mandate.url if details.mandate else None,
        gateway=gateway,
        gateway_reference=details.reference,
    )


def make_default(customer_id: str, method_id: str, at: int) -> PaymentMethod:
    """Make this the default payment method of the customer and of all of its subscriptions. Raises NotFound."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        method = _own_attached(session, customer_id, method_id)
        _choose(session, customer, method, at)
    return method


def _choose(session: Session, customer: Customer, method: PaymentMethod, at: int) -> None:
    previous = customer.default_payment_method_id
    if previous != method.id:
        customer.default_payment_method_id = method.id
        before = {"invoice_settings": {"default_payment_method": previous}}
        emit(session, "customer.updated", customer, at, previous=before)
    # Otherwise a subscription with a payment method of its own would still be charged to it, unnoticed by the customer.
    session.execute(
        update(Subscription)
        .where(Subscription.customer_id == customer.id, Subscription.status.not_in(ENDED))
        .values(default_payment_method_id=None)
    )
    trials.follow_payment_method(session, customer, at)


def remove(gateways: Gateways, customer_id: str, method_id: str, at: int) -> PaymentMethod:
    """Remove a payment method, here and at the gateway. Raises BillingError while it is needed."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        method = _own_attached(session, customer_id, method_id)
        refusal = why_not_removable(
            is_default=customer.default_payment_method_id == method.id,
            others=_count_others(session, method),
            needed=_is_needed(session, customer_id),
        )
        if refusal is not None:
            raise refusal
        _detach(session, customer, method, at)
    forget(gateways, method)
    return method


def renew(gateways: Gateways, customer_id: str, method_id: str, at: int) -> PaymentMethod:
    """Take over what the provider says of a payment method now: networks replace cards, and some are detached elsewhere.

    Raises NotFound, and GatewayUnavailable.
    """
    with transaction() as session:
        method = ownership.get_owned(session, PaymentMethod, customer_id, method_id)
    gateway = gateways.for_method(method)
    if gateway is None or not method.gateway_reference or method.detached_at is not None:
        return method
    details = gateway.find_method(method.gateway_reference)
    with transaction() as session:
        customer = _lock_customer(session, customer_id)
        method = ownership.get_owned(session, PaymentMethod, customer_id, method_id, lock=True)
        if method.detached_at is not None:
            return method
        if details is None:
            _detach(session, customer, method, at)
            return method
        now = {name: getattr(details, name) for name in RENEWED}
        previous = {name: value for name, value in values(method, *RENEWED).items() if value != now[name]}
        for name in previous:
            setattr(method, name, now[name])
        if previous:
            session.flush()
            emit(session, "payment_method.automatically_updated", method, at, previous={method.type: previous})
        return method


def lose_all(customer_id: str, gateway: str, at: int) -> None:
    """The provider has deleted its customer, and with it all payment methods: none of them can be charged any more."""
    with transaction() as session:
        customer = _lock_customer(session, customer_id)
        mine = PaymentMethod.customer_id == customer_id, PaymentMethod.gateway == gateway
        for method in session.scalars(select(PaymentMethod).where(*mine, PaymentMethod.detached_at.is_(None))).all():
            _detach(session, customer, method, at)
        session.execute(
            delete(ProviderCustomer).where(
                ProviderCustomer.customer_id == customer_id, ProviderCustomer.gateway == gateway
            )
        )


def detach_all(session: Session, customer: Customer, at: int) -> list[PaymentMethod]:
    """Detach all payment methods of a locked customer that is deleted. The caller has the gateways forget them."""
    mine = PaymentMethod.customer_id == customer.id, PaymentMethod.detached_at.is_(None)
    methods = list(session.scalars(select(PaymentMethod).where(*mine)))
    for method in methods:
        _detach(session, customer, method, at)
    return methods


def detach(gateways: Gateways, customer_id: str, method_id: str, at: int) -> PaymentMethod:
    """Detach a payment method as a merchant's program may at any time: also the last or the default one. Raises NotFound."""
    with transaction() as session:
        customer = ownership.lock_customer(session, customer_id)
        method = _own_attached(session, customer_id, method_id)
        _detach(session, customer, method, at)
    forget(gateways, method)
    return method


def forget(gateways: Gateways, method: PaymentMethod) -> None:
    """Let the gateway forget a payment method that is detached."""
    gateway = gateways.for_method(method)
    if gateway is not None and method.gateway_reference:
        try:
            gateway.forget(method.gateway_reference)
        except GatewayUnavailable as error:  # it is removed all the same: nothing here charges it any more
            log.warning("%s is removed here, and may still be stored at %s: %s", method.id, gateway.name, error)


def _lock_customer(session: Session, customer_id: str) -> Customer:
    """The customer, locked, even if it is deleted."""
    return session.scalars(select(Customer).where(Customer.id == customer_id).with_for_update()).one()


def _detach(session: Session, customer: Customer, method: PaymentMethod, at: int) -> None:
    method.detached_at = at
    if customer.default_payment_method_id == method.id:
        customer.default_payment_method_id = None
    session.execute(
        update(Subscription)
        .where(Subscription.customer_id == customer.id, Subscription.default_payment_method_id == method.id)
        .values(default_payment_method_id=None)
    )
    trials.follow_payment_method(session, customer, at)
    emit(session, "payment_method.detached", method, at)


def _own_attached(session: Session, customer_id: str, method_id: str) -> PaymentMethod:
    method = ownership.get_owned(session, PaymentMethod, customer_id, method_id, lock=True)
    if method.detached_at is not None:
        raise BillingError(N_("This payment method has already been removed."), "resource_missing")
    return method


def _count_others(session: Session, method: PaymentMethod) -> int:
    others = (
        PaymentMethod.customer_id == method.customer_id,
        PaymentMethod.detached_at.is_(None),
        PaymentMethod.id != method.id,
    )
    return session.scalar(select(func.count()).where(*others)) or 0


def _is_needed(session: Session, customer_id: str) -> bool:
    running = (
        Subscription.customer_id == customer_id,
        Subscription.status.not_in(ENDED),
        Subscription.collection_method == "charge_automatically",
    )
    return session.scalar(select(Subscription.id).where(*running).limit(1)) is not None
