"""What differs between two states of the settings, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from portal_site.billing.models import SettingsVersion
from portal_site.db.json_columns import JsonObject


@dataclass(frozen=True)
class Difference:
    """One setting with its two values, in words."""

    name: str
    one: str
    other: str


NONE = (Difference("Nothing that you changed", "", ""),)


def between(one: JsonObject, other: JsonObject) -> list[Difference]:
    """The settings that differ, in their order."""
    first, second = dict(_flat(one)), dict(_flat(other))
    names = [*first, *(name for name in second if name not in first)]
    return [
        Difference(_words(name), _value(first.get(name)), _value(second.get(name)))
        for name in names
        if first.get(name) != second.get(name)
    ]


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _words(path: str) -> str:
    return path.removeprefix("features.").replace("_", " ").replace(".", ": ").capitalize()


def _value(value: Any) -> str:
    if value is True or value is False:
        return "on" if value else "off"
    if value in (None, "", [], {}):
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_value(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(_value, value))
    return str(value).replace("_", " ") if str(value).islower() and str(value).isidentifier() else str(value)


@dataclass(frozen=True)
class Change:
    """An entry of the history: when, by whom, and what."""

    version: int
    created: int
    actor_type: str | None
    actor_id: str | None
    differences: Sequence[Difference]

    @classmethod
    def of(cls, after: SettingsVersion, before: JsonObject | None) -> Self:
        """From a stored version and the one before it."""
        found = between(before, after.settings) if before is not None else []
        return cls(after.version, after.created, after.actor_type, after.actor_id, found)
