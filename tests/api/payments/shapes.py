"""Answers as Stripe's OpenAPI document describes them: required members, types, nullable ones and enumerations."""

import gzip
import json
from functools import lru_cache
from typing import Any

import pytest

from tests.conftest import SHARED

DOCUMENT = SHARED / "stripe-openapi.json.gz"
NO_FACTS = pytest.mark.skipif(not DOCUMENT.exists(), reason="the recorded facts about the API are not here")
_TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list,
}  # fmt: skip


@lru_cache(maxsize=1)
def schemas() -> dict[str, Any]:
    """The schemas of the document."""
    found: dict[str, Any] = json.loads(gzip.decompress(DOCUMENT.read_bytes()))["components"]["schemas"]
    return found


def faults(value: Any, schema: dict[str, Any], place: str) -> list[str]:
    """What is wrong with a value. A member that the schema does not know is wrong, too."""
    if "$ref" in schema:
        schema = schemas()[schema["$ref"].rpartition("/")[2]]
    if value is None:
        return [] if schema.get("nullable") else [f"{place} is null"]
    if "anyOf" in schema:
        tried = [faults(value, one, place) for one in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    kind = schema.get("type")
    is_wrong = kind is not None and (
        not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    )
    if is_wrong:
        return [f"{place} is no {kind}: {value!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place} is {value!r}, none of {schema['enum']}"]
    if kind == "array":
        return [one for each in value for one in faults(each, schema["items"], f"{place}[]")]
    return _of_object(value, schema, place) if kind == "object" else []


def _of_object(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    known, more = schema.get("properties", {}), schema.get("additionalProperties")
    found = [f"{place}.{name} is missing" for name in schema.get("required", []) if name not in value]
    for name, member in value.items():
        if name in known:
            found += faults(member, known[name], f"{place}.{name}")
        elif not isinstance(more, dict) and known:
            found.append(f"{place}.{name} is not known")
    return found


def check(answer: Any, name: str) -> Any:
    """The answer, after checking it, or each element of a list, against the schema with this name."""
    if not DOCUMENT.exists():
        return answer
    for one in answer["data"] if answer.get("object") == "list" else [answer]:
        found = faults(one, schemas()[name], name)
        assert found == [], found
    return answer


def check_error(answer: Any) -> Any:
    """The error of an answer, after checking it."""
    return check(answer["error"], "api_errors")
