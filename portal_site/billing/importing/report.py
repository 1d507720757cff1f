"""The report of an import: what was stored, what was left out and why, and what the merchant has to know of the rest."""

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import IO, NamedTuple

from portal_site.billing.errors import ImportRefused
from portal_site.spreadsheets import safe

MOST_NAMED = 20  # in a refusal
EXAMPLES = 3  # in a line of the summary


class Result(StrEnum):
    """What became of an object, or of a part of it. `REFUSED_WHEN_STRICT` has what `strict` refuses."""

    LEFT_OUT = "left out"
    MISSING = "missing"
    CUT_SHORT = "cut short"
    NOT_READ = "not read"
    NOT_RENEWED = "not renewed"
    CONFLICT = "conflict"
    REPEATED = "repeated"
    NOTE = "note"


REFUSED_WHEN_STRICT = (Result.LEFT_OUT, Result.MISSING, Result.CUT_SHORT, Result.REPEATED)


class Finding(NamedTuple):
    """One line of the report. `cause` is the same for all findings of one kind; `sentence` names what it is about."""

    result: str
    kind: str
    id: str
    customer: str
    cause: str
    sentence: str


class Remarks:
    """What the report is to say of a batch of objects, kept until the batch's turn comes. It can come from another process."""

    def __init__(self) -> None:
        self.findings: list[tuple[Result, str, object, str, str, str | None]] = []
        self.unknown: list[tuple[str, str, str, str | None]] = []
        self.waiting = 0

    def find(
        self, result: Result, kind: str, name: object, cause: str, sentence: str, customer: str | None = None
    ) -> None:
        """Keep a finding: see `ImportReport.find`."""
        self.findings.append((result, kind, name, cause, sentence, customer))

    def note_unknown(self, kind: str, member: str, name: str, customer: str | None) -> None:
        """Keep a member that is on no list: see `ImportReport.note_unknown`."""
        self.unknown.append((kind, member, name, customer))


def first_line(error: object) -> str:
    """The first line of an error's message, up to 120 characters, for use within a sentence."""
    return (str(error).splitlines() or [""])[0][:120]


def _listed(counts: Mapping[str, int]) -> str:
    """How many of each table, whose names are plurals."""
    return ", ".join(f"{count} {kind.removesuffix('s') if count == 1 else kind}" for kind, count in counts.items())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@dataclass
class ImportReport:
    """The result of an import.

    `added` and `updated` count objects' rows by table name; `present` objects that were there already and are as in the files.
    `waiting` counts the pending updates that were left out, `renewed` the subscriptions that are billed here from now on, and
    `stale` those that are not, because their period has already ended. The findings lie in a temporary file.
    """

    added: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    present: int = 0
    unknown_members: int = 0
    unknown_objects: int = 0
    waiting: int = 0
    renewed: int = 0
    stale: int = 0
    dry_run: bool = False
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _unknown: set[tuple[str, str]] = field(default_factory=set)
    _refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        file: IO[bytes] = tempfile.SpooledTemporaryFile(1 << 20)  # noqa: SIM115 - it lives as long as the report
        self._text = TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        self._rows = csv.writer(self._text)

    def find(
        self, result: Result, kind: str, name: object, cause: str, sentence: str, customer: str | None = None
    ) -> None:
        """Add a finding. `name` is the object's id, or what it is called where it has none."""
        sentence = " ".join(sentence.split())  # an id of a damaged file may hold line breaks
        key = result.value, cause
        self._counts[key] += 1
        named = self._examples.setdefault(key, [])
        if len(named) < EXAMPLES:
            named.append(" ".join(str(name)[:80].split()))
        if result in REFUSED_WHEN_STRICT and len(self._refusals) < MOST_NAMED:
            self._refusals.append(sentence)
        self._rows.writerow(Finding(result.value, kind, str(name), customer or "", cause, sentence))

    def note_unknown(self, kind: str, member: str, name: str, customer: str | None) -> None:
        """Count a member that is on no list, and name it the first time."""
        self.unknown_members += 1
        if (kind, member) not in self._unknown:
            self._unknown.add((kind, member))
            shown = " ".join(member[:80].split())
            sentence = f"{kind} {name} is the first that has {shown}, which this version does not know."
            self.find(Result.NOTE, kind, name, "members that this version does not know", sentence, customer)

    def add(self, remarks: Remarks) -> None:
        """Add what was remarked on a batch."""
        for finding in remarks.findings:
            self.find(*finding)
        for unknown in remarks.unknown:
            self.note_unknown(*unknown)
        self.waiting += remarks.waiting

    def findings(self) -> Iterator[Finding]:
        """All findings, in the order in which they were made."""
        self._text.flush()
        self._text.seek(0)
        yield from (Finding(*row) for row in csv.reader(self._text))
        self._text.seek(0, 2)

    def count(self, result: Result, cause: str | None = None) -> int:
        """How many findings have this result, and this cause."""
        return sum(n for (kind, why), n in self._counts.items() if kind == result and cause in (None, why))

    def write(self, path: Path) -> bool:
        """Write the findings as CSV; False, and no file, if there are none."""
        if not self._counts:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is left out names customers: nobody else on the machine has to read it.
        with open(path, "w", newline="", encoding="utf-8", opener=_private) as file:
            rows = csv.writer(file)
            rows.writerow(("result", "type", "id", "customer", "cause", "what it means"))
            rows.writerows(map(safe, finding) for finding in self.findings())
        return True

    def refuse_if_anything_is_left_out(self) -> None:
        """Raise ImportRefused that names the first findings, if `strict` refuses one."""
        if self._refusals:
            more = sum(self.count(result) for result in REFUSED_WHEN_STRICT) - len(self._refusals)
            raise ImportRefused(" ".join([*self._refusals, *([f"And {more} more."] if more else [])]))

    def sentence(self) -> str:
        """The result in English, for the terminal."""
        done = "Would import" if self.dry_run else "Imported"
        parts = _listed(self.added) or "nothing new"
        changed = _listed(self.updated)
        notes = [f"{done} {parts}."]
        counts = (
            (bool(changed), f"Brought up to date: {changed}."),
            (self.present, f"{self.present} objects were there already and stay as they are."),
            (self.unknown_objects, f"{self.unknown_objects} objects of other types were left out."),
            (self.unknown_members, f"{self.unknown_members} members that this version does not know were left out."),
            (
                self.waiting,
                f"{self.waiting} changes that wait for their payment were left out: the other system makes them.",
            ),
            (self.renewed, f"{self.renewed} subscriptions are renewed here from the end of their period on."),
            (self.stale, f"{self.stale} subscriptions ended their period before now: `portal unpark` bills them."),
        )
        return " ".join([*notes, *(words for shown, words in counts if shown)])

    def summary(self) -> list[str]:
        """A line for each cause of findings: how many, and which for example."""
        lines = []
        for (result, cause), count in sorted(
            self._counts.items(), key=lambda pair: list(Result).index(Result(pair[0][0]))
        ):
            examples = ", ".join(self._examples[result, cause])
            lines.append(f"{result.capitalize()}: {count} × {cause} ({examples}{', …' if count > EXAMPLES else ''})")
        return lines
