"""The selects of one page, compiled once and fetched together."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, func, literal_column, select
from sqlalchemy.engine import Connection, Dialect, Result
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql.selectable import CompoundSelect

from portal_site.db import scoping
from portal_site.db.transactions import reading

Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]


Row = dict[str, Any]


def literal_limit(rows: int) -> ColumnElement[int]:
    """A LIMIT as a literal in the SQL. With a bound parameter PostgreSQL would plan for a tenth of the table."""
    return literal_column(str(int(rows)), Integer)


class NotJson:
    """In place of a stored document that is no JSON. Whatever looks into it raises ValueError."""

    def __bool__(self) -> bool:
        raise ValueError("a stored document is no JSON")

    def __getattr__(self, name: str) -> Any:
        raise ValueError("a stored document is no JSON")


class PageQuery:
    """The named selects that one page needs, compiled once per dialect and fetched together.

    PostgreSQL answers all of them in one round trip, as JSON. SQLite has no round trips to save and answers them one by one.
    The selects may only have columns that JSON represents exactly: integers, text, booleans and JSON. Raises
    scoping.Unscoped at the first fetch, not when it is made: to check all of them would take a tenth of each start.
    """

    def __init__(self, **selects: Query) -> None:
        self.selects = selects
        self._prepared: dict[str, dict[str, _Prepared]] = {}

    def fetch(self, **parameters: Any) -> dict[str, list[Row]]:
        """All rows of each select, by the select's name. A lost connection is retried once."""
        try:
            return self._fetch(parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The server was restarted while the pool held the connection. A read can safely be repeated.
            return self._fetch(parameters)

    def one(self, **parameters: Any) -> Row | None:
        """The first row of the first select, or None if it has no rows."""
        rows = next(iter(self.fetch(**parameters).values()))
        return rows[0] if rows else None

    def _fetch(self, parameters: dict[str, Any]) -> dict[str, list[Row]]:
        with reading() as connection:
            prepared = self._prepared.get(connection.dialect.name) or self._prepare(connection.dialect)
            if connection.dialect.name == "postgresql":
                return prepared["all"].rows(connection, parameters)[0]
            return {name: select.rows(connection, parameters) for name, select in prepared.items()}

    def _prepare(self, dialect: Dialect) -> "dict[str, _Prepared]":
        for query in self.selects.values():
            scoping.check(query)
        queries = {"all": _in_one(self.selects)} if dialect.name == "postgresql" else self.selects
        prepared = {name: _Prepared(query, dialect) for name, query in queries.items()}
        self._prepared[dialect.name] = prepared
        return prepared


def _in_one(selects: Mapping[str, Query]) -> Select[Any]:
    def packed(name: str, query: Query) -> Any:
        source = query.subquery(name)
        rows = func.coalesce(func.json_agg(func.row_to_json(literal_column(name))), literal_column("'[]'::json"))
        return select(rows).select_from(source).scalar_subquery().label(name)

    return select(*(packed(name, query) for name, query in selects.items()))


class _Prepared:
    """A select compiled to SQL.

    SQLAlchemy's own statement cache is bypassed: building its cache key, which is as long as the select, takes longer than
    SQLite takes to answer.
    """

    def __init__(self, query: Query, dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect)
        self.sql = str(compiled)
        self.order: Sequence[str] | None = getattr(compiled, "positiontup", None)
        self.constants = {name: value for name, value in compiled.params.items() if value is not None}
        columns = list(query.selected_columns)
        self.names = [str(column.key) for column in columns]
        processors = (column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns)
        self.processors = [(name, make) for name, make in zip(self.names, processors, strict=True) if make]

    def rows(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Row]:
        values = {**self.constants, **parameters}
        bound: Any = tuple(values[name] for name in self.order) if self.order is not None else values
        rows = [dict(zip(self.names, row, strict=True)) for row in execute_by_driver(connection, self.sql, bound)]
        for name, process in self.processors:
            for row in rows:
                row[name] = _document(process, row[name])
        return rows


def _document(process: Callable[[Any], Any], stored: Any) -> Any:
    try:
        return process(stored)
    except ValueError:
        return NotJson()


def execute_by_driver(connection: Connection, sql: str, bound: Any) -> Iterable[Any]:
    """The rows of a statement, executed without SQLAlchemy's result processing. Raises OperationalError."""
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(sql, bound)
    # On SQLite the driver is called directly: SQLAlchemy's result handling takes longer than the query itself.
    try:
        driver: Any = connection.connection.driver_connection
        rows: list[Any] = driver.execute(sql, bound).fetchall()
    except sqlite3.Error as error:
        raise OperationalError(sql, None, error) from error
    return rows


def as_namespace(row: Mapping[str, object]) -> Any:
    """A row that is still to be written, as a plain object."""
    return SimpleNamespace(**row)


def as_namespaces(result: Result[*tuple[Any, ...]]) -> list[Any]:
    """All rows as plain objects. They suit rows that are read very often: attribute access on SQLAlchemy's rows is slow."""
    names = tuple(result.keys())
    return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in result]
