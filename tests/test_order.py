"""The order of the tests."""

import pytest

from tests.order import in_order

SHORT = [(name, 0.0) for name in "abcdefghij"]


def test_each_process_begins_with_its_share_of_what_takes_long() -> None:
    tests = [*SHORT[:5], ("20 s", 20.0), ("40 s", 40.0), *SHORT[5:], ("70 s", 70.0), ("30 s", 30.0)]
    ordered = in_order(tests, 2)
    assert ordered[:7] == ["70 s", "20 s", *"abcde"]
    assert ordered[7:] == ["40 s", "30 s", *"fghij"]


@pytest.mark.parametrize("processes", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("long", [0, 1, 5, 30])
def test_none_is_lost_and_the_short_ones_stay_in_their_order(processes: int, long: int) -> None:
    tests = [*SHORT, *((str(number), 1.0 + number) for number in range(long))]
    ordered = in_order(tests, processes)
    assert sorted(ordered) == sorted(name for name, _ in tests)
    assert [name for name in ordered if name.isalpha()] == [name for name, _ in SHORT]


def test_the_parts_are_those_that_the_processes_get() -> None:
    """xdist gives the first of `n` processes a whole n-th of the tests, and the others what is left in the same way."""
    tests = [*SHORT, ("long", 1.0)]
    left, sizes = len(tests), []
    for remaining in (4, 3, 2, 1):
        sizes.append(left // remaining)
        left -= sizes[-1]
    for place, size in enumerate(sizes):
        longs = [(f"{number}", 1.0) for number in range(4)]
        ordered = in_order([*SHORT[:7], *longs], 4)
        begin = sum(sizes[:place])
        assert ordered[begin].isdigit()
        assert not any(name.isdigit() for name in ordered[begin + 1 : begin + size])
