"""Deletes many rows of one table in short transactions, so that nobody waits for long."""

from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_

from portal_site.db import Base
from portal_site.db.transactions import reading, transaction

BATCH = 500
MOST_BATCHES = 20  # in one call; the next one goes on
UNSCOPED = {"unscoped": "what is over is removed for all merchants"}


def delete_in_batches(kind: type[Base], *is_over: ColumnElement[bool]) -> int:
    """Delete the rows of a table, of all merchants, that meet the conditions; a limited number in one call. Returns how many."""
    deleted = 0
    table: Any = kind.__table__
    key = table.primary_key.columns
    for _ in range(MOST_BATCHES):
        with reading() as reader:
            ids = reader.execute(select(*key).where(*is_over).limit(BATCH).execution_options(**UNSCOPED)).all()
        if ids:
            with transaction() as session:
                gone = tuple_(*key).in_([tuple(found) for found in ids])
                statement = delete(kind).where(gone)
                session.execute(statement.execution_options(**UNSCOPED, synchronize_session=False))
            deleted += len(ids)
        if len(ids) < BATCH:
            break
    return deleted
