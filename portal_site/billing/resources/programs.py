"""What programs have: events, webhook endpoints and API keys. Of keys Stripe's API has none: their shape is for the log."""

from typing import Any

from portal_site.billing.models.columns import values
from portal_site.db.json_columns import JsonObject

API_VERSION = "2026-08-26.dahlia"  # the version of Stripe's API whose shapes all these objects have


def api_key(row: Any) -> JsonObject:
    """A key, without its token."""
    return {
        "object": "api_key",
        "id": row.id,
        "livemode": row.livemode,
        "created": row.created,
        "name": row.name,
        "redacted": row.redacted,
        "rights": row.rights,
        "expires_at": row.expires_at,
    }


def event(row: Any, pending: int, account_id: str | None = None) -> JsonObject:
    """An event with the number of deliveries that are pending. `account_id` is a connected account's, for its platform."""
    owner = {} if account_id is None else {"account": account_id}
    return {
        "object": "event",
        **values(row, "id", "created", "data", "livemode", "type"),
        **owner,
        "api_version": API_VERSION,
        "pending_webhooks": pending,
        "request": {"id": row.request_id, "idempotency_key": row.idempotency_key},
    }


def webhook_endpoint(row: Any, secret: str | None = None) -> JsonObject:
    """A webhook endpoint; in the answer to its creation with its secret."""
    shown = {
        "object": "webhook_endpoint",
        **values(row, "id", "api_version", "created", "description", "enabled_events", "livemode", "status", "url"),
        "application": None,
        "metadata": row.metadata_,
    }
    return shown if secret is None else {**shown, "secret": secret}
