"""Calls to payment providers that are made at the same time.

A call takes a few tenths of a second, in which one thread would only wait. Threads make the calls and do nothing else; what comes
of them is stored by the thread that began them, so that on SQLite no two of them wait for each other's transactions.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

AT_ONCE = 48  # 80 charges of two calls of 0.2 s each are 32 at a time
Subject = TypeVar("Subject")
Answer = TypeVar("Answer")


@dataclass
class ParallelCalls(Generic[Subject, Answer]):
    """Threads that make calls, at most so many at a time: whatever is due, no more than that is in memory.

    `then` gets the calls that are done, each with its subject and what returns its answer, or raises its error.
    """

    pool: Executor
    then: Callable[[Sequence[tuple[Subject, Callable[[], Answer]]]], None]
    most: int = AT_ONCE
    _waiting: dict[Future[Answer], Subject] = field(default_factory=dict)

    def call(self, ask: Callable[[], Answer], subject: Subject) -> None:
        """Let a thread call `ask`, as soon as one is free."""
        while len(self._waiting) >= self.most:
            self._take()
        self._waiting[self.pool.submit(ask)] = subject

    def finish(self) -> None:
        """Wait for all calls."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
        self.then([(self._waiting.pop(future), future.result) for future in done])
