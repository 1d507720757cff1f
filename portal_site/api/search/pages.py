"""The pages of a search, newest first. Each looks at a bounded number of rows, wherever it is and whatever is asked for."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from flask import g
from sqlalchemy import ColumnElement, Select, Subquery, and_, func, select, tuple_, union
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.util import ClauseAdapter

from portal_site.api import lists
from portal_site.api.answers import ApiError
from portal_site.api.parameters import SearchParameters
from portal_site.api.search.clauses import Plan, Resource, Way
from portal_site.billing.resources import lists as resources
from portal_site.db.json_columns import JsonObject
from portal_site.db.page_query import literal_limit
from portal_site.db.transactions import reading

LOOKED_AT = 2_000  # rows of a way, in one select
SELECTS = 50  # of a page; a client's library takes an empty page for the last one, even if another follows
COUNTED = 10_000  # rows of a way, of which the total is: at Stripe too it is accurate up to 10,000
Place = Sequence[Any]  # `created` and the id


def found(
    resource: Resource,
    plan: Plan,
    wanted: SearchParameters,
    url: str,
    make: Callable[[Sequence[Row[Any]]], list[JsonObject]],
    *conditions: ColumnElement[bool],
) -> JsonObject:
    """A page of what a search finds among the rows that meet the conditions. Raises ApiError for a page that is none."""
    limit = min(lists.MOST, max(1, wanted.limit))
    before: Place | None = _read_page(wanted.page) if wanted.page else None
    asked = and_(*conditions, *([] if plan.rest is None else [plan.rest]))
    with reading() as connection:
        total = _count(connection, resource, plan, asked) if wanted.with_total else None
        for _ in range(SELECTS):
            end = None if plan.rest is None else _end(connection, plan.ways, before)
            rows = _rows(connection, resource, plan, asked, before, end, limit + 1)
            if rows or end is None:
                break
            before = end
    last: Place | None = (rows[limit - 1].created, rows[limit - 1].id) if len(rows) > limit else end
    return resources.search_result(url, make(rows[:limit]), _page_of(last) if last else None, total)


def _own(way: Way, before: Place | None) -> list[ColumnElement[bool]]:
    """The conditions of the caller's rows on a way."""
    table = way.table
    place = tuple_(table.created, way.id)
    behind = [place < tuple_(*before)] if before else []
    return [table.account_id == g.caller.account_id, table.livemode == g.caller.livemode, *way.conditions, *behind]


def _newest(way: Way) -> tuple[Any, Any]:
    return way.table.created.desc(), way.id.desc()


def places(way: Way, before: Place | None) -> Select[Any]:
    """The places of the caller's rows on a way, newest first."""
    return select(way.table.created, way.id).where(*_own(way, before)).order_by(*_newest(way))


def _end(connection: Connection, ways: Sequence[Way], before: Place | None) -> Place | None:
    """The last place that is looked at, or None if that is the end: behind it there may be rows of any way."""
    last = literal_limit(LOOKED_AT - 1)
    ends = [connection.execute(places(way, before).offset(last).limit(literal_limit(1))).first() for way in ways]
    return max((tuple(end) for end in ends if end is not None), default=None)


def _on_way(resource: Resource, way: Way, before: Place | None) -> Select[Any]:
    rows = lists.rows_of(resource.table)
    if way.table is not resource.table:
        rows = rows.join(way.table, way.id == resource.table.id)
    return rows.where(*_own(way, before)).order_by(*_newest(way))


def _looked_at(resource: Resource, way: Way, before: Place | None, count: int) -> Subquery:
    """The first rows on a way, with their places. The limit keeps PostgreSQL on the way, whatever else is asked for.

    It may hold a condition for so rare that it would rather read all rows, and sort the few that it expects.
    """
    place = way.table.created.label("place"), way.id.label("place_id")
    return _on_way(resource, way, before).add_columns(*place).limit(literal_limit(count)).subquery()


def rows_on(
    resource: Resource, way: Way, asked: ColumnElement[bool], before: Place | None, *, is_exact: bool, count: int
) -> Select[Any]:
    """The first rows on a way that are asked for, newest first; unless it is exact, among those that are looked at."""
    if is_exact:
        return _on_way(resource, way, before).where(asked).limit(literal_limit(count))
    rows = _looked_at(resource, way, before, LOOKED_AT)
    newest = rows.c.place.desc(), rows.c.place_id.desc()
    return select(rows).where(ClauseAdapter(rows).traverse(asked)).order_by(*newest).limit(literal_limit(count))


def _rows(
    connection: Connection, resource: Resource, plan: Plan, asked: ColumnElement[bool],
    before: Place | None, end: Place | None, count: int,
) -> list[Row[Any]]:  # fmt: skip
    """The first rows of all ways together, up to the end."""
    rows: dict[str, Row[Any]] = {}
    for way in plan.ways:
        query = rows_on(resource, way, asked, before, is_exact=plan.rest is None, count=count)
        rows |= {row.id: row for row in connection.execute(query)}
    found = sorted(rows.values(), key=lambda row: (row.created, row.id), reverse=True)[:count]
    return [row for row in found if end is None or (row.created, row.id) >= tuple(end)]


def _count(connection: Connection, resource: Resource, plan: Plan, asked: ColumnElement[bool]) -> int:
    """How many are found among the first rows on each way."""
    ids = []
    for way in plan.ways:
        rows = _looked_at(resource, way, None, COUNTED)
        ids.append(select(rows.c.id).where(ClauseAdapter(rows).traverse(asked)))
    return connection.scalar(select(func.count()).select_from(union(*ids).subquery())) or 0


def _page_of(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place[0]} {place[1]}".encode()).decode()


def _read_page(page: str) -> tuple[int, str]:
    try:
        created, _, name = base64.urlsafe_b64decode(page).decode().partition(" ")
        return int(created[:18]), name.replace("\0", "")
    except ValueError:
        raise ApiError(400, "This page is none that a search has answered with.", None, "page") from None
