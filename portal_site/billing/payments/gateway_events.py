"""Events from payment providers. An event only causes a query: what counts is the provider's answer to that.

So events may come twice, late, out of order, or before the answer to the charge was stored.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import false, or_, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import NotFound
from portal_site.billing.gateways import GatewayEvent
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import Customer, PaymentAttempt, PaymentMethod, TestClock
from portal_site.billing.payments import collection
from portal_site.db.transactions import transaction

UNSCOPED = {"unscoped": "a provider names a charge, not whose it is"}


def handle_gateway_event(
    gateways: Gateways, name: str, headers: Mapping[str, str], body: bytes, at: int, return_url: Callable[[str], str]
) -> PaymentAttempt | None:
    """Ask the provider `name` about the payment of its event. Returns None if that is no unsettled payment.

    `return_url` maps an invoice id to the URL to return to from authentication. Raises NotFound for a provider that is
    not installed, and EventRefused for an event that the provider did not sign.
    """
    gateway = gateways.shared(name)
    if gateway is None:
        raise NotFound("No such payment provider: '%(name)s'", "resource_missing", name=name)
    event = gateway.parse_event(headers, body)
    if event is None:
        return None
    with transaction() as session:
        attempt = _attempt_of(session, name, event)
        at = time_of(session, attempt.customer_id, at) if attempt else at
    if attempt is None:
        return None
    whose = attempt.customer_id, attempt.invoice_id
    return collection.resolve_payment(gateways, *whose, at, return_url(attempt.invoice_id), off_session=True)


def _attempt_of(session: Session, gateway: str, event: GatewayEvent) -> PaymentAttempt | None:
    """The unsettled payment of the event: by the provider's reference, or by the idempotency key if that is not stored yet."""
    names = []
    if event.charge_reference is not None:
        names.append(PaymentAttempt.gateway_reference == event.charge_reference)
    if event.idempotency_key is not None:
        names.append(PaymentAttempt.idempotency_key == event.idempotency_key)
    query = (
        select(PaymentAttempt)
        .join(PaymentMethod, PaymentMethod.id == PaymentAttempt.payment_method_id)
        .where(or_(false(), *names), PaymentAttempt.settled_at.is_(None), PaymentMethod.gateway == gateway)
        .limit(1)
    )
    return session.scalar(query.execution_options(**UNSCOPED))


def time_of(session: Session, customer_id: str, real: int) -> int:
    """The customer's current instant: that of its test clock, else the real one."""
    clock = (
        select(TestClock.frozen_time)
        .join(Customer, Customer.test_clock_id == TestClock.id)
        .where(Customer.id == customer_id)
    )
    frozen = session.scalar(clock.execution_options(**UNSCOPED))
    return real if frozen is None else frozen
