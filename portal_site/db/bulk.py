"""Inserts or updates many rows of one table in one statement.

It bypasses SQLAlchemy, which takes longer to pass a row to the driver than the database takes to store it. PostgreSQL receives
all rows as one JSON text and unpacks it; SQLite, which runs in this process, receives the values of each row. All rows must
have the same columns as the first one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Session

from portal_site.db import Base
from portal_site.db.json_columns import json_text


def insert(session: Session, kind: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows. Python-side defaults of the model are not applied. Raises RuntimeError unless every row was inserted."""
    table, columns, placeholders = kind.__tablename__, _listed(rows[0]), ", ".join("?" for _ in rows[0])
    source = f"SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s)"  # noqa: S608 - names of our own
    _send(session, kind, rows, f"INSERT INTO {table} ({columns})", sqlite=f"VALUES ({placeholders})", postgresql=source)


def update(session: Session, kind: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Update rows by their `id`, which must be the first column. Raises RuntimeError unless every row was updated.

    It does not check the owner: the caller has already selected and locked the rows by their owner.
    """
    table = kind.__tablename__
    numbered = ", ".join(f'"{name}" = ?{number}' for number, name in enumerate(rows[0], 1) if name != "id")
    from_new = ", ".join(f'"{name}" = new."{name}"' for name in rows[0] if name != "id")
    source = f"FROM json_populate_recordset(NULL::{table}, %s) new WHERE {table}.id = new.id"
    sqlite, postgresql = f"{numbered} WHERE id = ?1", f"{from_new} {source}"
    _send(session, kind, rows, f"UPDATE {table} SET", sqlite=sqlite, postgresql=postgresql)


def _send(session: Session, kind: type[Base], rows: Sequence[Mapping[str, object]], start: str, **rest: str) -> None:
    """Execute `start` followed by the rest of the statement for the session's dialect."""
    connection, dialect = session.connection(), session.get_bind().dialect.name
    parameters: Any = _values(kind, rows) if dialect == "sqlite" else (json_text(rows),)
    result = connection.exec_driver_sql(f"{start} {rest[dialect]}", parameters)
    if result.rowcount != len(rows):
        raise RuntimeError(f"{start}: {result.rowcount} rows, not {len(rows)}")


def _values(kind: type[Base], rows: Sequence[Mapping[str, object]]) -> list[tuple[Any, ...]]:
    columns = kind.__table__.columns
    kinds = [(name, isinstance(columns[name].type, JSON)) for name in rows[0]]
    return [
        tuple([json_text(row[name]) if is_json and row[name] is not None else row[name] for name, is_json in kinds])
        for row in rows
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
