"""Builds the batches of an import ahead of their turn, in a second process as well as in this one.

Making objects of the documents takes nearly half of an import's time, and needs nothing of the database.
"""

import gc
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread
from types import TracebackType
from typing import Self

from portal_site.billing.importing.reading.building import Batch, Builder
from portal_site.billing.importing.reading.index import Entry, Index, Paths

LARGE = 20_000  # objects: fewer are built before a second process has begun
MOST_AHEAD = 3_000  # objects that wait for their turn in memory
COLLECT_AFTER = 10  # batches
NICENESS = 10  # of the second process: what answers customers goes before it


@dataclass(slots=True)
class _Waiting:
    """A batch whose turn has not come. `future` is the second process's work on it, and `batch` what this process built."""

    entries: Sequence[Entry]
    goes_on: bool
    future: Future[Batch] | None
    batch: Batch | None = None


class Ahead:
    """Builds batches. `index` is what `builder` reads from, and `account_id` whose objects they are."""

    def __init__(self, builder: Builder, index: Index, account_id: str) -> None:
        self._builder, self._index = builder, index
        self._executor: ProcessPoolExecutor | None = None
        paths = index.paths()
        if paths is not None and index.count() >= LARGE and (os.cpu_count() or 1) > 1:
            with suppress(OSError, ImportError, NotImplementedError):  # where there are no semaphores: alone
                self._executor = ProcessPoolExecutor(1, get_context("spawn"), _begin, (paths, account_id))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def build(self, batches: Iterator[tuple[list[Entry], bool]]) -> Iterator[tuple[Sequence[Entry], bool, Batch]]:
        """Each of these batches with what was built of it, in their order."""
        waiting: deque[_Waiting] = deque()
        for entries, goes_on in batches:
            waiting.append(_Waiting(entries, goes_on, self._submit(entries)))
            while waiting and (self._executor is None or sum(len(one.entries) for one in waiting) >= MOST_AHEAD):
                yield self._first_of(waiting)
        while waiting:
            yield self._first_of(waiting)

    def _submit(self, entries: Sequence[Entry]) -> Future[Batch] | None:
        """Let the second process build these entries, if there is one."""
        try:
            return self._executor.submit(_build, entries) if self._executor else None
        except (BrokenExecutor, OSError):  # killed, or not to be started
            self._executor = None
            return None

    def _first_of(self, waiting: deque[_Waiting]) -> tuple[Sequence[Entry], bool, Batch]:
        """Take the first batch. Until it is there, those that the other process has not begun are built here, in their order."""
        first = waiting[0]
        while first.batch is None and first.future is not None and not first.future.done():
            later = next((one for one in waiting if one.batch is None and one.future and one.future.cancel()), None)
            if later is None:
                break
            later.batch = self._builder.build(later.entries)
        waiting.popleft()
        return first.entries, first.goes_on, first.batch or self._result(first)

    def _result(self, one: _Waiting) -> Batch:
        try:
            batch = one.future.result() if one.future is not None else self._builder.build(one.entries)
        except BrokenExecutor:
            # The other process was killed. What it found embedded, in this batch and in earlier ones, has to be found here.
            self._executor = None
            self._builder.begin_anew()
            batch = self._builder.build(one.entries)
        self._index.unlink()  # who reads its files has them open by now
        return batch


_builders: list[Builder] = []  # the one of the second process


def _begin(paths: Paths, account_id: str) -> None:
    """Get ready in the second process."""
    Thread(target=_end_with_the_import, daemon=True).start()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # who interrupts the import means the first process, which ends this one
    os.nice(NICENESS)
    gc.freeze()
    gc.disable()
    _builders.append(Builder(Index.of_another_process(paths), account_id))


def _end_with_the_import() -> None:
    """An import that is killed cannot end its second process."""
    first = parent_process()
    if first is not None:
        first.join()
    os._exit(1)


def _build(entries: Sequence[Entry]) -> Batch:
    return _builders[0].build(entries)
