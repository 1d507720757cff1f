"""Many rows of one table in one statement, past SQLAlchemy: it takes longer to hand a row over than a database to keep it.

PostgreSQL gets the rows as one JSON text and takes them apart itself; SQLite, which lives in this process, gets their values.
All rows have the columns of the first.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Session

from portal_site.db import Base
from portal_site.db.json_columns import json_text
from portal_site.db.page_query import Row


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
    given: Any = _values(kind, rows) if dialect == "sqlite" else (json_text(rows),)
    done = connection.exec_driver_sql(f"{verb} {rest[dialect]}", given)
    if done.rowcount != len(rows):
        raise RuntimeError(f"{verb}: {done.rowcount} rows, not {len(rows)}")


def _values(kind: type[Base], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    columns = kind.__table__.columns
    documents = [name for name in rows[0] if isinstance(columns[name].type, JSON)]
    values = itemgetter(*rows[0])
    return [values(row | {name: _document(row[name]) for name in documents}) for row in rows]


def _document(value: Any) -> str | None:
    return None if value is None else json_text(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
