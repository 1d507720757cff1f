"""Reads what people have into an index: a file, or a folder with a file for each type or page.

JSON in each form of `json_records`, JSON lines, answers of the `stripe` command line, and the CSV tables of `csv_tables`; each
may be packed with gzip.
"""

import gzip
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing.reading import csv_tables, json_records
from portal_site.billing.importing.reading.documents import id_of
from portal_site.billing.importing.reading.index import OF_CUSTOMERS, OF_THE_ACCOUNT, PARTS, Entry, Index
from portal_site.billing.importing.reading.json_records import Found, Page
from portal_site.db.json_columns import JsonObject

# What a type's objects are read as.
READ_AS = {
    **{kind: kind for kind in (*OF_THE_ACCOUNT, *OF_CUSTOMERS, *PARTS)},
    "plan": "price", "card": "payment_method", "bank_account": "payment_method", "source": "payment_method",
    "invoice_item": "invoiceitem", "configuration": "billing_portal.configuration",
    "portal_configuration": "billing_portal.configuration", "invoice_line_item": "line_item", "schedule": "subscription_schedule",
}  # fmt: skip
_LINES = re.compile(r"/v1/(?:invoices|credit_notes)/([^/?]+)/lines")
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")


@dataclass
class Overview:
    """What a look through all files found: objects of other types, lists that go on, and what an account needs."""

    other_types: Counter[str] = field(default_factory=Counter)
    cut_short: list[Page] = field(default_factory=list)
    connected: dict[str, "Connected"] = field(default_factory=dict)
    account_name: str | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """An account that an object is on behalf of, with its name as an invoice tells it."""

    name: str | None
    named_by: str


@dataclass
class _Pages:
    """The lists that were seen, by what they list: a list that goes on is whole if its last page is here as well."""

    going_on: dict[str, Page] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def add(self, page: Page, kind: str | None) -> None:
        key = (page.url or "").partition("?")[0] or kind or ""
        if page.has_more:
            self.going_on[key] = page
        else:
            self.ended.add(key)


def read(source: Path | bytes, index: Index) -> Overview:
    """Read all objects of a source into the index. Raises ImportRefused for a file that is not what it should be."""
    overview, pages = Overview(), _Pages()
    found_file = False
    for name, file in _files(source, index):
        found_file = True
        if name.endswith(".csv"):
            file = csv_tables.as_json_lines(file, name, _kind_of(name), index.new_file())  # noqa: PLW2901
        number = index.add_file(file)
        index.add(_entries(json_records.read(file), _kind_of(name), number, overview, pages))
    if not found_file:
        raise ImportRefused(f"Cannot read {source!s}: it holds no file whose name ends in {', '.join(SUFFIXES)}.")
    index.finish()
    overview.cut_short = [page for key, page in pages.going_on.items() if key not in pages.ended]
    return overview


def _files(source: Path | bytes, index: Index) -> Iterator[tuple[str, BinaryIO]]:
    if isinstance(source, bytes):
        yield "", io.BytesIO(source)
        return
    paths = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]
    for path in paths:
        name = path.name.removesuffix(".gz")
        if source.is_dir() and not name.endswith(SUFFIXES):
            continue
        try:
            yield name, _unpacked(path, index.new_file()) if path.name.endswith(".gz") else path.open("rb")
        except OSError as error:
            raise ImportRefused(f"Cannot read {path}: {error.strerror or error}.") from None


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, file)
    file.seek(0)
    return file


def singular(name: str) -> str:
    """A type's name in the singular, as objects have it: `customers` and `invoice-items` become customer and invoice_item."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    plain = {"billing_portal_configurations": "configuration", "invoiceitems": "invoiceitem"}.get(plain, plain)
    return plain[:-1] if plain.endswith("s") else plain


def _kind_of(name: str) -> str | None:
    """The type that a file's name tells, if it does: `customers.json`, `subscription_2.jsonl`."""
    stem = name.partition(".")[0].rstrip("0123456789_-")
    kind = singular(stem)
    return kind if kind in READ_AS else None


def _entries(
    records: Iterator[Found | Page], of_file: str | None, file: int, overview: Overview, pages: _Pages
) -> Iterator[tuple[Entry, str | None]]:
    positions: Counter[str] = Counter()
    of_their_list: list[Entry] = []  # parts that do not name what they are a part of; the address of their list does
    for record in records:
        named = singular(record.group) if record.group else of_file
        if isinstance(record, Page):
            pages.add(record, named)
            whole = _LINES.search(record.url or "")
            yield from ((entry, whole[1]) for entry in of_their_list if whole)
            of_their_list.clear()
            continue
        document = record.document
        if not isinstance(document, dict):
            document = {}
        told = document.get("object")
        kind = told if isinstance(told, str) and told in READ_AS else named
        if kind is None or kind not in READ_AS:
            overview.other_types[kind or (told if isinstance(told, str) else "objects without a type")] += 1
            continue
        positions[kind] += 1
        entry, parent = _entry(kind, record, document, file, positions[kind], overview)
        if entry.kind in PARTS and parent is None:
            of_their_list.append(entry)
        else:
            yield entry, parent


def _entry(
    kind: str, record: Found, document: JsonObject, file: int, position: int, overview: Overview
) -> tuple[Entry, str | None]:
    read_as = READ_AS[kind]
    name = document.get("id")
    if kind in ("subscription", "invoice"):
        _note_account(kind, document, overview)
    owner = _customer(read_as, document) if read_as in (*OF_CUSTOMERS, "promotion_code") else None
    entry = Entry(
        read_as, name if isinstance(name, str) else None, owner, file, record.offset, record.length, kind, position
    )
    parent = document.get("invoice" if read_as == "line_item" else "subscription") if read_as in PARTS else None
    return entry, id_of(parent)


def _note_account(kind: str, document: JsonObject, overview: Overview) -> None:
    name = document.get("account_name")
    name = name if isinstance(name, str) else None
    other = document.get("on_behalf_of")
    if (connected := id_of(other)) is not None:
        known = overview.connected.get(connected)
        if known is None or (known.name is None and name is not None):
            overview.connected[connected] = Connected(name, f"{kind} {document.get('id')}")
    elif overview.account_name is None:
        overview.account_name = name


def _customer(kind: str, document: JsonObject) -> str | None:
    """The id of the customer that an object belongs to; its own for a customer."""
    if kind == "customer":
        return id_of(document)
    owner = document.get("owner") if isinstance(document.get("owner"), dict) else {}
    return id_of(document.get("customer")) or id_of((owner or {}).get("customer"))
