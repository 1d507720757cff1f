"""Makes objects of what the files hold: reads, adapts, checks and maps each, and remarks what cannot be taken and why."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json

from portal_site.billing.importing.objects import ImportedObject
from portal_site.billing.importing.reading import adapters, embedded, members
from portal_site.billing.importing.reading.documents import data, inner
from portal_site.billing.importing.reading.index import Entry, Index
from portal_site.billing.importing.report import Remarks, Result
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


# The kinds whose shape is read once more when they are stored. Of the others, the rows are all that it takes.
SHAPES_READ_AGAIN = frozenset(
    ("account", "tax_id", "tax_rate", "price", "subscription", "subscription_schedule", "invoiceitem", "credit_note")
)


class Embedded(NamedTuple):
    """An object that stands inside another one of this customer's, and is not in the files itself."""

    kind: str
    id: str
    document: JsonObject
    customer: str | None


@dataclass(slots=True)
class Batch:
    """What a batch of entries holds: its objects, those that stand inside them, and what the report is to say of them."""

    objects: list[ImportedObject] = field(default_factory=list)
    embedded: list[Embedded] = field(default_factory=list)
    remarks: Remarks = field(default_factory=Remarks)


class _Seen:
    """The objects that were seen embedded in others, up to a number at which it begins anew."""

    def __init__(self) -> None:
        self._names: set[tuple[str, str]] = set()

    def add(self, kind: str, name: str) -> bool:
        """Whether it is seen for the first time."""
        if (kind, name) in self._names:
            return False
        if len(self._names) > MOST_REMEMBERED:
            self._names.clear()
        self._names.add((kind, name))
        return True


class Builder:
    """Builds the objects of one import. `account_id` is whose rows they become.

    Several processes may `build`, each its batches in their order. One of them is to `complete` all batches in their order, since
    an object that several batches embed is taken once.
    """

    def __init__(self, index: Index, account_id: str) -> None:
        self._index, self._account_id = index, account_id
        self._found, self._completed = _Seen(), _Seen()
        self._remarks = Remarks()

    def build(self, entries: Iterable[Entry]) -> Batch:
        """The objects of these entries. What they embed is only found, apart from what this process found already."""
        batch = Batch()
        self._remarks = batch.remarks
        for entry in entries:
            document = self._document(entry)
            if document is None:
                continue
            inside = embedded.find(document, entry.customer)
            one = self._object(entry.kind, entry.name, document, entry.customer)
            batch.objects += [one] if one else []
            for kind, name, found in inside:
                if self._found.add(kind, name) and not self._index.holds(kind, [name]):
                    batch.embedded.append(Embedded(kind, name, found, entry.customer))
        return batch

    def begin_anew(self) -> None:
        """Forget what other batches were found to embed: batches before them are built next."""
        self._found = _Seen()

    def complete(self, batch: Batch) -> list[ImportedObject]:
        """The objects of a batch, with those that they embed, as far as no batch before it had them."""
        self._remarks = batch.remarks
        for found in batch.embedded:
            if self._completed.add(found.kind, found.id):
                one = self._object(found.kind, f"{found.kind} {found.id}", found.document, found.customer)
                if one:
                    one.embedded = True
                    batch.objects.append(one)
        return batch.objects

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
            self._remarks.find(Result.NOTE, entry.kind, entry.id or "", DELETED, sentence, entry.customer)
            return None
        adapters.newest(entry.read_as, document)
        if entry.kind == "customer":
            self._note_cut_short(entry, document)
        if entry.kind in LISTS and self._is_cut_short(entry, document):
            return None
        return document

    def _leave_out(self, entry: Entry, cause: str, sentence: str) -> None:
        name = entry.id or f"number {entry.position}"
        self._remarks.find(Result.LEFT_OUT, entry.kind, name, cause, sentence, entry.customer)

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
            self._remarks.find(Result.LEFT_OUT, kind, shown, INVALID, sentence, customer)
            return None
        one = ImportedObject(kind, shape.id, customer, document, shape, list(rows(shape, self._account_id)))
        members.remark(one, schema, self._remarks)
        if isinstance(shape, SubscriptionShape) and shape.pending_update:
            self._remarks.waiting += 1
        one.document = _read_again(kind, document)
        if kind not in SHAPES_READ_AGAIN:
            one.shape = None
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
                self._remarks.find(Result.CUT_SHORT, entry.kind, entry.id, CUT_SHORT, sentence, entry.customer)

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
        self._remarks.find(Result.CUT_SHORT, entry.kind, entry.id, CUT_SHORT, sentence, entry.customer)
        return True


def _read_again(kind: str, document: JsonObject) -> JsonObject:
    """The members of a document that are read once more when its object is stored: the rest would only be carried along."""
    match kind:
        case "price":
            return document
        case "subscription":
            return {name: document[name] for name in ("items", "schedule") if name in document}
        case "invoice":
            own = {name: document[name] for name in ("account_tax_ids", "default_tax_rates") if name in document}
            lines = [{"tax_rates": line["tax_rates"]} for line in data(document.get("lines")) if line.get("tax_rates")]
            return own | ({"lines": lines} if lines else {})
        case _:
            return {}


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
