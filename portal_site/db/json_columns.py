"""The JSON serializer for JSON columns."""

from typing import Any

from pydantic_core import to_json

JsonObject = dict[str, Any]


def json_text(value: Any) -> str:
    """The value as compact JSON."""
    # pydantic is a dependency already and three times as fast as the standard library; a billing run writes many events.
    return to_json(value).decode()
