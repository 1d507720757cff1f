"""The write transaction (`transaction`), the read-only connection (`reading`), and the retry after a conflict."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal_site.db import db, provisional_connection

Rows = list[dict[str, Any]]
Step = Callable[[Session, Rows], None]
_LAST_STEPS = "last_steps"  # in the info of a session that is inside a transaction
_HELD = "held"  # in the info of a session whose transaction has locked rows together
_JOINED = "joined"  # in the info of one whose transaction the next operation joins
_discards: ContextVar[bool] = ContextVar("discards", default=False)
_waiting: ContextVar[Session | None] = ContextVar("waiting", default=None)  # the session of a transaction to be joined


@contextmanager
def discarding_writes() -> Iterator[None]:
    """Within the block nothing is written: transactions are rolled back. One that has changed a row raises RuntimeError.

    For previews of pages, which load what they show as an operation would.
    """
    token = _discards.set(True)
    try:
        yield
    finally:
        _discards.reset(token)


@contextmanager
def provisional_rows() -> Iterator[Session]:
    """A session for rows that all reads and transactions within the block see, and nobody else: they are taken back at its end.

    For previews with customers who do not exist. On SQLite other writers wait meanwhile.
    """
    with db.engine.connect() as connection:
        outer = connection.begin()
        token = provisional_connection.set(connection)
        try:
            with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
                yield session
        finally:
            provisional_connection.reset(token)
            outer.rollback()


@contextmanager
def transaction() -> Iterator[Session]:
    """A write transaction: committed at the end, rolled back on any exception. It holds the program's only commit.

    Raises RuntimeError inside another transaction, unless that waits to be joined.
    """
    session: Session = db.session()
    if session.info.pop(_JOINED, False):
        try:
            yield session
            session.flush()
        finally:
            session.info[_JOINED] = True
            session.info.pop(_HELD, None)
        return
    if _LAST_STEPS in session.info:
        raise RuntimeError("a transaction inside a transaction: operations do not call each other")
    # An earlier read may have left a transaction open. It must not become part of this one.
    session.rollback()
    last_steps: dict[Step, Rows] = {}
    session.info[_LAST_STEPS] = last_steps
    try:
        yield session
        if _discards.get():
            _discard(session, last_steps)
            return
        session.flush()
        for step, rows in last_steps.items():
            if rows:
                step(session, rows)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        del session.info[_LAST_STEPS]
        session.info.pop(_HELD, None)


def _discard(session: Session, last_steps: dict[Step, Rows]) -> None:
    has_changes = session.new or session.dirty or session.deleted or last_steps
    session.rollback()
    if has_changes:
        raise RuntimeError("a write where nothing is to be written")


@contextmanager
def joined_transaction() -> Iterator[Session]:
    """A transaction that the operations called in it join, so that what they write and what the caller writes are one.

    For the answers of the API, which are stored with their effects. An operation's exception must leave the block. Between the
    operations, `reading` sees what they wrote.
    """
    with transaction() as session:
        session.info[_JOINED] = True
        token = _waiting.set(session)
        try:
            yield session
        finally:
            _waiting.reset(token)
            del session.info[_JOINED]


def held_rows(session: Session) -> dict[tuple[type[Any], str], Any]:
    """Rows, by class and id, that a statement of this transaction has locked, so that nobody needs to read them again.

    It is empty again when the transaction ends, or the operation that has joined it.
    """
    held: dict[tuple[type[Any], str], Any] = session.info.setdefault(_HELD, {})
    return held


def before_commit(session: Session, step: Step) -> Rows:
    """The rows that `step` gets as the last thing of this transaction, after all else was sent. Callers append to them.

    They are forgotten when the transaction is rolled back. Raises RuntimeError outside a transaction.
    """
    if _LAST_STEPS not in session.info:
        raise RuntimeError("there is no transaction at whose end this could be written")
    rows: Rows = session.info[_LAST_STEPS].setdefault(step, [])
    return rows


@contextmanager
def passing_write(*, wait: bool = False) -> Iterator[Connection]:
    """A small write beside a page that reads: it waits neither for another writer nor for the disk.

    Raises OperationalError at once when another transaction is in the way, unless it is to `wait`. What it wrote may be lost
    in a power cut.
    """
    if _discards.get():
        raise RuntimeError("a write where nothing is to be written")
    with db.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        is_lite = connection.dialect.name == "sqlite"
        changed = ("synchronous",) if wait else tuple(_PASSING)
        usual = {name: driver.execute(f"PRAGMA {name}").fetchone()[0] for name in changed} if is_lite else {}
        try:
            for name in usual:
                driver.execute(f"PRAGMA {name}={_PASSING[name]}")
            with connection.begin():
                if not is_lite:
                    patience = "" if wait else "SET LOCAL lock_timeout = '20ms'; "
                    connection.exec_driver_sql(f"{patience}SET LOCAL synchronous_commit = off")
                yield connection
        finally:
            for name, value in usual.items():
                driver.execute(f"PRAGMA {name}={value}")


_PASSING = {"busy_timeout": "0", "synchronous": "NORMAL"}
TRIES = 3


PAUSE = 0.05  # the longest pause in seconds before the second try; twice that before the third


# SQLSTATE of a deadlock and of a serialization failure. PostgreSQL resolves both by rolling back one transaction completely.
CONFLICTS = ("40P01", "40001")


T = TypeVar("T")


def is_conflict(error: DBAPIError) -> bool:
    """Whether the statement failed only because of a concurrent transaction, so that a retry can succeed."""
    return getattr(error.orig, "sqlstate", None) in CONFLICTS


def retry_on_conflict(action: Callable[..., T], *args: Any) -> T:
    """The result of `action(*args)`. After a conflict it is called again, after a random pause, at most three times in all."""
    for attempt in range(1, TRIES):
        try:
            return action(*args)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
            # The random pause keeps the two transactions apart.
            time.sleep(random.uniform(0, PAUSE * attempt))  # noqa: S311 - not used for security
    return action(*args)


@contextmanager
def reading() -> Iterator[Connection]:
    """A read-only connection outside the session's transaction. That of a transaction that waits to be joined is part of it."""
    # Reads never share the session's connection. On PostgreSQL, autocommit saves the round trips of BEGIN and ROLLBACK, and
    # psycopg drops its prepared statements after a ROLLBACK. On SQLite, `transaction` takes the write lock at once.
    if (shared := provisional_connection.get()) is not None:
        yield shared
        return
    if (joined := _waiting.get()) is not None and joined.info.get(_JOINED):
        joined.flush()
        yield joined.connection()
        return
    engine = db.engine
    options = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options, readonly=True) as connection:
        yield connection
