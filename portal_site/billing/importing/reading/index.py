"""An index of all objects of an import, on disk: what each is, whose, and where it lies in its file.

It makes it possible to read a customer's objects together, in the order of their references, however the files are sorted,
without having more than a few of them in memory.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self, cast

# The kinds that are read, in the order in which they refer to each other. Those of customers are read customer by customer.
OF_THE_ACCOUNT = ("account", "tax_rate", "product", "price", "coupon", "promotion_code", "billing_portal.configuration")
OF_CUSTOMERS = (
    "customer", "tax_id", "payment_method", "subscription", "subscription_schedule", "invoice", "invoiceitem", "credit_note",
)  # fmt: skip
PARTS = (
    "line_item",
    "subscription_item",
    "credit_note_line_item",
)  # further pages of lists that are cut short inside their object
_TABLE = (
    "CREATE TABLE objects (number INTEGER PRIMARY KEY, kind TEXT, id TEXT, customer TEXT, parent TEXT, file INT, place INT, "
    "size INT, read_as TEXT, position INT)"
)
# Of two objects with the same id the later one counts, but a price counts more than the plan that stands for it.
_COUNTS_MORE = "(later.read_as = later.kind, later.number) > (o.read_as = o.kind, o.number)"
_COLUMNS = "kind, id, customer, file, place, size, read_as, position"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the index. `read_as` is its type's name in the file: a plan is read as a price.

    `position` counts the objects of that name from 1, for messages about one without an id.
    """

    kind: str
    id: str | None
    customer: str | None
    file: int
    place: int
    size: int
    read_as: str
    position: int

    @property
    def name(self) -> str:
        """Its name for messages."""
        return f"{self.read_as} {self.id if self.id is not None else f'number {self.position}'}"


def _place_for_large_files() -> str | None:
    """The system's folder for large temporary files, since /tmp may be in memory; None, for Python's own, if TMPDIR is set."""
    return "/var/tmp" if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK) else None  # noqa: S108


class Paths(NamedTuple):
    """Where the database of an index lies, and the files that it points into."""

    database: str
    files: tuple[str, ...]


class Index:
    """The index, as a database in a temporary folder that is gone when it is closed, and the open files that it points into."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="portal-import-", dir=_place_for_large_files())
        self._path = Path(self._folder.name, "index.db")
        self._database = sqlite3.connect(self._path)
        # Nobody needs it after a crash: without a journal, and without waiting for the disk.
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        self._database.execute(_TABLE)
        self._files: list[BinaryIO] = []

    @classmethod
    def of_another_process(cls, paths: Paths) -> Self:
        """An index that another process has finished, to read."""
        index = cls.__new__(cls)
        index._database = sqlite3.connect(f"{Path(paths.database).as_uri()}?immutable=1", uri=True)
        index._files = [open(path, "rb") for path in paths.files]  # noqa: SIM115 - open as long as the process
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._database.close()
        for file in self._files:
            file.close()
        self._folder.cleanup()

    def new_file(self) -> BinaryIO:
        """A temporary file, for what has to be unpacked."""
        return cast(BinaryIO, tempfile.NamedTemporaryFile(dir=self._folder.name, delete=False))

    def paths(self) -> Paths | None:
        """What another process needs to read it; None if one of its files is only in memory."""
        names = [getattr(file, "name", None) for file in self._files]
        files = tuple(str(Path(name).absolute()) for name in names if isinstance(name, str))
        return Paths(str(self._path), files) if len(files) == len(names) else None

    def unlink(self) -> None:
        """Take the names of its temporary files away, so that nothing of them is left when the process is killed.

        They can be read on by who has them open.
        """
        self._folder.cleanup()

    def add_file(self, file: BinaryIO) -> int:
        """Keep an open file; its number in entries."""
        self._files.append(file)
        return len(self._files) - 1

    def add(self, entries: Iterable[tuple[Entry, str | None]]) -> None:
        """Add entries, each with the id of the object that it is a part of, if it is one."""
        rows = (
            (e.kind, e.id, e.customer, parent, e.file, e.place, e.size, e.read_as, e.position) for e, parent in entries
        )
        self._database.executemany(
            "INSERT INTO objects (kind, id, customer, parent, file, place, size, read_as, position) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def finish(self) -> None:
        """Make what was added searchable, in other processes too: a script begins with the end of what was begun."""
        self._database.executescript(
            "CREATE INDEX by_id ON objects (kind, id);"
            "CREATE INDEX by_customer ON objects (customer) WHERE customer IS NOT NULL;"
            "CREATE INDEX by_parent ON objects (parent) WHERE parent IS NOT NULL"
        )

    def count(self) -> int:
        """The number of objects."""
        return int(self._database.execute("SELECT count(*) FROM objects").fetchone()[0])

    def repeated(self) -> Iterator[tuple[str, str, int]]:
        """Kind, id and number of times of objects that are there more than once under the same type."""
        yield from self._database.execute(
            "SELECT kind, id, count(*) FROM objects WHERE id IS NOT NULL GROUP BY kind, id, read_as HAVING count(*) > 1"
        )

    def of_kind(self, kind: str) -> Iterator[Entry]:
        """The objects of one kind, in the order of the files; of an id that is there more than once, the last."""
        yield from self._entries("kind = ? AND customer IS NULL", (kind,))

    def customers(self) -> Iterator[str]:
        """The ids of all customers that an object belongs to."""
        query = "SELECT DISTINCT customer FROM objects WHERE customer IS NOT NULL ORDER BY customer"
        for row in self._database.execute(query):
            yield row[0]

    def of_customer(self, customer: str) -> list[Entry]:
        """All objects of a customer."""
        return list(self._entries("customer = ?", (customer,)))

    def _entries(self, condition: str, values: Sequence[str]) -> Iterator[Entry]:
        query = (
            f"SELECT {_COLUMNS} FROM objects o WHERE {condition} AND NOT EXISTS (SELECT 1 FROM objects later "  # noqa: S608
            f"WHERE later.kind = o.kind AND later.id = o.id AND {_COUNTS_MORE}) ORDER BY number"
        )
        for row in self._database.execute(query, values):
            yield Entry(*row)

    def find(self, kind: str, name: str) -> Entry | None:
        """The last object with this id, whoever it belongs to."""
        query = (
            f"SELECT {_COLUMNS} FROM objects WHERE kind = ? AND id = ? ORDER BY read_as <> kind, number DESC LIMIT 1"  # noqa: S608
        )
        row = self._database.execute(query, (kind, name)).fetchone()
        return Entry(*row) if row else None

    def parts(self, parent: str) -> Iterator[Entry]:
        """The parts of an object that were given as lists of their own."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE parent = ? ORDER BY number"  # noqa: S608 - names of our own
        for row in self._database.execute(query, (parent,)):
            yield Entry(*row)

    def holds(self, kind: str, ids: Sequence[str]) -> set[str]:
        """Which of these ids the files have an object of this kind for."""
        found: set[str] = set()
        for start in range(0, len(ids), 500):
            some: Sequence[Any] = ids[start : start + 500]
            places = ", ".join("?" * len(some))
            query = f"SELECT id FROM objects WHERE kind = ? AND id IN ({places})"  # noqa: S608 - placeholders only
            found |= {row[0] for row in self._database.execute(query, (kind, *some))}
        return found

    def text(self, entry: Entry) -> bytes:
        """The JSON text of an object."""
        file = self._files[entry.file]
        file.seek(entry.place)
        return file.read(entry.size)
