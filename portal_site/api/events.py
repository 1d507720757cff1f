"""`/v1/events`: what happened in the last 30 days, one event, and sending one to an endpoint again."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from flask import Response, g
from sqlalchemy import ColumnElement
from sqlalchemy.engine import Row

from portal_site.api import answers, lists, parameters
from portal_site.api.answers import ApiError
from portal_site.api.fields import UNSET
from portal_site.api.idempotency import idempotent
from portal_site.api.parameters import Filled, Instants, ListParameters, Parameters, Text, Texts, Truth
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.events import types
from portal_site.billing.models import Event
from portal_site.billing.resources import programs as shapes
from portal_site.billing.webhooks import pending, queue
from portal_site.db.json_columns import JsonObject

KIND, AREA = "event", "events"
LISTED = 30 * 24 * 60 * 60  # seconds for which an event is in the list
MOST_TYPES = 20


class _List(ListParameters):
    KIND: ClassVar[str] = KIND
    created: Instants | None = None
    delivery_success: Annotated[Truth | None, UNSET] = None
    type: Text = None
    types: Texts | None = None


class _One(Parameters):
    KIND: ClassVar[str] = KIND


class _Retry(Parameters):
    KIND: ClassVar[str] = KIND
    webhook_endpoint: Filled


@route("GET", "/events", AREA, READ)
def list_events() -> Response:
    """The events of the last 30 days, the newest first."""
    wanted = parameters.read(_List)
    conditions = [Event.created >= g.now - LISTED, *lists.between(Event.created, wanted.created), _of_types(wanted)]
    if wanted.delivery_success is not None:
        undelivered = pending.undelivered(g.caller.account_id, g.caller.livemode)
        conditions.append(~undelivered if wanted.delivery_success else undelivered)
    return answers.json(lists.page(Event, wanted, "/v1/events", KIND, _shown, *conditions))


def _of_types(wanted: _List) -> ColumnElement[bool]:
    """The condition of the types; without any, all that are Stripe's."""
    if wanted.type is not None and wanted.types:
        raise ApiError(400, "You may only specify one of these parameters: type, types.")
    if wanted.types and len(wanted.types) > MOST_TYPES:
        raise ApiError(400, f"You can name at most {MOST_TYPES} types.", None, "types")
    named = wanted.types or ([wanted.type] if wanted.type is not None else [types.ALL])
    return Event.type.in_(list(dict.fromkeys(name for one in named for name in types.matching(one))))


def _shown(rows: Sequence[Row[Any]]) -> list[JsonObject]:
    counts = pending.counts(g.caller.account_id, g.caller.livemode, rows)
    return [shapes.event(row, counts[row.id]) for row in rows]


@route("GET", "/events/<name>", AREA, READ)
def retrieve_event(name: str) -> Response:
    """One event."""
    parameters.read(_One)
    return answers.json(_found(name))


def _found(name: str) -> JsonObject:
    row = lists.one(Event, name)
    if row is None or row.type not in types.KNOWN:
        raise answers.missing(KIND, name, "id")
    return _shown([row])[0]


@route("POST", "/events/<name>/retry", AREA, WRITE)
@idempotent
def retry_event(name: str) -> Response:
    """Send an event to one of the account's endpoints again."""
    wanted = parameters.read(_Retry)
    found = _found(name)
    queue.send_again(g.caller.account_id, g.caller.livemode, found["id"], wanted.webhook_endpoint, g.now)
    return answers.json(_found(name))
