"""`/v1/webhook_endpoints`: making, changing and deleting them, their list, and one of them."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from flask import Response, current_app, g
from sqlalchemy.engine import Row

from portal_site.api import answers, fields, lists, parameters
from portal_site.api.fields import UNSET, Metadata
from portal_site.api.idempotency import idempotent
from portal_site.api.parameters import Filled, ListParameters, Parameters, Text, Texts, Truth
from portal_site.api.routes import route
from portal_site.billing.api_access.api_keys import READ, WRITE
from portal_site.billing.models import WebhookEndpoint
from portal_site.billing.resources import programs as shapes
from portal_site.billing.resources.lists import deleted
from portal_site.billing.webhooks import endpoints
from portal_site.db.json_columns import JsonObject
from portal_site.deliveries import targets

KIND, AREA, NOUN = "webhook_endpoint", "webhook_endpoints", "webhook endpoint"


class _One(Parameters):
    KIND: ClassVar[str] = KIND


class _List(ListParameters):
    KIND: ClassVar[str] = KIND


class _New(Parameters):
    KIND: ClassVar[str] = KIND
    url: Filled
    enabled_events: Texts
    api_version: Text = None
    connect: Annotated[Truth | None, UNSET] = None
    description: Text = None
    metadata: Metadata = None


class _Changes(Parameters):
    KIND: ClassVar[str] = KIND
    url: Filled | None = None
    enabled_events: Texts | None = None
    description: Text = None
    disabled: Truth | None = None
    metadata: Metadata = None


@route("POST", "/webhook_endpoints", AREA, WRITE)
@idempotent
def create_webhook_endpoint() -> Response:
    """Make an endpoint. Its secret is in this answer only."""
    wanted = parameters.read(_New)
    _check(wanted.url)
    made = endpoints.create(g.caller.account_id, g.caller.livemode, fields.given(wanted), g.now)
    return answers.json(shapes.webhook_endpoint(made.row, made.secret))


@route("GET", "/webhook_endpoints", AREA, READ)
def list_webhook_endpoints() -> Response:
    """The endpoints, the newest first."""
    wanted = parameters.read(_List)
    there = WebhookEndpoint.deleted_at.is_(None)
    return answers.json(lists.page(WebhookEndpoint, wanted, "/v1/webhook_endpoints", NOUN, _shown, there))


def _shown(rows: Sequence[Row[Any]]) -> list[JsonObject]:
    return [shapes.webhook_endpoint(row) for row in rows]


@route("GET", "/webhook_endpoints/<name>", AREA, READ)
def retrieve_webhook_endpoint(name: str) -> Response:
    """One endpoint."""
    parameters.read(_One)
    row = lists.one(WebhookEndpoint, name)
    if row is None or row.deleted_at is not None:
        raise answers.missing(NOUN, name, "webhook_endpoint")
    return answers.json(shapes.webhook_endpoint(row))


@route("POST", "/webhook_endpoints/<name>", AREA, WRITE)
@idempotent
def update_webhook_endpoint(name: str) -> Response:
    """Change an endpoint, or switch it off and on."""
    wanted = parameters.read(_Changes)
    if wanted.url is not None:
        _check(wanted.url)
    row = endpoints.change(g.caller.account_id, g.caller.livemode, name, fields.given(wanted), g.now)
    return answers.json(shapes.webhook_endpoint(row))


@route("DELETE", "/webhook_endpoints/<name>", AREA, WRITE)
def delete_webhook_endpoint(name: str) -> Response:
    """Delete an endpoint for ever."""
    parameters.read(_One)
    endpoints.delete(g.caller.account_id, g.caller.livemode, name, g.now)
    return answers.json(deleted(KIND, name))


def _check(url: str) -> None:
    """Raise BillingError for an address in a private network."""
    targets.check_url(url, current_app.config["SETTINGS"].webhook_networks)
