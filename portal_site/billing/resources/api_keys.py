"""API keys. Stripe's API has none; this shape is for the log. It has nothing that a request could be made with."""

from typing import Any

from portal_site.db.json_columns import JsonObject


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
