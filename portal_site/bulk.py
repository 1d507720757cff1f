"""Many rows of one table in one statement, past SQLAlchemy: it takes longer to hand a row over than a database to keep it.

PostgreSQL gets the rows as one JSON text and takes them apart itself; SQLite, which lives in this process, gets their values.
All rows have the columns of the first.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Session

from portal_site.db import Base, Row


def insert(session: Session, kind: type[Base], rows: Sequence[Row]) -> None:
    """Add rows. Defaults that a model has in Python are not filled in."""
    table, columns, marks = kind.__tablename__, _listed(rows[0]), ", ".join("?" for _ in rows[0])
    taken = f"SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s)"  # noqa: S608 - names of our own
    _send(session, kind, rows, f"INSERT INTO {table} ({columns})", sqlite=f"VALUES ({marks})", postgresql=taken)


def update(session: Session, kind: type[Base], rows: Sequence[Row]) -> None:
    """Change rows by the first column, `id`. It does not ask whose they are: the caller has found and locked them."""
    table = kind.__tablename__
    given = ", ".join(f'"{name}" = ?{place}' for place, name in enumerate(rows[0], 1) if name != "id")
    taken = ", ".join(f'"{name}" = new."{name}"' for name in rows[0] if name != "id")
    source = f"FROM json_populate_recordset(NULL::{table}, %s) new WHERE {table}.id = new.id"
    _send(session, kind, rows, f"UPDATE {table} SET", sqlite=f"{given} WHERE id = ?1", postgresql=f"{taken} {source}")


def _send(session: Session, kind: type[Base], rows: Sequence[Row], verb: str, **rest: str) -> None:
    connection, dialect = session.connection(), session.get_bind().dialect.name
    given: Any = _values(kind, rows) if dialect == "sqlite" else (json.dumps(rows),)
    done = connection.exec_driver_sql(f"{verb} {rest[dialect]}", given)
    if done.rowcount != len(rows):
        raise RuntimeError(f"{verb}: {done.rowcount} rows, not {len(rows)}")


def _values(kind: type[Base], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    documents = {column.name for column in kind.__table__.columns if isinstance(column.type, JSON)}
    names = tuple((name, name in documents) for name in rows[0])
    return [tuple([_document(row[name]) if packed else row[name] for name, packed in names]) for row in rows]


def _document(value: Any) -> str | None:
    # Most are empty, and str() says that quicker than an encoder does.
    return None if value is None else json.dumps(value) if value else str(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
