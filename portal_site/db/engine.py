"""Engine set-up: SQLite pragmas and locking, the PostgreSQL pool, and the check that every query names an owner."""

import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from pydantic_core import from_json
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine

from portal_site.db import db, scoping
from portal_site.db.json_columns import json_text
from portal_site.db.page_query import execute_by_driver
from portal_site.db.transactions import retry_on_conflict


def prepare(engine: Engine) -> None:
    """Install the listeners: the owner check on reads and, on SQLite, the pragmas and the write lock at BEGIN."""
    event.listen(engine, "before_execute", scoping.check_read)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)


SQLITE_PRAGMAS = {
    "journal_mode": "WAL",
    # FULL rather than NORMAL, because an invoice shown as paid must survive a power cut. It halves the commits per second.
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": "5000",
    "temp_store": "MEMORY",
    # 16 MB rather than 4: every batch of a billing run changes the same index pages, which are then written only once.
    "wal_autocheckpoint": "4000",
    "cache_size": "-20000",
    "mmap_size": "134217728",
}


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late: see _begin_sqlite
    for name, value in SQLITE_PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once with “database is locked” if another transaction wrote
    # in between, regardless of the busy timeout. A writer therefore takes its lock at BEGIN.
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":  # a migration that commits each statement
        return
    if options.get("readonly", False):
        execute_by_driver(connection, "BEGIN", ())
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def engine_options(url: str) -> dict[str, Any]:
    """SQLAlchemy's engine options. The pool's timeouts (5 s) are short, so that a page fails fast when PostgreSQL is down."""
    # Log a failed statement without its parameters: they contain customers' names and the hashes of session tokens.
    options: dict[str, Any] = {"hide_parameters": True, "json_serializer": json_text, "json_deserializer": from_json}
    if not url.startswith("sqlite"):
        options |= {"pool_size": 10, "max_overflow": 10, "pool_timeout": 5, "connect_args": {"connect_timeout": 5}}
    return options


def init(app: Flask) -> None:
    """Bind the database to the app. A request that fails on a conflict is retried: every request is safe to repeat."""
    db.init_app(app)
    app.dispatch_request = partial(retry_on_conflict, app.dispatch_request)  # type: ignore[method-assign]
    with app.app_context():
        _make_folder(db.engine.url)
        prepare(db.engine)


def _make_folder(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database:
        with suppress(OSError):  # opening the database file reports a missing or read-only folder
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
