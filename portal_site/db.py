"""The database: one model base, one way to write (`transaction`), one way to read a page (`Reading`)."""

import random
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Integer, MetaData, Select, event, func, literal_column, select
from sqlalchemy.engine import URL, Connection, Dialect, Engine, Result
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, registry
from sqlalchemy.sql.selectable import CompoundSelect
from sqlalchemy.types import BigInteger

from portal_site import clock, scoping

ID_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase  # in the order in which databases sort
ID_LENGTH = 24
ID_STEP = 4  # letters that tell a millionth of it, where the order within a second matters
ID_STAMP = 6  # letters that tell the second; the 18 others are random: more than 107 bits
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table's base. Integers are 64 bits wide: times and amounts overflow 32."""

    id: Any  # the engine's tables all have one; declared here for code that handles rows of any of them

    registry = registry(metadata=MetaData(naming_convention=NAMES), type_annotation_map={int: BigInteger})


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
event.listen(db.session, "do_orm_execute", scoping.check_orm)


# Of 256 values of a byte 248 stand for a letter or digit each, four for one; the others are thrown away, so all are as likely.
_LETTERS = bytes(ord(ID_ALPHABET[value % len(ID_ALPHABET)]) for value in range(256))
_SURPLUS = bytes(range(256 - 256 % len(ID_ALPHABET), 256))


def new_id(prefix: str) -> str:
    """A fresh identifier such as `cus_…` that nobody can guess.

    It begins with the second in which it is made, so that what is written together lies together in the indexes: in a table of
    millions that is worth more than the rest of a billing run.
    """
    letters, wanted = b"", ID_LENGTH - ID_STAMP
    while len(letters) < wanted:
        letters = secrets.token_bytes(wanted + 12).translate(_LETTERS, _SURPLUS)
    return f"{prefix}_{_stamp(clock.now())}{letters[:wanted].decode()}"


_last = 0
_turn = threading.Lock()


def ordered_id(prefix: str) -> str:
    """A fresh identifier that sorts behind those that this process made before: for what is told in an order."""
    global _last  # noqa: PLW0603 - one sequence for the process is what it is about
    with _turn:
        _last = max(_last + 1, clock.microseconds())
        second, step = divmod(_last, 1_000_000)
    chance = new_id(prefix)[-(ID_LENGTH - ID_STAMP - 1) :]  # one letter less than others, and still 101 bits
    return f"{prefix}_{_stamp(second)}{_letters(step, ID_STEP)}{chance}"


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return _letters(second, ID_STAMP)


def _letters(number: int, count: int) -> str:
    letters = []
    for _ in range(count):
        number, rest = divmod(number, len(ID_ALPHABET))
        letters.append(ID_ALPHABET[rest])
    return "".join(reversed(letters))


@contextmanager
def transaction() -> Iterator[Session]:
    """The only commit in the program: all that happens inside is kept, or nothing is."""
    session: Session = db.session()
    if session.info.get("inside"):
        raise RuntimeError("a transaction inside a transaction: operations do not call each other")
    # What an earlier read left open must not become part of this transaction.
    session.rollback()
    session.info["inside"] = True
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info["inside"] = False


TRIES = 3
PAUSE = 0.05  # seconds, at most, before the second try; twice that before the third
# PostgreSQL breaks a deadlock, or a clash of serializable transactions, by failing one of them: nothing of it was kept.
CONFLICTS = ("40P01", "40001")
T = TypeVar("T")


def is_conflict(error: DBAPIError) -> bool:
    """Whether the statement failed only because of what another transaction did at the same time."""
    return getattr(error.orig, "sqlstate", None) in CONFLICTS


def insist(action: Callable[..., T], *given: Any) -> T:
    """Call `action(*given)`; after a conflict with another transaction again, after a random pause, up to three times in all."""
    for attempt in range(1, TRIES):
        try:
            return action(*given)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
            time.sleep(random.uniform(0, PAUSE * attempt))  # noqa: S311 - keeps two apart, hides nothing
    return action(*given)


def json_text(value: Any) -> str:
    """A JSON column's text."""
    # By pydantic, which is here anyway: three times as fast as the standard library, and a billing run writes many events.
    return to_json(value).decode()


Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Row = dict[str, Any]


def at_most(rows: int) -> ColumnElement[int]:
    """A limit for a prepared select, written into it: as a parameter PostgreSQL would plan for a tenth of the table."""
    return literal_column(str(int(rows)), Integer)


class Reading:
    """The named selects that one page needs, prepared once and fetched together.

    PostgreSQL answers them all in one round trip, as JSON; SQLite, which has no trips to save, answers one by one.
    Selects keep to types that JSON carries exactly: integers, text, booleans and JSON itself.
    """

    def __init__(self, **selects: Query) -> None:
        for query in selects.values():
            scoping.check(query)
        self.selects = selects
        self._prepared: dict[str, dict[str, _Prepared]] = {}

    def fetch(self, **parameters: Any) -> dict[str, list[Row]]:
        """All rows of each select, by its name."""
        try:
            return self._fetch(parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The server was restarted under the pool: a read may simply be asked again, once.
            return self._fetch(parameters)

    def one(self, **parameters: Any) -> Row | None:
        """The first row of the first select, or None."""
        rows = next(iter(self.fetch(**parameters).values()))
        return rows[0] if rows else None

    def _fetch(self, parameters: dict[str, Any]) -> dict[str, list[Row]]:
        with reading() as connection:
            prepared = self._prepared.get(connection.dialect.name) or self._prepare(connection.dialect)
            if connection.dialect.name == "postgresql":
                return prepared["all"].rows(connection, parameters)[0]
            return {name: select.rows(connection, parameters) for name, select in prepared.items()}

    def _prepare(self, dialect: Dialect) -> "dict[str, _Prepared]":
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
    """A select as SQL. SQLAlchemy would look it up in its cache by a key as long as the select, which costs more than SQLite."""

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
        given = {**self.constants, **parameters}
        bound: Any = tuple(given[name] for name in self.order) if self.order is not None else given
        found = [dict(zip(self.names, row, strict=True)) for row in _execute(connection, self.sql, bound)]
        for name, process in self.processors:
            for row in found:
                row[name] = process(row[name])
        return found


def _execute(connection: Connection, sql: str, bound: Any) -> Iterable[Any]:
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(sql, bound)
    # By the driver itself: SQLite answers faster than SQLAlchemy describes the answer.
    try:
        driver: Any = connection.connection.driver_connection
        found: list[Any] = driver.execute(sql, bound).fetchall()
    except sqlite3.Error as error:
        raise OperationalError(sql, None, error) from error
    return found


def plain(result: Result[*tuple[Any, ...]]) -> list[Any]:
    """All rows as plain objects, where each is looked at so often that SQLAlchemy's own, slow to answer, would be felt."""
    names = tuple(result.keys())
    return [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in result]


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection that only reads, outside any transaction of ours."""
    # Reads never share the session's connection: autocommit spares PostgreSQL the BEGIN and ROLLBACK round trips (after a
    # ROLLBACK psycopg drops its prepared statements), and SQLite the write lock that `transaction` takes at once.
    engine = db.engine
    options = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options, readonly=True) as connection:
        yield connection


def prepare(engine: Engine) -> None:
    """Make an engine behave: what is read says whose it is; on SQLite write-ahead log, foreign keys, and write locks at BEGIN."""
    event.listen(engine, "before_execute", scoping.check_read)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)


SQLITE_PRAGMAS = {
    "journal_mode": "WAL",
    # FULL, not NORMAL: an invoice that was shown as paid must survive a power cut. Costs about half of the commits/s.
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": "5000",
    "temp_store": "MEMORY",
    # 16 MB rather than 4: a billing run changes the same pages of its indexes in batch after batch, and writes them once.
    "wal_autocheckpoint": "4000",
    "cache_size": "-20000",
    "mmap_size": "134217728",
}


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come too late: see _begin_sqlite
    for name, value in SQLITE_PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once with “database is locked” when another wrote
    # in between, whatever the busy timeout: so a writer takes its lock at BEGIN.
    if connection.get_execution_options().get("readonly", False):
        _execute(connection, "BEGIN", ())
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def engine_options(url: str) -> dict[str, Any]:
    """How the pool behaves: it gives up soon on a PostgreSQL that is away, so that a page answers rather than waits."""
    # A failed statement is logged without its values, which are customers' names and the hashes of their tokens.
    options: dict[str, Any] = {"hide_parameters": True, "json_serializer": json_text, "json_deserializer": from_json}
    if not url.startswith("sqlite"):
        options |= {"pool_size": 10, "max_overflow": 10, "pool_timeout": 5, "connect_args": {"connect_timeout": 5}}
    return options


def init(app: Flask) -> None:
    """Bind the database to the app. A request that lost a conflict is done again: each is safe to repeat, as a reload is."""
    db.init_app(app)
    app.dispatch_request = partial(insist, app.dispatch_request)  # type: ignore[method-assign]
    with app.app_context():
        _make_folder(db.engine.url)
        prepare(db.engine)


def _make_folder(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database:
        with suppress(OSError):  # what the folder lacks, opening the file in it will say
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
