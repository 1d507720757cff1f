"""Objects on their way into the database: from a document to its schema, and from there to rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from portal_site.billing.importing.schemas.field_types import Shape
from portal_site.db import Base
from portal_site.db.json_columns import JsonObject


class Row:
    """A row to be stored: its model, and the values of all its columns by name."""

    __slots__ = ("model", "values")

    def __init__(self, model: type[Base], values: JsonObject) -> None:
        self.model = model
        constants, made = _defaults(model)
        self.values = {**constants, **values}
        for name, kind in made:
            if name not in values:
                self.values[name] = kind()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, (self.model, self.values)

    @property
    def name(self) -> str:
        """Its name for messages: `customer cus_…`."""
        kind = self.model.__tablename__.removesuffix("s").replace("_", " ")
        return f"{kind} {self.values['id']}"


def _row(model: type[Base], values: JsonObject) -> Row:
    """A row that comes from another process, with all its values."""
    row = Row.__new__(Row)
    row.model, row.values = model, values
    return row


@cache
def _defaults(model: type[Base]) -> tuple[JsonObject, tuple[tuple[str, type[Any]], ...]]:
    """What each column has where nothing is said, and which have a document that is made anew for each row."""
    columns: Any = model.__table__.columns
    constants = {c.key: c.default.arg if c.default is not None and c.default.is_scalar else None for c in columns}
    made = ((c.key, type(c.default.arg(None))) for c in columns if c.default is not None and c.default.is_callable)
    return constants, tuple(made)


@dataclass(slots=True, eq=False)
class ImportedObject:
    """An object of the files with its rows: its own first, then those of its parts.

    Once the rows are made, `document` keeps only the members that are read again, and `shape`, the validated document, is None
    for the kinds of which it is not. `embedded` is true for one that is not in the files itself, only inside another.
    `unbillable` holds the reasons why its subscription must not be billed here.
    """

    kind: str
    id: str
    customer: str | None
    document: JsonObject
    shape: Shape | None
    rows: list[Row] = field(default_factory=list)
    embedded: bool = False
    unbillable: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name for messages."""
        return self.rows[0].name if self.rows else f"{self.kind} {self.id}"

    def parts(self, model: type[Base]) -> Iterator[Row]:
        """Its rows of one model."""
        return (row for row in self.rows if row.model is model)
