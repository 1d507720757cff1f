"""Lists with cursors, newest first. A page costs the same wherever it is: the cursor's row is looked up, not counted to."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import g
from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.engine import Connection, Row

from portal_site.api import answers
from portal_site.api.answers import ApiError
from portal_site.api.parameters import ListParameters, Range
from portal_site.billing.resources import lists as resources
from portal_site.db import Base
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import reading

MOST = 100


def columns_of(model: Any) -> Select[Any]:
    """All columns of a model by their attributes' names, as the functions of `billing.resources` read them."""
    return select(*(attribute.class_attribute.label(attribute.key) for attribute in model.__mapper__.column_attrs))


def rows_of(model: Any) -> Select[Any]:
    """All columns of a model's rows of the caller's account and mode, if the rows have a mode of their own."""
    query = columns_of(model).where(model.account_id == g.caller.account_id)
    return query.where(model.livemode == g.caller.livemode) if hasattr(model, "livemode") else query


def one(model: Any, name: str) -> Row[Any] | None:
    """The row with this id."""
    with reading() as connection:
        return connection.execute(rows_of(model).where(model.id == name.replace("\0", ""))).one_or_none()


def page(
    model: Any,
    wanted: ListParameters,
    url: str,
    noun: str,
    make: Callable[[Sequence[Row[Any]]], list[JsonObject]],
    *conditions: ColumnElement[bool],
) -> JsonObject:
    """A page of the list of a model's rows that meet the conditions, which `make` turns into objects.

    Raises ApiError for a cursor that is none.
    """
    limit = min(MOST, max(1, wanted.limit))
    with reading() as connection:
        after = _place(connection, model, noun, "starting_after", wanted.starting_after)
        before = _place(connection, model, noun, "ending_before", wanted.ending_before)
        if after and before:
            raise ApiError(
                400,
                "Received both starting_after and ending_before parameters. Please pass in only one.",
            )
        place: Any = tuple_(model.created, model.id)
        query = rows_of(model).where(*conditions)
        if before:
            query = query.where(place > tuple_(*before)).order_by(model.created, model.id)
        else:
            query = query.where(*([place < tuple_(*after)] if after else [])).order_by(
                model.created.desc(), model.id.desc()
            )
        rows = list(connection.execute(query.limit(limit + 1)))
    shown = rows[:limit][::-1] if before else rows[:limit]
    return resources.page(url, make(shown), len(rows) > limit)


def _place(connection: Connection, model: type[Base], noun: str, param: str, name: str | None) -> Sequence[Any] | None:
    """Where the object with this id stands in the list; also a deleted one, which is not shown there."""
    if name is None:
        return None
    table: Any = model
    query = select(table.created, table.id).where(
        table.id == name, table.account_id == g.caller.account_id, table.livemode == g.caller.livemode
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        raise answers.missing(noun, name, param, 400)
    return found


def equal(*filters: tuple[Any, Any]) -> list[ColumnElement[bool]]:
    """The conditions for filters, as (column, value), of which those that were not sent are None."""
    return [column == value for column, value in filters if value is not None]


def between(column: Any, bounds: Range | None) -> list[ColumnElement[bool]]:
    """The conditions for an instant."""
    if bounds is None:
        return []
    tests = [
        (bounds.gt, column.__gt__),
        (bounds.gte, column.__ge__),
        (bounds.lt, column.__lt__),
        (bounds.lte, column.__le__),
    ]
    return [test(at) for at, test in tests if at is not None]
