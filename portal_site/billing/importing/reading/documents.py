"""Looks into documents of unknown shape without failing on what is not there or of the wrong type."""

from portal_site.db.json_columns import JsonObject


def inner(value: object) -> JsonObject:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def data(value: object) -> list[JsonObject]:
    """The objects of a list, or of the `data` of a list object."""
    listed = value.get("data") if isinstance(value, dict) else value
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def id_of(value: object) -> str | None:
    """The id in a reference, which may be expanded; None if it is none."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None
