"""Lists of objects, and what is left of a deleted one."""

from typing import Any

from portal_site.db.json_columns import JsonObject


def page(url: str, data: list[Any], has_more: bool) -> JsonObject:
    """A page of a `list`; `url` is the path of the whole list."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def deleted(kind: str, name: str) -> JsonObject:
    """What the API still knows of a deleted object."""
    return {"id": name, "object": kind, "deleted": True}
