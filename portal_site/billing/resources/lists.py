"""Lists of objects, and what is left of a deleted one."""

from typing import Any

from portal_site.db.json_columns import JsonObject


def page(url: str, data: list[Any], has_more: bool) -> JsonObject:
    """A page of a `list`; `url` is the path of the whole list."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def search_result(url: str, data: list[Any], next_page: str | None, total_count: int | None) -> JsonObject:
    """A page of a `search_result`; the number of all is left out unless it was asked for."""
    counted = {} if total_count is None else {"total_count": total_count}
    has_more = next_page is not None
    return {
        "object": "search_result",
        "data": data,
        "has_more": has_more,
        "next_page": next_page,
        "url": url,
        **counted,
    }


def deleted(kind: str, name: str) -> JsonObject:
    """What the API still knows of a deleted object."""
    return {"id": name, "object": kind, "deleted": True}
