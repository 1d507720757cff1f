"""A process that dies at any point of its work with the database, simulated or real."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from sqlalchemy import event

from portal_site.db import db
from tests.stripe.faults import Faults


class Killed(BaseException):
    """The simulated end of the process. It is a BaseException, so that no `except Exception` catches it."""


def raise_killed() -> None:
    """Simulate a killed process. Open transactions are rolled back, as the database does when a process dies."""
    raise Killed


BEFORE = ("before_cursor_execute", "commit")
AROUND = (*BEFORE, "after_cursor_execute")
READS = ("SELECT", "BEGIN")


@contextmanager
def killing(
    after: int | None,
    points: tuple[str, ...] = BEFORE,
    die: Callable[[], None] = raise_killed,
    *,
    only_writes: bool = False,
    line: Faults | None = None,
) -> Iterator[SimpleNamespace]:
    """Call `die` at the point with this number, counted from 0; None: only count the points.

    `points` are names of SQLAlchemy's engine events. With `only_writes`, those points are left out that are like the next one:
    after a statement, and before one that only reads. Who dies there leaves the same database. `events` counts them too. With the
    `line` to a payment provider, the points before and after each call's work there are points, too.
    """
    counter = SimpleNamespace(points=0, events=0)

    def point(_connection: object, _cursor: object = None, statement: str = "", *_more: object) -> None:
        counter.events += 1
        if not (only_writes and statement.lstrip().startswith(READS)):
            counter.points += 1
            if counter.points - 1 == after:
                die()

    def afterwards(*_args: object) -> None:
        counter.events += 1

    listeners = [(name, afterwards if only_writes and name.startswith("after") else point) for name in points]
    for name, listener in listeners:
        event.listen(db.engine, name, listener)
    if line is not None:
        line.around = lambda: point(None)
    try:
        yield counter
    finally:
        if line is not None:
            line.around = lambda: None
        for name, listener in listeners:
            event.remove(db.engine, name, listener)
