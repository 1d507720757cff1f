"""Calls to payment providers that are made at the same time.

A call takes a few tenths of a second, in which one thread would only wait. Threads make the calls and do nothing else; what comes
of them is stored by the thread that began them, so that on SQLite no two of them wait for each other's transactions.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

AT_ONCE = 48  # 80 charges of two calls of 0.2 s each are 32 at a time


@dataclass
class ParallelCalls:
    """Threads that make calls, at most so many at a time: whatever is due, no more than that is in memory."""

    pool: Executor
    most: int = AT_ONCE
    _waiting: dict[Future[Any], Callable[[Callable[[], Any]], None]] = field(default_factory=dict)

    def call(self, ask: Callable[[], Any], then: Callable[[Callable[[], Any]], None]) -> None:
        """Let a thread call `ask`, as soon as one is free. `then` gets what returns its result, or raises its error."""
        while len(self._waiting) >= self.most:
            self._take()
        self._waiting[self.pool.submit(ask)] = then

    def finish(self) -> None:
        """Wait for all calls."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
        for future in done:
            self._waiting.pop(future)(future.result)
