"""Billing periods: month ends, leap years, and exactly one period for every instant."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.periods import (
    average_length,
    boundary,
    is_boundary,
    later,
    months_after,
    period_around,
    period_at,
)
from tests.billing.terms import at

INTERVALS = st.sampled_from([("day", 1), ("day", 30), ("week", 1), ("week", 2), ("month", 1), ("month", 3), ("month", 6),
                             ("year", 1), ("year", 2)])  # fmt: skip
WALLS = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001 - what a clock on a wall shows
INSTANTS = st.integers(at("1990-01-01"), at("2060-01-01"))


def _days(anchor: str, interval: str, count: int, periods: int) -> list[str]:
    return [_day(boundary(at(anchor), interval, step * count)) for step in range(periods)]


def _day(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d")


@pytest.mark.case("D11")
@pytest.mark.parametrize(
    ("anchor", "interval", "count", "days"),
    [
        ("2026-01-31", "month", 1, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        ("2028-01-31", "month", 1, ["2028-01-31", "2028-02-29", "2028-03-31"]),
        ("2028-02-29", "year", 1, ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
        ("2026-08-30", "month", 6, ["2026-08-30", "2027-02-28", "2027-08-30", "2028-02-29"]),
        ("2026-12-31", "month", 2, ["2026-12-31", "2027-02-28", "2027-04-30", "2027-06-30", "2027-08-31"]),
        ("2026-12-28", "week", 1, ["2026-12-28", "2027-01-04"]),
        ("2026-02-27", "day", 1, ["2026-02-27", "2026-02-28", "2026-03-01"]),
    ],
)
def test_each_boundary_is_counted_from_the_anchor(anchor: str, interval: str, count: int, days: list[str]) -> None:
    assert _days(anchor, interval, count, len(days)) == days


@pytest.mark.case("D11")
def test_a_hundred_years_of_month_ends_do_not_drift() -> None:
    anchor = at("2026-01-31 23:59:59")
    start = anchor
    for month in range(1, 1201):
        end = later(anchor, "month", start, 1)
        assert end == boundary(anchor, "month", month)
        start = end
    assert _day(start) == "2126-01-31"


@pytest.mark.case("D11")
@given(INSTANTS, INTERVALS, st.integers(0, 200))
def test_the_next_boundary_equals_counting_from_the_anchor(anchor: int, every: tuple[str, int], steps: int) -> None:
    interval, count = every
    start = boundary(anchor, interval, steps * count)
    assert later(anchor, interval, start, count) == boundary(anchor, interval, (steps + 1) * count)
    assert later(anchor, interval, start, -count) == boundary(anchor, interval, (steps - 1) * count)


@pytest.mark.case("D11")
@given(INSTANTS, st.integers(-240, 2400), st.sampled_from((0, 1, -1, 86_400, -86_400)))
def test_boundaries_are_recognized(anchor: int, months: int, off: int) -> None:
    at = months_after(anchor, months) + off
    assert is_boundary(anchor, at) == any(months_after(anchor, months + other) == at for other in (-1, 0, 1))


@pytest.mark.case("D12")
@given(INSTANTS, INTERVALS, INSTANTS)
def test_each_instant_is_in_exactly_one_period(anchor: int, every: tuple[str, int], instant: int) -> None:
    interval, count = every
    origin, moment = min(anchor, instant), max(anchor, instant)
    start, end = period_around(origin, interval, count, origin, moment)
    assert start <= moment < end
    assert period_around(origin, interval, count, origin, end)[0] == end
    if start > origin:
        assert period_around(origin, interval, count, origin, start - 1)[1] == start


@pytest.mark.case("D12")
@given(st.sampled_from(sorted(available_timezones())), WALLS, INTERVALS)
@example("Asia/Beirut", datetime(2011, 3, 27), ("day", 1))  # noqa: DTZ001 - a midnight that does not exist
@example("Pacific/Apia", datetime(2011, 12, 30), ("day", 1))  # noqa: DTZ001 - a day that does not exist
@example("America/St_Johns", datetime(2026, 11, 1, 0, 30), ("month", 1))  # noqa: DTZ001 - an hour that comes twice
def test_daylight_saving_time_moves_no_boundary(zone: str, wall: datetime, every: tuple[str, int]) -> None:
    """A merchant stays_local begins at any time its walls show: periods follow each other, days apart by whole days."""
    interval, count = every
    anchor = int(wall.replace(tzinfo=ZoneInfo(zone)).timestamp())
    ends = [boundary(anchor, interval, step * count) for step in range(40)]
    for number, (start, end) in enumerate(pairwise(ends)):
        assert later(anchor, interval, start, count) == end
        assert period_around(anchor, interval, count, anchor, end - 1) == (start, end)
        assert (end - start) % 86_400 == 0, number


def test_a_new_interval_continues_from_the_periods_start() -> None:
    start = at("2026-06-15")
    assert period_around(at("2026-01-15"), "year", 1, start, at("2026-06-20")) == (start, at("2027-06-15"))
    assert period_around(at("2026-01-15"), "month", 1, at("2026-01-15"), at("2026-06-20")) == (
        start,
        at("2026-07-15"),
    )
    # From the 28th of February of an anchor on the 31st, months end on the 31st again.
    assert period_around(at("2026-01-31"), "month", 1, at("2026-02-28"), at("2026-03-05"))[1] == at("2026-03-31")


@pytest.mark.case("D12")
@given(INSTANTS, INTERVALS, st.integers(-60, 60), st.floats(0, 1, exclude_max=True))
def test_periods_are_counted_from_an_anchor_in_the_future_too(
    anchor: int, every: tuple[str, int], steps: int, part: float
) -> None:
    interval, count = every
    start, end = boundary(anchor, interval, steps * count), boundary(anchor, interval, (steps + 1) * count)
    assert period_at(anchor, interval, count, start + int((end - start) * part)) == (start, end)


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "moment", "period"),
    [
        ("2026-03-31", "month", 1, "2026-02-10", ("2026-01-31", "2026-02-28")),
        ("2026-03-31", "month", 1, "2026-02-28", ("2026-02-28", "2026-03-31")),
        ("2026-07-31", "month", 3, "2026-01-30", ("2025-10-31", "2026-01-31")),
        ("2028-02-29", "year", 1, "2026-06-01", ("2026-02-28", "2027-02-28")),
        ("2026-01-29", "week", 2, "2026-01-01", ("2026-01-01", "2026-01-15")),
        ("2026-01-01", "month", 1, "2026-01-01", ("2026-01-01", "2026-02-01")),
    ],
)
def test_which_period_an_instant_is_in(
    anchor: str, interval: str, count: int, moment: str, period: tuple[str, str]
) -> None:
    assert period_at(at(anchor), interval, count, at(moment)) == (at(period[0]), at(period[1]))


@pytest.mark.parametrize(
    ("anchor", "moment", "known"),
    [
        ("2026-01-31", "2026-02-28", True),
        ("2028-01-31", "2028-02-28", False),
        ("2028-01-31", "2028-02-29", True),
        ("2026-01-28", "2026-02-28", True),
        ("2026-01-28", "2026-03-31", False),  # the last day of a month that has the anchor's day
        ("2026-01-15", "2025-11-15", True),
        ("2026-01-15 10:00:00", "2026-02-15 11:00:00", False),
        ("2026-01-15 10:00:00", "2026-02-15 10:01:00", False),
        ("2026-01-15 10:00:00", "2026-02-15 10:00:01", False),
    ],
)
def test_what_is_a_whole_number_of_months_away(anchor: str, moment: str, known: bool) -> None:
    assert is_boundary(at(anchor), at(moment)) is known


def test_intervals_are_compared_by_their_average_length() -> None:
    assert average_length("day", 7) == average_length("week", 1) == 604_800
    assert average_length("month", 12) == average_length("year", 1) == 31_556_952
    assert average_length("month", 1) * 400 * 12 == 146_097 * 86_400  # the days of 400 years
