"""Engine set-up: SQLite pragmas and locking, the PostgreSQL pool, and the check that every query names an owner."""

import os
import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from pydantic_core import from_json
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DisconnectionError, OperationalError

from portal_site import locations
from portal_site.db import db, scoping
from portal_site.db.json_columns import json_text
from portal_site.db.page_query import execute_by_driver
from portal_site.db.transactions import retry_on_conflict


def prepare(engine: Engine) -> None:
    """Install the listeners: the owner check on reads; on SQLite the pragmas, the write lock at BEGIN, the check of the file."""
    event.listen(engine, "before_execute", scoping.check_read)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if engine.url.database:
            _watch_file(engine, engine.url.database)


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


def has_no_file(url: URL) -> bool:
    """Whether it is an SQLite database that does not exist. Connecting would make it."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return False
    try:
        os.stat(url.database)
    except FileNotFoundError:
        return True
    except OSError:  # SQLite tells what is wrong with it
        return False
    return False


def _watch_file(engine: Engine, path: str) -> None:
    """Use no connection to a file that is not the database any more: deleted, or replaced by a backup.

    What is written to such a file is gone with the process. PostgreSQL's connections tell by themselves.
    """

    def identity() -> tuple[int, int] | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    seen = False

    def make_or_refuse(_dialect: Any, _record: Any, _arguments: Any, _members: Any) -> None:
        if seen and has_no_file(engine.url):
            raise sqlite3.OperationalError("the database file was deleted")
        with suppress(OSError):  # SQLite tells what is wrong with a folder that is missing or read-only
            locations.make_private_file(Path(path))

    def remember(_connection: Any, record: Any) -> None:
        nonlocal seen
        seen, record.info["file"] = True, identity()

    def compare(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.get("file") != identity():
            raise DisconnectionError("the database file was replaced")

    def compare_again(connection: Connection) -> None:
        is_writing = not connection.get_execution_options().get("readonly", False)
        if is_writing and connection.connection.info.get("file") != identity():
            connection.invalidate()
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("the database file was replaced"))

    event.listen(engine, "do_connect", make_or_refuse)
    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)
    event.listen(engine, "commit", compare_again)


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
        prepare(db.engine)
