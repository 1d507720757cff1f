"""Looks into documents of unknown shape without failing on what is not there or of the wrong type."""

from typing import Any

Document = dict[str, Any]


def inner(value: Any) -> Document:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def data(value: Any) -> list[Document]:
    """The objects of a list, or of the `data` of a list object."""
    listed = value.get("data") if isinstance(value, dict) else value
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def id_of(value: Any) -> Any:
    """The id in a reference, which may be expanded."""
    return value.get("id") if isinstance(value, dict) else value
