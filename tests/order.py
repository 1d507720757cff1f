"""The order of the tests: who takes long begins, in each process, lest one be left alone with it at the end."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

SECONDS = 20.0  # what the mark `long` says without a number
Test = TypeVar("Test")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests after all other plugins have chosen which there are."""
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    items[:] = in_order([(item, _seconds(item)) for item in items], processes)


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("long")
    if mark is None:
        return 0
    return float(mark.args[0]) if mark.args else SECONDS


def in_order(tests: Sequence[tuple[Test, float]], processes: int) -> list[Test]:
    """The order in which each of so many processes has its share of the long tests, and begins with the longest.

    `--dist worksteal` gives all processes the same number of tests, one part of the list after the other. Tests that are not
    long (0 seconds) stay in their order, so that those of a module share its fixtures.
    """
    room = [(len(tests) + number) // processes for number in range(processes)]
    parts: list[list[Test]] = [[] for _ in room]
    taken = [0.0] * processes
    for test, seconds in sorted((test for test in tests if test[1]), key=lambda test: -test[1]):
        free = [number for number in range(processes) if len(parts[number]) < room[number]]
        chosen = min(free, key=lambda number: taken[number])
        parts[chosen].append(test)
        taken[chosen] += seconds
    short = iter([test for test, seconds in tests if not seconds])
    for part, most in zip(parts, room, strict=True):
        part += [next(short) for _ in range(most - len(part))]
    return [test for part in parts for test in part]
