"""Billing periods: each boundary is counted from the anchor, never from the boundary before it, so that none drifts.

Instants are seconds since 1970 (UTC), and months are those of UTC: so every instant lies in exactly one period, whatever
clocks on walls do. Rule: a month without the anchor's day ends the period on its last day (docs.stripe.com/billing).
"""

from calendar import monthrange, timegm
from functools import lru_cache
from time import gmtime

DAY = 24 * 60 * 60
SECONDS = {"day": DAY, "week": 7 * DAY}
MONTHS = {"month": 1, "year": 12}
SHORTEST = 28  # days that every month has
AVERAGE_MONTH = 2_629_746  # a twelfth of the Gregorian year of 365.2425 days


def average_length(interval: str, count: int) -> int:
    """How long an interval is on average, in seconds; only for saying which of two is longer."""
    return count * (SECONDS.get(interval) or MONTHS[interval] * AVERAGE_MONTH)


def boundary(anchor: int, interval: str, steps: int) -> int:
    """The instant `steps` intervals after the anchor (before it when negative)."""
    if interval in SECONDS:
        return anchor + steps * SECONDS[interval]
    return months_after(anchor, steps * MONTHS[interval])


def months_after(start: int, months: int) -> int:
    """The same day and time that many months later, or the month's last day where it has no such day."""
    at = gmtime(start)
    year, month = divmod(at.tm_year * 12 + at.tm_mon - 1 + months, 12)
    day = at.tm_mday if at.tm_mday <= SHORTEST else min(at.tm_mday, monthrange(year, month + 1)[1])
    return timegm((year, month + 1, day, at.tm_hour, at.tm_min, at.tm_sec))


def is_boundary(anchor: int, at: int) -> bool:
    """Whether months counted from the anchor, forwards or back, begin at that instant."""
    first, then = gmtime(anchor), gmtime(at)
    if first[3:6] != then[3:6] or then.tm_mday > first.tm_mday:
        return False
    return then.tm_mday == first.tm_mday or then.tm_mday == monthrange(then.tm_year, then.tm_mon)[1]


@lru_cache(1024)  # a renewal asks several times
def later(anchor: int, interval: str, start: int, steps: int) -> int:
    """The instant whole intervals after `start` (before it when negative), a boundary of the anchor's months.

    Any day or week is as long as another; months and years go along the anchor's days.
    """
    if interval in SECONDS:
        return start + steps * SECONDS[interval]
    return months_after(anchor, _months_between(anchor, start) + steps * MONTHS[interval])


def period_around(anchor: int, interval: str, count: int, origin: int, at: int) -> tuple[int, int]:
    """The period that holds `at` (≥ origin), counting periods of this interval on from a boundary at `origin`."""
    steps = count * ((at - origin) // average_length(interval, count))
    # The average is off by days at most: one step back, then forward until the end lies beyond.
    steps = max(0, steps - count)
    while later(anchor, interval, origin, steps + count) <= at:
        steps += count
    return later(anchor, interval, origin, steps), later(anchor, interval, origin, steps + count)


def _months_between(anchor: int, at: int) -> int:
    first, then = gmtime(anchor), gmtime(at)
    return (then.tm_year - first.tm_year) * 12 + then.tm_mon - first.tm_mon
