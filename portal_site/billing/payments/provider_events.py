"""Events that providers send to the address of an account: stored when they come, and worked off by the worker, each once.

An event only causes a question: what counts is the provider's answer to that. So events may come twice, late, out of order, or
before what they are about was stored here; what is not there yet is looked for again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from portal_site.billing.customers import payment_methods
from portal_site.billing.errors import GatewayUnavailable, NotFound
from portal_site.billing.gateways import Gateway, ReceivedEvent, Subject
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.models import (
    PaymentAttempt,
    PaymentMethod,
    ProviderCustomer,
    ProviderEvent,
    Refund,
    SetupIntent,
)
from portal_site.billing.payments import collection, disputes, refunds
from portal_site.billing.payments.gateway_events import time_of
from portal_site.db.faults import described, is_of_surroundings
from portal_site.db.transactions import reading, retry_on_conflict, transaction

# In seconds.
BUDGET = 20  # for one run, after which billing waits; what is left is due in the next one
CLAIM = 5 * 60  # after that, another worker takes what one has died over
PAUSES = (
    60,
    5 * 60,
    15 * 60,
    60 * 60,
    6 * 60 * 60,
)  # before the next tries of what is not there yet, or was not answered
UNSCOPED = {"unscoped": "the worker takes the events of all merchants"}
log = logging.getLogger("portal.billing")
Address = Callable[[str], str]


class _NotThereYet(Exception):
    """Nothing here is what the event is about; it may have come before that was stored."""


def receive(
    gateways: Gateways, name: str, account_id: str, headers: Mapping[str, str], body: bytes, at: int
) -> ReceivedEvent:
    """Store an event that came to an account's address; one that is there already changes nothing.

    Raises NotFound for a provider that is not installed, and EventRefused for what is no event of the account's.
    """
    connector = gateways.connector(name)
    if connector is None:
        raise NotFound("No such payment provider: '%(name)s'", "resource_missing", name=name)
    event = connector.read_event(account_id, headers, body, at)
    _store(name, account_id, event, at)
    return event


def catch_up(gateways: Gateways, at: int) -> int:
    """Ask the providers, once an hour, for events that did not come; how many there were."""
    return sum(
        _store(connector.name, account_id, event, at)
        for connector in gateways.connectors()
        for account_id, event in connector.missed_events(at)
    )


def _store(name: str, account_id: str, event: ReceivedEvent, at: int) -> bool:
    """Store an event unless it is there already; whether it was not."""
    row = ProviderEvent(
        account_id=account_id, id=event.id, gateway=name, type=event.type, livemode=event.livemode,
        created=event.created, received_at=at, subject=event.subject, reference=event.reference,
        attempt_id=event.attempt_id, due_at=None if event.subject == Subject.OTHER else at, tries=0, fault=None,
    )  # fmt: skip
    known = select(ProviderEvent.id).where(ProviderEvent.account_id == account_id, ProviderEvent.id == event.id)
    with reading() as reader:
        if reader.scalar(known) is not None:
            return False
    try:
        with transaction() as session:
            if session.scalar(known) is not None:
                return False
            session.add(row)
    except IntegrityError:  # it came twice at once
        return False
    return True


def work_off(gateways: Gateways, at: int, return_url: Address) -> int:
    """Work off the events that are due; how many were. Several workers never take the same.

    `return_url` maps an invoice id to the URL to which the customer returns from authentication.
    """
    count, until = 0, time.monotonic() + BUDGET
    while time.monotonic() < until and (row := _claim(at)) is not None:
        _try(gateways, row, at, return_url)
        count += 1
    return count


def parked() -> list[tuple[str, str, str]]:
    """The events that could not be worked off, as (account, id, why)."""
    query = select(ProviderEvent.account_id, ProviderEvent.id, ProviderEvent.fault)
    query = query.where(ProviderEvent.due_at.is_(None), ProviderEvent.fault.is_not(None)).limit(20)
    with reading() as reader:
        rows = reader.execute(query.execution_options(**UNSCOPED)).all()
    return [(row.account_id, row.id, row.fault or "") for row in rows]


def _claim(at: int) -> ProviderEvent | None:
    """Take the event that is due first, for some minutes. Without one nothing is locked."""
    is_due = ProviderEvent.due_at <= at
    with reading() as reader:
        if reader.scalar(select(func.min(ProviderEvent.due_at)).where(is_due).execution_options(**UNSCOPED)) is None:
            return None
    query = select(ProviderEvent).where(is_due).order_by(ProviderEvent.due_at, ProviderEvent.id).limit(1)
    query = query.with_for_update(skip_locked=True).execution_options(populate_existing=True, **UNSCOPED)
    with transaction() as session:
        row = session.scalar(query)
        if row is not None:
            row.due_at, row.tries = at + CLAIM, row.tries + 1
        return row


def _try(gateways: Gateways, row: ProviderEvent, at: int, return_url: Address) -> None:
    due_at, fault = None, None
    try:
        retry_on_conflict(_ACTIONS[Subject(row.subject)], gateways, row, at, return_url)
    except (_NotThereYet, GatewayUnavailable) as error:
        if row.tries <= len(PAUSES):
            due_at = at + PAUSES[row.tries - 1]
        elif isinstance(error, GatewayUnavailable):
            fault = str(error)
    except Exception as error:
        if is_of_surroundings(error):
            raise
        log.exception("event %s could not be worked off", row.id)
        fault = described(error)
    with transaction() as session:
        known = ProviderEvent.account_id == row.account_id, ProviderEvent.id == row.id
        stored = session.scalars(select(ProviderEvent).where(*known)).one()
        stored.due_at, stored.fault = due_at, fault


def _settle_charge(gateways: Gateways, row: ProviderEvent, at: int, return_url: Address) -> None:
    with transaction() as session:
        mine = PaymentAttempt.account_id == row.account_id
        is_it = PaymentAttempt.gateway_reference == row.reference, PaymentAttempt.settled_at.is_(None)
        attempt = session.scalar(select(PaymentAttempt).where(mine, *is_it).limit(1))
        if attempt is None and row.attempt_id is not None:  # it is settled, or the answer with the reference was lost
            attempt = session.scalar(select(PaymentAttempt).where(mine, PaymentAttempt.id == row.attempt_id))
        now = time_of(session, attempt.customer_id, at) if attempt is not None else at
    if attempt is None:
        raise _NotThereYet
    if attempt.settled_at is None:
        whose = attempt.customer_id, attempt.invoice_id
        collection.resolve_payment(gateways, *whose, now, return_url(attempt.invoice_id), off_session=True)


def _finish_setup(gateways: Gateways, row: ProviderEvent, at: int, _return_url: Address) -> None:
    begun, now = _find(row, SetupIntent, SetupIntent.gateway_reference, SetupIntent.gateway, at)
    payment_methods.finish_adding(gateways, begun.customer_id, begun.id, now)


def _renew_method(gateways: Gateways, row: ProviderEvent, at: int, _return_url: Address) -> None:
    method, now = _find(row, PaymentMethod, PaymentMethod.gateway_reference, PaymentMethod.gateway, at)
    payment_methods.renew(gateways, method.customer_id, method.id, now)


def _settle_refund(gateways: Gateways, row: ProviderEvent, at: int, _return_url: Address) -> None:
    """A refund of ours whose outcome is known now, or one that was made at the provider."""
    try:
        refund, now = _find(row, Refund, Refund.gateway_reference, None, at)
    except _NotThereYet:
        details = _gateway_of(gateways, row).find_refund(row.reference)
        if details is None:
            raise
        refunds.record_outside(gateways, row.account_id, details, at)
        return
    refunds.ask(gateways, refund.customer_id, refund.id, now)


def _follow_dispute(gateways: Gateways, row: ProviderEvent, at: int, _return_url: Address) -> None:
    details = _gateway_of(gateways, row).find_dispute(row.reference)
    if details is None:
        raise _NotThereYet
    disputes.record(row.account_id, details, at)


def _gateway_of(gateways: Gateways, row: ProviderEvent) -> Gateway:
    """Raises GatewayUnavailable if it is not connected any more."""
    gateway = gateways.named(row.gateway, row)
    if gateway is None:
        raise GatewayUnavailable(f"{row.gateway} is not connected")
    return gateway


def _forget_customer(_gateways: Gateways, row: ProviderEvent, at: int, _return_url: Address) -> None:
    known, now = _find(row, ProviderCustomer, ProviderCustomer.reference, ProviderCustomer.gateway, at)
    payment_methods.lose_all(known.customer_id, row.gateway, now)


def _find(row: ProviderEvent, kind: Any, reference: Any, gateway: Any, at: int) -> tuple[Any, int]:
    """The account's row of this kind that an event is about, and its customer's time. Raises _NotThereYet."""
    of_gateway = [] if gateway is None else [gateway == row.gateway]
    query = select(kind).where(kind.account_id == row.account_id, reference == row.reference, *of_gateway)
    with transaction() as session:
        found = session.scalar(query)
        if found is None:
            raise _NotThereYet
        return found, time_of(session, found.customer_id, at)


_ACTIONS: Mapping[Subject, Callable[[Gateways, ProviderEvent, int, Address], None]] = {
    Subject.CHARGE: _settle_charge,
    Subject.SETUP: _finish_setup,
    Subject.PAYMENT_METHOD: _renew_method,
    Subject.REFUND: _settle_refund,
    Subject.DISPUTE: _follow_dispute,
    Subject.CUSTOMER: _forget_customer,
}
