"""Writes a batch: the new rows of all tables, many in one statement; alone what the database does not take."""

from collections.abc import Sequence

from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.importing.report import ImportReport, Result, first_line
from portal_site.db import Base, bulk

TABLES = {table.name: position for position, table in enumerate(Base.metadata.sorted_tables)}
NOT_STORED = "the database does not take them"


def store(session: Session, objects: Sequence[ImportedObject], report: ImportReport) -> list[ImportedObject]:
    """Insert the rows of new objects. Returns those that are stored; the others are reported by name."""
    try:
        with session.begin_nested():
            insert(session, [row for one in objects for row in one.rows])
        return list(objects)
    except OperationalError:
        raise  # a fault of the database, not of the file
    except (SQLAlchemyError, OverflowError) as error:
        if len(objects) == 1:
            _refuse(objects[0], error, report)
            return []
        half = len(objects) // 2
        return store(session, objects[:half], report) + store(session, objects[half:], report)


def _refuse(one: ImportedObject, error: Exception, report: ImportReport) -> None:
    why = first_line(getattr(error, "orig", None) or error)
    report.find(Result.LEFT_OUT, one.kind, one.id, NOT_STORED, f"{one.name} cannot be stored: {why}.", one.customer)


def insert(session: Session, rows: Sequence[Row]) -> None:
    """Insert rows of any tables, those that others refer to first."""
    by_model: dict[type[Base], list[Row]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    for model in sorted(by_model, key=lambda model: TABLES[model.__tablename__]):
        bulk.insert(session, model, [row.values for row in by_model[model]])


def count(objects: Sequence[ImportedObject], report: ImportReport) -> None:
    """Count the rows of stored objects by table, in the order of the tables."""
    for one in objects:
        for row in one.rows:
            report.added[row.model.__tablename__.replace("_", " ")] += 1
