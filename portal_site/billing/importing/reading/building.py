"""Makes objects of what the files hold: reads, adapts, checks and maps each, and reports what cannot be taken and why."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.reading import adapters, embedded, members
from portal_site.billing.importing.reading.documents import data, inner
from portal_site.billing.importing.reading.index import Entry, Index
from portal_site.billing.importing.report import ImportReport, Result
from portal_site.billing.importing.row_mapping import KINDS
from portal_site.billing.importing.schemas.billing_schemas import SubscriptionShape
from portal_site.billing.importing.schemas.field_types import Shape
from portal_site.db.json_columns import JsonObject

INVALID = "it is not as the API has it"
DELETED = "deleted there"
CUT_SHORT = "a list inside it goes on"
MOST_REMEMBERED = 100_000
# The lists inside of objects that decide amounts: the path of the API that has all of one, and the kind of its parts.
LISTS = {
    "invoice": ("lines", "/v1/invoices/{id}/lines", "line_item"),
    "subscription": ("items", "/v1/subscription_items -d subscription={id}", "subscription_item"),
    "credit_note": ("lines", "/v1/credit_notes/{id}/lines", "credit_note_line_item"),
}


class Builder:
    """Builds the objects of one import. `account_id` is whose rows they become."""

    def __init__(self, index: Index, report: ImportReport, account_id: str) -> None:
        self._index, self._report, self._account_id = index, report, account_id
        self._seen: set[tuple[str, str]] = set()  # objects that are in the files, or were found inside of another one

    def build(self, entries: Iterable[Entry]) -> list[ImportedObject]:
        """The objects of these entries, and those embedded in them that are not in the files themselves."""
        built: list[ImportedObject] = []
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.clear()
        for entry in entries:
            document = self._document(entry)
            if document is None:
                continue
            inside = embedded.find(document, entry.customer)
            one = self._object(entry.kind, entry.name, document, entry.customer)
            built += [one] if one else []
            built += self._embedded(inside, entry.customer)
        return built

    def _embedded(self, found: Iterable[tuple[str, str, JsonObject]], customer: str | None) -> Iterator[ImportedObject]:
        for kind, name, inside in found:
            if (kind, name) in self._seen:
                continue
            self._seen.add((kind, name))
            if not self._index.holds(kind, [name]):
                one = self._object(kind, f"{kind} {name}", inside, customer)
                if one:
                    one.embedded = True
                    yield one

    def _document(self, entry: Entry) -> JsonObject | None:
        text = self._index.text(entry)
        try:
            document = from_json(text)
        except ValueError as error:
            self._leave_out(entry, INVALID, f"{entry.name}: {error}.")
            return None
        if b"\\u0000" in text:
            self._leave_out(entry, "a NUL character", f"{entry.name} holds a NUL character, which no text can carry.")
            return None
        if not isinstance(document, dict):
            self._leave_out(entry, INVALID, f"{entry.name}: Input should be an object.")
            return None
        if document.get("deleted") is True:
            sentence = f"{entry.name} was deleted there: only its id is left."
            self._report.find(Result.NOTE, entry.kind, entry.id or "", DELETED, sentence, entry.customer)
            return None
        adapters.newest(entry.read_as, document)
        if entry.kind == "customer":
            self._note_cut_short(entry, document)
        if entry.kind in LISTS and self._is_cut_short(entry, document):
            return None
        return document

    def _leave_out(self, entry: Entry, cause: str, sentence: str) -> None:
        name = entry.id or f"number {entry.position}"
        self._report.find(Result.LEFT_OUT, entry.kind, name, cause, sentence, entry.customer)

    def _object(self, kind: str, name: str, document: JsonObject, customer: str | None) -> ImportedObject | None:
        schema, rows = KINDS[kind]
        own = document.get("id")
        shown = own if isinstance(own, str) else name.removeprefix(f"{kind} ")
        try:
            shape = _validated(schema, document)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(map(str, first["loc"]))
            sentence = f"{': '.join(filter(None, (name[:100], path, first['msg'])))}."
            self._report.find(Result.LEFT_OUT, kind, shown, INVALID, sentence, customer)
            return None
        one = ImportedObject(kind, shape.id, customer, document, shape, list(rows(shape, self._account_id)))
        members.report(one, self._report)
        if isinstance(shape, SubscriptionShape) and shape.pending_update:
            self._report.waiting += 1
        return one

    def _note_cut_short(self, entry: Entry, document: JsonObject) -> None:
        """Report the lists of a customer's that go on; the customer can be taken without the rest."""
        for name in ("sources", "subscriptions", "tax_ids"):
            if inner(document.get(name)).get("has_more") and entry.id is not None:
                path = (
                    f"/v1/subscriptions -d customer={entry.id}"
                    if name == "subscriptions"
                    else f"/v1/customers/{entry.id}/{name}"
                )
                sentence = f"{entry.name}: its {name} go on: `stripe get {path} --limit 100` gets them."
                self._report.find(Result.CUT_SHORT, entry.kind, entry.id, CUT_SHORT, sentence, entry.customer)

    def _is_cut_short(self, entry: Entry, document: JsonObject) -> bool:
        """Complete a list that goes on from the list of its own, if there is one; else report how to get it."""
        name, path, part = LISTS[entry.kind]
        listed = document.get(name)
        if not isinstance(listed, dict) or not _goes_on(listed) or entry.id is None:
            return False
        parts = {str(one.get("id")): one for one in data(listed)}
        before = len(parts)
        for more in self._index.parts(entry.id):
            one = from_json(self._index.text(more))
            parts[str(one.get("id"))] = adapters.newest(part, one)
        listed["data"] = list(parts.values())
        total = listed.get("total_count", listed.get("count"))
        if len(parts) > before and (not isinstance(total, int) or len(parts) >= total):
            return False
        command = f"stripe get {path.format(id=entry.id)} --limit 100"
        sentence = (
            f"{entry.name}: its {name} go on after the first {before}. Write the answer of `{command}` to a file beside "
            "this one, and import the folder."
        )
        self._report.find(Result.CUT_SHORT, entry.kind, entry.id, CUT_SHORT, sentence, entry.customer)
        return True


def _goes_on(listed: JsonObject) -> bool:
    """Whether a list is only the first page of what it lists. Before 2014-03-28 a list told the number of all instead."""
    count = listed.get("count")
    return bool(listed.get("has_more")) or (isinstance(count, int) and count > len(data(listed)))


def _validated(schema: type[Shape], document: JsonObject) -> Shape:
    """The document as its schema. Where it has an empty list for an object, it was written by PHP, which makes no difference."""
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        empty = [found["loc"] for found in error.errors() if found["input"] == []]
        if not empty:
            raise
        for path in empty:
            _set_empty(document, path)
        return schema.model_validate(document)


def _set_empty(document: Any, path: tuple[int | str, ...]) -> None:
    for name in path[:-1]:
        document = document["data"][name] if isinstance(document, dict) and name not in document else document[name]
    document[path[-1]] = {}
