"""Where requests are counted: in the memory of a process, or in the program's database for all processes.

Both count in windows that begin with a client's first request, and read the program's clock.
"""

import threading
from typing import Any

from limits.storage import Storage
from sqlalchemy import BigInteger, bindparam, case, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from portal_site import clock
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.db.deletion import delete_in_batches
from portal_site.db.transactions import passing_write, reading
from portal_site.rate_limits.models import RateLimitCount

SWEEP = 60  # seconds between two removals of windows that are over
MOST_CLIENTS = 100_000  # in the memory of a process, about 30 MB; beyond that it forgets all of them


class LocalStorage(Storage):
    """Counts in the memory of this process. The library's own starts a thread for most requests."""

    STORAGE_SCHEME = ["portal-local"]  # noqa: RUF012 - as the library has it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int]] = {}  # hits, and the end
        self._next_sweep = 0

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing fails here."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and return the hits of the window. One that would be longer than it can be is of a clock that was wrong."""
        at = clock.now()
        with self._lock:
            if at >= self._next_sweep or len(self._windows) > MOST_CLIENTS:
                self._sweep(at)
            hits, end = self._windows.get(key, (0, 0))
            if not at < end <= at + expiry:
                hits, end = 0, at + expiry
            self._windows[key] = hits + amount, end
        return hits + amount

    def _sweep(self, at: int) -> None:
        running = {key: window for key, window in self._windows.items() if window[1] > at}
        self._windows = running if len(running) < MOST_CLIENTS // 2 else {}
        self._next_sweep = at + SWEEP

    def get(self, key: str) -> int:
        """The hits of the current window."""
        hits, end = self._windows.get(key, (0, 0))
        return hits if end > clock.now() else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, or now."""
        return max(self._windows.get(key, (0, 0))[1], clock.now())

    def check(self) -> bool:
        """It always works."""
        return True

    def reset(self) -> int:
        """Forget all counts. Returns how many there were."""
        with self._lock:
            count = len(self._windows)
            self._windows = {}
        return count

    def clear(self, key: str) -> None:
        """Forget one client."""
        with self._lock:
            self._windows.pop(key, None)


_TABLE: Any = RateLimitCount.__table__
_AT, _END, _AMOUNT = (bindparam(name, type_=BigInteger) for name in ("at", "end", "amount"))
_IS_OVER = or_(_TABLE.c.expires_at <= _AT, _TABLE.c.expires_at > _END)
# Statements are made once: they take longer to make than to execute.
_COUNT = {
    name: dialect.insert(_TABLE)
    .values(id=bindparam("key"), hits=_AMOUNT, expires_at=_END)
    .on_conflict_do_update(
        index_elements=["id"],
        set_={
            "hits": case((_IS_OVER, _AMOUNT), else_=_TABLE.c.hits + _AMOUNT),
            "expires_at": case((_IS_OVER, _END), else_=_TABLE.c.expires_at),
        },
    )
    .returning(_TABLE.c.hits)
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_READ = select(_TABLE.c.hits, _TABLE.c.expires_at).where(_TABLE.c.id == bindparam("key"), _TABLE.c.expires_at > _AT)
CHECK_KEY, CHECK_LIFE = "check", 60


class SqlStorage(Storage):
    """Counts in the program's database, with one statement in a transaction of its own. It needs an application context."""

    STORAGE_SCHEME = ["portal-sql"]  # noqa: RUF012 - as the library has it

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the database raises."""
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and return the hits of the window. One that would be longer than it can be is of a clock that was wrong."""
        at = clock.now()
        given = {"key": hash_token(key), "at": at, "end": at + expiry, "amount": amount}
        with passing_write(wait=True) as connection:
            return int(connection.execute(_COUNT[connection.dialect.name], given).scalar_one())

    def _read(self, key: str) -> tuple[int, int]:
        at = clock.now()
        with reading() as reader:
            row = reader.execute(_READ, {"key": hash_token(key), "at": at}).first()
        return (row.hits, row.expires_at) if row else (0, at)

    def get(self, key: str) -> int:
        """The hits of the current window."""
        return self._read(key)[0]

    def get_expiry(self, key: str) -> float:
        """When the window ends, or now."""
        return self._read(key)[1]

    def check(self) -> bool:
        """Whether the database can be written."""
        try:
            self.incr(CHECK_KEY, CHECK_LIFE)
        except SQLAlchemyError:
            return False
        return True

    def reset(self) -> int:
        """Not needed: tests empty the tables."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Not needed: windows end by themselves."""
        raise NotImplementedError


def remove_old(at: int) -> int:
    """Remove the windows that are over, in short transactions. Returns how many."""
    return delete_in_batches(RateLimitCount, RateLimitCount.expires_at <= at)
