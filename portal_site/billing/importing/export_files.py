"""Parses an export file into validated objects, and reports the result of an import."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing.billing_schemas import SubscriptionShape
from portal_site.billing.importing.field_types import Shape
from portal_site.billing.importing.row_mapping import KINDS


@dataclass
class ImportReport:
    """The result of an import.

    `added` counts the stored rows by table name, and `waiting` the pending updates that were left out. `renewed` counts the
    subscriptions that are billed here from now on, and `stale` those that are not, because their period has already ended.
    """

    added: Counter[str] = field(default_factory=Counter)
    present: int = 0
    unknown_members: int = 0
    unknown_objects: int = 0
    waiting: int = 0
    renewed: int = 0
    stale: int = 0

    def sentence(self) -> str:
        """The result in English, for the terminal."""
        parts = ", ".join(f"{count} {kind}" for kind, count in self.added.items()) or "nothing new"
        notes = [f"Imported {parts}."]
        if self.present:
            notes.append(f"{self.present} objects were there already and stay as they are.")
        if self.unknown_objects:
            notes.append(f"{self.unknown_objects} objects of other types were left out.")
        if self.unknown_members:
            notes.append(f"{self.unknown_members} members that this version does not know were left out.")
        if self.waiting:
            notes.append(
                f"{self.waiting} changes that wait for their payment were left out: the other system makes them."
            )
        if self.renewed:
            notes.append(f"{self.renewed} subscriptions are renewed here from the end of their period on.")
        if self.stale:
            notes.append(f"{self.stale} subscriptions ended their period before now: `portal unpark` bills them.")
        return " ".join(notes)


def parse(text: bytes, report: ImportReport) -> dict[str, list[Shape]]:
    """The validated objects of a file by type. Raises ImportRefused, naming the first invalid object."""
    try:
        document = json.loads(text, object_pairs_hook=_members)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"The file is not JSON: {type(error).__name__}, {first_line(error)}.") from None
    if not isinstance(document, dict):
        raise ImportRefused('The file must hold an object with a list of objects for each type, as {"customer": […]}.')
    if b"\\u0000" in text or b"\0" in text:
        raise ImportRefused("The file holds a NUL character, which no text can carry.")
    shapes: dict[str, list[Shape]] = {kind: [] for kind in KINDS}
    for kind, value in document.items():
        objects = value.get("data") if isinstance(value, Mapping) else value
        if not isinstance(objects, list):
            raise ImportRefused(f"“{kind}” is not a list of objects.")
        if kind not in KINDS:
            report.unknown_objects += len(objects)
            continue
        shapes[kind] = [_shape(kind, position, document) for position, document in enumerate(objects)]
        report.unknown_members += sum(shape.count_unknown() for shape in shapes[kind])
    report.waiting = sum(isinstance(s, SubscriptionShape) and bool(s.pending_update) for s in shapes["subscription"])
    return shapes


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members. Raises ImportRefused for a duplicate name; json.loads would silently keep the last value."""
    members = dict(pairs)
    if len(members) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ImportRefused(f"{members.get('id', 'The file')} has the member “{name}” more than once.")
    return members


def first_line(error: object) -> str:
    """The first line of an error's message, up to 120 characters, for use within a sentence."""
    return (str(error).splitlines() or [""])[0][:120]


def _shape(kind: str, position: int, document: Any) -> Shape:
    try:
        return KINDS[kind][0].model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        name = document.get("id", f"number {position + 1}") if isinstance(document, dict) else f"number {position + 1}"
        path = ".".join(map(str, first["loc"]))
        parts = (f"{kind} {str(name)[:80]}", path, first["msg"])
        raise ImportRefused(f"{': '.join(filter(None, parts))}.") from None
