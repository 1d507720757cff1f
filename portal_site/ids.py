"""Identifiers such as `cus_…`. They cannot be guessed, and they start with the second of their creation."""

import secrets
import string
import threading
from functools import lru_cache

from portal_site import clock

ID_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase  # in the databases' sort order


ID_LENGTH = 24


ID_STEP = 4  # characters for the microsecond, in ids that are ordered within a second


ID_STAMP = 6  # characters for the second; the other 18 are random, which is more than 107 bits


# Maps a random byte to a character. 248 of the 256 values are used, four for each character, and the other eight are dropped,
# so that all characters are equally likely.
_LETTERS = bytes(ord(ID_ALPHABET[value % len(ID_ALPHABET)]) for value in range(256))


_SURPLUS = bytes(range(256 - 256 % len(ID_ALPHABET), 256))


def new_id(prefix: str) -> str:
    """A new identifier such as `cus_…` that cannot be guessed.

    It starts with the second of its creation, so that rows written together are close to each other in the indexes. With
    millions of rows, random positions in the indexes would cost more than the rest of a billing run.
    """
    return f"{prefix}_{_stamp(clock.now())}{random_letters(ID_LENGTH - ID_STAMP)}"


def random_letters(count: int) -> str:
    """Letters and digits that cannot be guessed, 5.95 bits each."""
    letters = b""
    while len(letters) < count:
        letters = secrets.token_bytes(count + 12).translate(_LETTERS, _SURPLUS)
    return letters[:count].decode()


_last = 0  # the microsecond of the last ordered id


_lock = threading.Lock()


def ordered_id(prefix: str) -> str:
    """A new identifier that sorts after all ordered ids that this process made before, for events."""
    global _last  # noqa: PLW0603 - one sequence per process
    with _lock:
        _last = max(_last + 1, clock.microseconds())
        second, step = divmod(_last, 1_000_000)
    random_part = random_letters(ID_LENGTH - ID_STAMP - 1)  # one character less than in other ids: 101 bits
    return f"{prefix}_{_stamp(second)}{_letters(step, ID_STEP)}{random_part}"


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return _letters(second, ID_STAMP)


def _letters(number: int, count: int) -> str:
    """The number in base 62 with `count` digits."""
    letters = []
    for _ in range(count):
        number, rest = divmod(number, len(ID_ALPHABET))
        letters.append(ID_ALPHABET[rest])
    return "".join(reversed(letters))
