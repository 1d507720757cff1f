"""Calls to payment providers that are made at the same time.

A call takes a few tenths of a second, in which one thread would only wait. Threads make the calls and do nothing else; what comes
of them is stored by the thread that began them, so that on SQLite no two of them wait for each other's transactions.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

AT_ONCE = 64  # 80 charges a second of two calls of 0.2 s each are 32 at a time, and some wait to be recorded together
TOGETHER = 16  # payments that are begun, or recorded, in one transaction, which takes a twentieth of a second
Subject = TypeVar("Subject")
Answer = TypeVar("Answer")


@dataclass
class ParallelCalls(Generic[Subject, Answer]):
    """Threads that make calls, at most so many at a time: whatever is due, no more than that is in memory.

    `then` gets calls that are done, each with its subject and what returns its answer, or raises its error: at least `together`
    of them, while further calls wait for a thread.
    """

    pool: Executor
    then: Callable[[Sequence[tuple[Subject, Callable[[], Answer]]]], None]
    most: int = AT_ONCE
    together: int = TOGETHER
    _waiting: dict[Future[Answer], Subject] = field(default_factory=dict)
    _done: "SimpleQueue[Future[Answer]]" = field(default_factory=SimpleQueue)

    @property
    def under_way(self) -> Collection[Subject]:
        """The subjects of the calls that are not done, or whose answers were not given on yet."""
        return self._waiting.values()

    def call(self, ask: Callable[[], Answer], subject: Subject) -> None:
        """Let a thread call `ask`, as soon as one is free."""
        if len(self._waiting) >= self.most:
            self._take(self.together)
        future = self.pool.submit(ask)
        self._waiting[future] = subject
        future.add_done_callback(self._done.put)

    def finish(self) -> None:
        """Wait for all calls."""
        while self._waiting:
            self._take(1)

    def _take(self, least: int) -> None:
        done = [self._done.get() for _ in range(least)]
        while not self._done.empty():
            done.append(self._done.get())
        self.then([(self._waiting.pop(future), future.result) for future in done])
