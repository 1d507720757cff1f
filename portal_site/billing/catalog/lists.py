"""Pages of a catalogue's lists, newest first. A page costs the same wherever it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, or_, select, tuple_

from portal_site.billing.catalog import rows
from portal_site.billing.catalog.rows import Kind
from portal_site.billing.errors import BillingError
from portal_site.billing.translation_marks import N_
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading

USUAL, MOST = 25, 100  # rows of a page


@dataclass(frozen=True, slots=True)
class Place:
    """Which page of a list: the first, or that behind the row with the id `after`, or that in front of `before`."""

    after: str | None = None
    before: str | None = None
    limit: int = USUAL


FIRST = Place()


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one kind, with the names of its columns (`metadata_` for metadata), and whether there are more this way."""

    rows: Sequence[Row[Any]]
    has_more: bool


def page(kind: Kind, account_id: str, livemode: bool, conditions: Sequence[ColumnElement[bool]], place: Place) -> Page:
    """A page of an account's rows that meet the conditions. Raises NotFound for a place that is none."""
    if place.after and place.before:
        problem = N_("Ask for what comes after a row or before it, but not for both.")
        raise BillingError(problem, "parameters_exclusive", "ending_before")
    limit = min(MOST, max(1, place.limit))
    with reading() as connection:
        cursor = None
        if name := place.after or place.before:
            where = kind.account_id == account_id, kind.livemode == livemode, kind.id == name.replace("\0", "")
            cursor = connection.execute(select(kind.created, kind.id).where(*where)).one_or_none()
            if cursor is None:
                raise rows.missing(kind, name, "starting_after" if place.after else "ending_before")
        query = behind(kind, [*rows.owned(kind, account_id, livemode), *conditions], cursor, back=bool(place.before))
        found = list(connection.execute(query.limit(literal_limit(limit + 1))))
    shown = found[:limit]
    return Page(shown[::-1] if place.before else shown, len(found) > limit)


def one(kind: Kind, account_id: str, livemode: bool, row_id: str, param: str) -> Row[Any]:
    """The row with this id, with the names of a page's columns. Raises NotFound."""
    query = _columns(kind).where(*rows.owned(kind, account_id, livemode), kind.id == row_id.replace("\0", ""))
    with reading() as connection:
        found = connection.execute(query).one_or_none()
    if found is None:
        raise rows.missing(kind, row_id, param)
    return found


def behind(
    kind: Kind, conditions: Sequence[ColumnElement[bool]], cursor: Sequence[Any] | None, *, back: bool = False
) -> Select[*tuple[Any, ...]]:
    """The select of the rows that meet the conditions, from a place on: newest first or, going `back`, oldest first."""
    position: Any = tuple_(kind.created, kind.id)
    query = _columns(kind).where(*conditions)
    if back:
        query = query.where(position > tuple_(*cursor)) if cursor else query
        return query.order_by(kind.created, kind.id)
    query = query.where(position < tuple_(*cursor)) if cursor else query
    return query.order_by(kind.created.desc(), kind.id.desc())


def _columns(kind: Kind) -> Select[*tuple[Any, ...]]:
    """All columns by their attributes' names, as the functions of `billing.resources` read them."""
    columns: Any = (attribute.class_attribute.label(attribute.key) for attribute in kind.__mapper__.column_attrs)
    return select(*columns)


def holding(text: str, *columns: Any) -> list[ColumnElement[bool]]:
    """The condition that one of the columns holds a text, whatever the case; none for an empty text."""
    wanted = text.replace("\0", "").strip()
    if not wanted:
        return []
    # SQLite lowers the letters of ASCII only, so that others are found as they were typed.
    typed = [column.contains(wanted, autoescape=True) for column in columns]
    return [or_(*typed, *(func.lower(column).contains(wanted.lower(), autoescape=True) for column in columns))]
