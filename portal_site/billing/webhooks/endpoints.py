"""Webhook endpoints: making, changing, rolling and deleting them. A secret is returned once, when it is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound, ObjectMissing
from portal_site.billing.events import types
from portal_site.billing.events.emission import emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import EventCounter, WebhookDelivery, WebhookEndpoint
from portal_site.billing.resources import programs as shapes
from portal_site.billing.rules.catalog import members
from portal_site.billing.webhooks import signatures
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

ENABLED, DISABLED = "enabled", "disabled"
PENDING, SUCCEEDED, FAILED = "pending", "succeeded", "failed"  # of a delivery
MOST = 16  # endpoints of an account and mode, as at Stripe
LONGEST_URL, LONGEST_DESCRIPTION = 2000, 5000
WEB_PORTS, FIRST_FREE_PORT = (80, 443), 1024  # others belong to services that are no web servers
# Stripe has no events for these; they are for the log.
CREATED, UPDATED, DELETED = "webhook_endpoint.created", "webhook_endpoint.updated", "webhook_endpoint.deleted"
_NOUN = "webhook endpoint"


@dataclass(frozen=True)
class NewSecret:
    """An endpoint with a new secret, which cannot be read again."""

    row: WebhookEndpoint
    secret: str


def create(account_id: str, livemode: bool, wanted: Mapping[str, Any], at: int) -> NewSecret:
    """Make an endpoint, which gets what happens from now on. Raises BillingError.

    `wanted` has `url` and `enabled_events`, and may have `api_version`, `connect`, `description` and `metadata`.
    """
    version = wanted.get("api_version")
    if version not in (None, shapes.API_VERSION):
        raise BillingError(
            "Invalid api_version: events have the shapes of %(version)s here.", "", "api_version",
            version=shapes.API_VERSION,
        )  # fmt: skip
    secret = signatures.new_secret()
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        session.refresh(account, with_for_update=True)  # the endpoints are counted
        own = WebhookEndpoint.account_id == account.id, WebhookEndpoint.livemode == livemode
        there = select(func.count()).select_from(WebhookEndpoint).where(*own, WebhookEndpoint.deleted_at.is_(None))
        if (session.scalar(there) or 0) >= MOST:
            raise BillingError("You have reached the maximum of %(most)s webhook endpoints.", "", "url", most=MOST)
        row = WebhookEndpoint(
            id=new_id("we"), account_id=account.id, livemode=livemode, created=at, status=ENABLED,
            url=checked_url(wanted["url"], livemode), enabled_events=types.check_enabled(wanted["enabled_events"]),
            connect=bool(wanted.get("connect")), description=_description(wanted), api_version=version,
            secret=signatures.sealed(secret), metadata_=members.metadata(wanted.get("metadata") or {}, {}),
            sequence=_last_number(session),
        )  # fmt: skip
        session.add(row)
        session.flush()
        emit(session, CREATED, row, at, document=shapes.webhook_endpoint(row))
        return NewSecret(row, secret)


def _last_number(session: Session) -> int:
    """The number of the last event that there is: an endpoint gets those after it."""
    query = select(EventCounter.last).execution_options(unscoped="the counter is nobody's")
    return session.scalar(query) or 0


def checked_url(url: str, livemode: bool) -> str:
    """The address, if events can be sent there. Raises BillingError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid_url("Not a valid URL") from None
    if len(url) > LONGEST_URL or parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise _invalid_url("Not a valid URL")
    if " " in url or not url.isascii():
        raise _invalid_url("Invalid URL: write it as browsers send it, in ASCII")
    if parts.username is not None or parts.fragment:
        raise _invalid_url("Invalid URL: leave out names, passwords and what comes after #")
    if port is not None and port not in WEB_PORTS and port < FIRST_FREE_PORT:
        raise _invalid_url("Invalid URL: its port must be 80, 443 or above 1023")
    if livemode and parts.scheme != "https":
        raise _invalid_url("Invalid URL: In live mode, URLs must use HTTPS")
    return url


def _invalid_url(words: str) -> BillingError:
    return BillingError(words, "url_invalid", "url")


def _description(wanted: Mapping[str, Any]) -> str | None:
    words = wanted.get("description")
    if words is not None and len(words) > LONGEST_DESCRIPTION:
        raise BillingError("Invalid string: description is too long.", "parameter_invalid_string", "description")
    return words or None


def change(account_id: str, livemode: bool, name: str, changes: Mapping[str, Any], at: int) -> WebhookEndpoint:
    """Change `url`, `enabled_events`, `description`, `metadata` or `disabled`, as far as they are given.

    An endpoint that is enabled again gets what happens from then on. Raises ObjectMissing and BillingError.
    """
    with transaction() as session:
        row = locked(session, account_id, livemode, name)
        before = shapes.webhook_endpoint(row)
        if "url" in changes:
            row.url = checked_url(changes["url"], livemode)
        if "enabled_events" in changes:
            row.enabled_events = types.check_enabled(changes["enabled_events"])
        if "description" in changes:
            row.description = _description(changes)
        if "metadata" in changes:
            row.metadata_ = members.metadata(changes["metadata"], row.metadata_)
        if changes.get("disabled") is not None:
            _switch(session, row, bool(changes["disabled"]))
        if "url" in changes:  # another address is tried at once
            row.paused_until = 0
        session.flush()
        _emit_change(session, row, before, at)
        return row


def _switch(session: Session, row: WebhookEndpoint, disabled: bool) -> None:
    if disabled is (row.status == DISABLED):
        return
    if disabled:
        disable(session, row)
        return
    row.status, row.sequence, row.gave_up_at = ENABLED, _last_number(session), None
    row.failures, row.failing_since, row.paused_until = 0, None, 0


def disable(session: Session, row: WebhookEndpoint) -> None:
    """Let an endpoint get nothing more. What waits for its next try is given up: it would come long after other events."""
    row.status = DISABLED
    own = WebhookDelivery.account_id == row.account_id, WebhookDelivery.endpoint_id == row.id
    waiting = update(WebhookDelivery).where(*own, WebhookDelivery.status == PENDING)
    session.execute(waiting.values(status=FAILED, due_at=None))


def _emit_change(session: Session, row: WebhookEndpoint, before: JsonObject, at: int) -> None:
    document = shapes.webhook_endpoint(row)
    previous = {name: value for name, value in before.items() if document[name] != value}
    if previous:
        emit(session, UPDATED, row, at, document=document, previous=previous)


def roll(account_id: str, livemode: bool, name: str, at: int, kept: int = signatures.KEPT) -> NewSecret:
    """Replace the secret. What is sent is signed with the old one, too, for `kept` more seconds. Raises ObjectMissing."""
    secret = signatures.new_secret()
    with transaction() as session:
        row = locked(session, account_id, livemode, name)
        row.former_secret, row.former_secret_until = row.secret, at + min(max(kept, 0), signatures.KEPT)
        row.secret = signatures.sealed(secret)
        document = shapes.webhook_endpoint(row)
        previous = {"secret_valid_until": row.former_secret_until}
        emit(session, UPDATED, row, at, document={**document, "secret_valid_until": None}, previous=previous)
        return NewSecret(row, secret)


def delete(account_id: str, livemode: bool, name: str, at: int) -> None:
    """Delete an endpoint: it gets nothing more, not even what waits. Raises ObjectMissing."""
    with transaction() as session:
        row = locked(session, account_id, livemode, name)
        disable(session, row)
        row.deleted_at = at
        session.flush()
        emit(session, DELETED, row, at, document=shapes.webhook_endpoint(row))


def get(account_id: str, livemode: bool, name: str) -> WebhookEndpoint:
    """An endpoint of an account and mode. Raises ObjectMissing."""
    with transaction() as session:
        return locked(session, account_id, livemode, name)


def locked(session: Session, account_id: str, livemode: bool, name: str, param: str | None = None) -> WebhookEndpoint:
    """The endpoint, locked. Raises ObjectMissing or, if a parameter names it, NotFound."""
    # No id contains a NUL, and PostgreSQL refuses it as a parameter.
    own = WebhookEndpoint.account_id == account_id, WebhookEndpoint.livemode == livemode
    there = WebhookEndpoint.id == name.replace("\0", ""), WebhookEndpoint.deleted_at.is_(None)
    query = select(WebhookEndpoint).where(*own, *there).with_for_update()
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        error = ObjectMissing if param is None else NotFound
        raise error(
            "No such %(noun)s: '%(id)s'", "resource_missing", param or "webhook_endpoint", noun=_NOUN, id=name
        )  # fmt: skip
    return row


def of_account(account_id: str, livemode: bool | None = None) -> Sequence[WebhookEndpoint]:
    """The endpoints of an account, of one mode or of both, the newest first."""
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.account_id == account_id, WebhookEndpoint.deleted_at.is_(None)
    )
    if livemode is not None:
        query = query.where(WebhookEndpoint.livemode == livemode)
    with transaction() as session:
        return session.scalars(query.order_by(WebhookEndpoint.created.desc(), WebhookEndpoint.id.desc())).all()


def owner(endpoint_id: str) -> tuple[str, bool]:
    """The account and mode of an endpoint that an operator names. Raises NotFound."""
    query = select(WebhookEndpoint.account_id, WebhookEndpoint.livemode).where(
        WebhookEndpoint.id == endpoint_id, WebhookEndpoint.deleted_at.is_(None)
    )
    with reading() as reader:
        found = reader.execute(
            query.execution_options(unscoped="an operator names an endpoint, whoever's it is")
        ).one_or_none()
    if found is None:
        raise NotFound("No such %(noun)s: '%(id)s'", "resource_missing", "webhook_endpoint", noun=_NOUN, id=endpoint_id)
    return found.account_id, found.livemode


def given_up() -> list[tuple[str, str]]:
    """The endpoints that were disabled because nothing had reached them, as (id, account)."""
    query = select(WebhookEndpoint.id, WebhookEndpoint.account_id).where(
        WebhookEndpoint.gave_up_at.is_not(None), WebhookEndpoint.deleted_at.is_(None)
    )
    with reading() as reader:
        rows = reader.execute(
            query.order_by(WebhookEndpoint.id).execution_options(unscoped="an operator looks at all accounts")
        ).all()
    return [(row.id, row.account_id) for row in rows]
