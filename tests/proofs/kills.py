"""A process that dies at any point of its work with the database, simulated or real."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from sqlalchemy import event

from portal_site.db import db


class Killed(BaseException):
    """The simulated end of the process. It is a BaseException, so that no `except Exception` catches it."""


def raise_killed() -> None:
    """Simulate a killed process. Open transactions are rolled back, as the database does when a process dies."""
    raise Killed


BEFORE = ("before_cursor_execute", "commit")
AROUND = (*BEFORE, "after_cursor_execute")


@contextmanager
def killing(
    after: int | None, points: tuple[str, ...] = BEFORE, die: Callable[[], None] = raise_killed
) -> Iterator[SimpleNamespace]:
    """Call `die` at the point with this number, counted from 0; None: only count the points.

    `points` are names of SQLAlchemy's engine events.
    """
    counter = SimpleNamespace(points=0)

    def point(*_args: Any) -> None:
        counter.points += 1
        if counter.points - 1 == after:
            die()

    for name in points:
        event.listen(db.engine, name, point)
    try:
        yield counter
    finally:
        for name in points:
            event.remove(db.engine, name, point)
