"""The only module that reads the time. All other code takes the instant as an argument."""

import time


def now() -> int:
    """The current instant in whole seconds since 1970 (UTC)."""
    return int(time.time())


def microseconds() -> int:
    """The current instant in microseconds since 1970 (UTC), for ordering."""
    return time.time_ns() // 1000
