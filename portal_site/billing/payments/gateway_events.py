"""Events that payment providers send us. An event is a reason to ask, never an answer: only what the provider says then counts.

So an event that comes twice, late, out of order or before our own row knows its charge does nothing wrong.
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
    """Ask the provider `name` about the payment that its event is about; None when no payment under way is.

    `return_url` makes the address to which a bank sends the customer of an invoice back. Raises NotFound for a provider that we
    do not work with, and EventRefused for an event that is not the provider's.
    """
    gateway = gateways.named(name)
    if gateway is None:
        raise NotFound("No such payment provider: '%(name)s'", "resource_missing", name=name)
    event = gateway.parse_event(headers, body)
    if event is None:
        return None
    with transaction() as session:
        attempt = _attempt_of(session, name, event)
        at = _time_of(session, attempt.customer_id, at) if attempt else at
    if attempt is None:
        return None
    whose = attempt.customer_id, attempt.invoice_id
    return collection.resolve_payment(gateways, *whose, at, return_url(attempt.invoice_id), off_session=True)


def _attempt_of(session: Session, gateway: str, event: GatewayEvent) -> PaymentAttempt | None:
    """The payment under way that the event is about: by the provider's reference, or by our key where that is not known yet."""
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


def _time_of(session: Session, customer_id: str, real: int) -> int:
    """What time it is for the customer, who may live by a test clock."""
    clock = (
        select(TestClock.frozen_time)
        .join(Customer, Customer.test_clock_id == TestClock.id)
        .where(Customer.id == customer_id)
    )
    frozen = session.scalar(clock.execution_options(**UNSCOPED))
    return real if frozen is None else frozen
