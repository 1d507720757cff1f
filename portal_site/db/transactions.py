"""The one way to write (`transaction`), a connection for reading, and what to do when two transactions collide."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal_site.db import db


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


def retry_on_conflict(action: Callable[..., T], *given: Any) -> T:
    """Call `action(*given)`; after a conflict with another transaction again, after a random pause, up to three times in all."""
    for attempt in range(1, TRIES):
        try:
            return action(*given)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
            time.sleep(random.uniform(0, PAUSE * attempt))  # noqa: S311 - keeps two apart, hides nothing
    return action(*given)


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection that only reads, outside any transaction of ours."""
    # Reads never share the session's connection: autocommit spares PostgreSQL the BEGIN and ROLLBACK round trips (after a
    # ROLLBACK psycopg drops its prepared statements), and SQLite the write lock that `transaction` takes at once.
    engine = db.engine
    options = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options, readonly=True) as connection:
        yield connection
