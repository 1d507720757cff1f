"""Reading a file of an export into shapes, and the report of what became of it."""

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
    """What an import did."""

    added: Counter[str] = field(default_factory=Counter)
    present: int = 0
    unknown_members: int = 0
    unknown_objects: int = 0
    waiting: int = 0
    renewed: int = 0
    stale: int = 0

    def sentence(self) -> str:
        """For the person at the terminal."""
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
    """The objects of a file by type, each checked. Raises ImportRefused that names the first one that is wrong."""
    try:
        document = json.loads(text, object_pairs_hook=_members)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"The file is not JSON: {type(error).__name__}, {first_line(error)}.") from None
    if not isinstance(document, dict):
        raise ImportRefused('The file must hold an object with a list of objects for each type, as {"customer": […]}.')
    if b"\\u0000" in text or b"\0" in text:
        raise ImportRefused("The file holds a NUL character, which no text can carry.")
    found: dict[str, list[Shape]] = {kind: [] for kind in KINDS}
    for kind, listed in document.items():
        members = listed.get("data") if isinstance(listed, Mapping) else listed
        if not isinstance(members, list):
            raise ImportRefused(f"“{kind}” is not a list of objects.")
        if kind not in KINDS:
            report.unknown_objects += len(members)
            continue
        found[kind] = [_shape(kind, position, member) for position, member in enumerate(members)]
        report.unknown_members += sum(shape.count_unknown() for shape in found[kind])
    report.waiting = sum(isinstance(s, SubscriptionShape) and bool(s.pending_update) for s in found["subscription"])
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members. JSON lets a name come twice and would keep the last of them without a word."""
    members = dict(pairs)
    if len(members) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ImportRefused(f"{members.get('id', 'The file')} has the member “{name}” more than once.")
    return members


def first_line(error: object) -> str:
    """What an error says, for the middle of a sentence."""
    return (str(error).splitlines() or [""])[0][:120]


def _shape(kind: str, position: int, member: Any) -> Shape:
    try:
        return KINDS[kind][0].model_validate(member)
    except ValidationError as error:
        first = error.errors()[0]
        name = member.get("id", f"number {position + 1}") if isinstance(member, dict) else f"number {position + 1}"
        where = ".".join(map(str, first["loc"]))
        words = (f"{kind} {str(name)[:80]}", where, first["msg"])
        raise ImportRefused(f"{': '.join(filter(None, words))}.") from None
