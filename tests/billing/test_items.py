"""Periods of items: they follow each other without gaps, keep their day, and a partial period knows its full period."""

from calendar import monthrange
from dataclasses import replace
from time import gmtime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.items import Item
from tests.billing.terms import at, offer

INSTANTS = st.integers(at("1990-01-01"), at("2060-01-01"))
MONTHLY = st.tuples(st.sampled_from(("month", "year")), st.integers(1, 7))
INTERVALS = st.tuples(st.sampled_from(("day", "week", "month", "year")), st.integers(1, 7))


def _item(every: tuple[str, int], start: int, end: int | None = None) -> Item:
    sold = replace(offer(1000, every[0]), interval_count=every[1])
    return Item("si", sold, 1, start, start if end is None else end)


def _days_of(at: int) -> tuple[int, int]:
    then = gmtime(at)
    return then.tm_mday, monthrange(then.tm_year, then.tm_mon)[1]


@pytest.mark.case("D11")
@given(INSTANTS, INSTANTS, MONTHLY, st.integers(1, 30))
def test_an_item_keeps_its_day_whatever_its_subscriptions_is(
    anchor: int, start: int, every: tuple[str, int], times: int
) -> None:
    item = _item(every, start)
    day = _days_of(start)[0]
    for _ in range(times):
        before, item = item, item.renewed(anchor)
        assert item.period_start == before.period_end
        now, last = _days_of(item.period_end)
        # Or the day of the subscription's, where it began on the last day of a month that is too short for that.
        assert now in (min(day, last), min(_days_of(anchor)[0], last))
        assert item.period_end > item.period_start
    assert item.anchor in (None, start)


@pytest.mark.case("D11", "D12")
@given(INSTANTS, INTERVALS, st.integers(0, 40), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_what_was_cut_off_is_the_rest_and_no_more(anchor: int, every: tuple[str, int], steps: int, cut: float) -> None:
    item = _item(every, anchor)
    for _ in range(steps + 1):
        item = item.renewed(anchor)
    start, end = item.period_start, item.period_end
    assert item.whole_period(anchor) == (start, end)
    short = replace(item, period_end=start + 1 + int((end - start - 2) * cut))
    assert short.whole_period(anchor) == (start, end)
    rest = short.renewed(anchor)
    assert rest.period_start == short.period_end
    if every[0] in ("day", "week") or gmtime(short.period_end)[2:6] == gmtime(anchor)[2:6]:
        return  # nothing says where such a period was to end: a whole one follows
    if rest.period_end == end:
        assert rest.whole_period(anchor) == (start, end)
        assert rest.renewed(anchor).whole_period(anchor) == (end, item.renewed(anchor).period_end)
    else:
        # It was cut on a boundary of months: of several months, or of a year.
        assert every != ("month", 1)


@pytest.mark.parametrize(
    ("start", "end", "anchor", "days"),
    [
        ("2026-02-28", "2026-03-28", "2026-01-31", ["2026-04-28", "2026-05-28"]),  # unless it was counted from the 28th
        ("2026-01-30", "2026-02-28", "2026-01-15", ["2026-03-30", "2026-04-30"]),  # as it came from another system
        ("2026-01-10", "2026-02-01", "2026-02-01", ["2026-03-01", "2026-04-01"]),  # a first period that was shorter
        ("2026-01-31", "2026-02-14", "2026-01-31", ["2026-02-28", "2026-03-31"]),  # cut short by a fortnight
    ],
)
def test_an_item_renews_on_its_billing_day(start: str, end: str, anchor: str, days: list[str]) -> None:
    item = replace(_item(("month", 1), at(start), at(end)), anchor=at(start) if start == "2026-02-28" else None)
    found = []
    for _ in days:
        item = item.renewed(at(anchor))
        found.append(item.period_end)
    assert found == [at(day) for day in days]
