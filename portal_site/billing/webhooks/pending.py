"""How many endpoints an event has not reached yet: those that have to be tried again, and those that come to it later."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select

from portal_site.billing.events import types
from portal_site.billing.models import Account, Event, WebhookDelivery, WebhookEndpoint
from portal_site.billing.webhooks.endpoints import ENABLED, FAILED, PENDING
from portal_site.db.transactions import reading


def owners_of(account_id: str) -> list[str]:
    """Whose endpoints get an account's events: its own and, if it is connected to a platform, that one's."""
    with reading() as reader:
        platform_id = reader.scalar(select(Account.platform_id).where(Account.id == account_id))
    return [account_id, *([platform_id] if platform_id else [])]


def listeners(account_id: str, livemode: bool, owners: Sequence[str]) -> Sequence[Any]:
    """The endpoints that get an account's events, with what they ask for and how far they have come."""
    query = select(WebhookEndpoint.id, WebhookEndpoint.enabled_events, WebhookEndpoint.sequence).where(
        WebhookEndpoint.account_id.in_(owners),
        WebhookEndpoint.livemode == livemode,
        WebhookEndpoint.status == ENABLED,
        WebhookEndpoint.deleted_at.is_(None),
        WebhookEndpoint.connect == (WebhookEndpoint.account_id != account_id),
    )
    with reading() as reader:
        return reader.execute(query).all()


def counts(account_id: str, livemode: bool, events: Sequence[Any]) -> dict[str, int]:
    """For each of an account's events, by its id, how many endpoints it has not reached yet."""
    owners = owners_of(account_id)
    ids = [event.id for event in events]
    waiting = select(WebhookDelivery.event_id, WebhookDelivery.endpoint_id).where(
        WebhookDelivery.account_id.in_(owners), WebhookDelivery.event_id.in_(ids), WebhookDelivery.status == PENDING
    )
    with reading() as reader:
        pairs = {(row.event_id, row.endpoint_id) for row in reader.execute(waiting).all()}
    for endpoint in listeners(account_id, livemode, owners):
        pairs |= {(event.id, endpoint.id) for event in events if is_ahead(endpoint, event)}
    found = Counter(event_id for event_id, _endpoint_id in pairs)
    return {name: found[name] for name in ids}


def is_ahead(endpoint: Any, event: Any) -> bool:
    """Whether an endpoint has still to come to an event that it asks for."""
    wants = endpoint.enabled_events
    return (event.sequence or 0) > endpoint.sequence and (types.ALL in wants or event.type in wants)


def undelivered(account_id: str, livemode: bool) -> ColumnElement[bool]:
    """The condition that an event has not reached each endpoint: it is pending, was given up, or comes later."""
    owners = owners_of(account_id)
    tried = select(WebhookDelivery.id).where(
        WebhookDelivery.account_id.in_(owners),
        WebhookDelivery.event_id == Event.id,
        WebhookDelivery.status.in_((PENDING, FAILED)),
    )
    ahead = [
        and_(Event.sequence > one.sequence, Event.type.in_(_types(one)))
        for one in listeners(account_id, livemode, owners)
    ]
    return or_(tried.exists(), *ahead) if ahead else or_(tried.exists(), false())


def _types(endpoint: Any) -> Sequence[str]:
    return types.TYPES if types.ALL in endpoint.enabled_events else endpoint.enabled_events
