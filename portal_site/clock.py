"""The one place that reads the time; everything else takes the instant as an argument."""

import time


def now() -> int:
    """The current instant in whole seconds since 1970 (UTC)."""
    return int(time.time())


def microseconds() -> int:
    """The same in millionths of a second, for telling what came first."""
    return time.time_ns() // 1000
