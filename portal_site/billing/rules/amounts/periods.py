"""Billing periods. Each boundary is counted from the anchor, never from the previous boundary, so that boundaries do not drift.

Instants are seconds since 1970 (UTC) and months are UTC months, so that every instant lies in exactly one period regardless
of daylight saving time. In a month without the anchor's day, the boundary is the last day (docs.stripe.com/billing).
"""

from calendar import monthrange, timegm
from functools import lru_cache
from time import gmtime

DAY = 24 * 60 * 60
SECONDS = {"day": DAY, "week": 7 * DAY}
MONTHS = {"month": 1, "year": 12}
SHORTEST = 28  # the days of the shortest month
AVERAGE_MONTH = 2_629_746  # a twelfth of the Gregorian year of 365.2425 days


def average_length(interval: str, count: int) -> int:
    """The average length of `count` intervals in seconds; only for comparing intervals and for estimates."""
    return count * (SECONDS.get(interval) or MONTHS[interval] * AVERAGE_MONTH)


def boundary(anchor: int, interval: str, steps: int) -> int:
    """The instant `steps` intervals after the anchor (before it if negative)."""
    if interval in SECONDS:
        return anchor + steps * SECONDS[interval]
    return months_after(anchor, steps * MONTHS[interval])


def months_after(start: int, months: int) -> int:
    """The same day and time `months` months later, or the last day of a month without that day."""
    at = gmtime(start)
    year, month = divmod(at.tm_year * 12 + at.tm_mon - 1 + months, 12)
    day = at.tm_mday if at.tm_mday <= SHORTEST else min(at.tm_mday, monthrange(year, month + 1)[1])
    return timegm((year, month + 1, day, at.tm_hour, at.tm_min, at.tm_sec))


def is_boundary(anchor: int, at: int) -> bool:
    """Whether `at` is a whole number of months before or after the anchor."""
    if (at - anchor) % DAY:  # another time of the day
        return False
    day, moment = gmtime(anchor).tm_mday, gmtime(at)
    if moment.tm_mday > day:
        return False
    return moment.tm_mday == day or moment.tm_mday == monthrange(moment.tm_year, moment.tm_mon)[1]


@lru_cache(1024)  # a renewal asks for the same boundary several times
def later(anchor: int, interval: str, start: int, steps: int) -> int:
    """The instant `steps` intervals after `start` (before it if negative), where `start` is a boundary of the anchor.

    Days and weeks have a fixed length; months and years follow the anchor's day of the month.
    """
    if interval in SECONDS:
        return start + steps * SECONDS[interval]
    return months_after(anchor, _months_between(anchor, start) + steps * MONTHS[interval])


def period_around(anchor: int, interval: str, count: int, origin: int, at: int) -> tuple[int, int]:
    """Start and end of the period that contains `at` (≥ origin), counting periods of this interval from `origin`.

    `origin` is a boundary of the anchor.
    """
    steps = count * ((at - origin) // average_length(interval, count))
    # The estimate from the average length is off by a few days at most: go one period back, then forward as needed.
    steps = max(0, steps - count)
    while later(anchor, interval, origin, steps + count) <= at:
        steps += count
    return later(anchor, interval, origin, steps), later(anchor, interval, origin, steps + count)


def period_at(anchor: int, interval: str, count: int, at: int) -> tuple[int, int]:
    """Start and end of the period that contains `at`, counted from the anchor, which may lie in the future."""
    origin, back = anchor, 0
    while origin > at:
        back += count
        origin = later(anchor, interval, anchor, -back)
    return period_around(anchor, interval, count, origin, at)


def _months_between(anchor: int, at: int) -> int:
    origin, moment = gmtime(anchor), gmtime(at)
    return (moment.tm_year - origin.tm_year) * 12 + moment.tm_mon - origin.tm_mon
