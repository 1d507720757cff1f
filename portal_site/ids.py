"""Identifiers such as `cus_…`: unguessable, and beginning with the second in which they were made."""

import secrets
import string
import threading
from functools import lru_cache

from portal_site import clock

ID_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase  # in the order in which databases sort


ID_LENGTH = 24


ID_STEP = 4  # letters that tell a millionth of it, where the order within a second matters


ID_STAMP = 6  # letters that tell the second; the 18 others are random: more than 107 bits


# Of 256 values of a byte 248 stand for a letter or digit each, four for one; the others are thrown away, so all are as likely.
_LETTERS = bytes(ord(ID_ALPHABET[value % len(ID_ALPHABET)]) for value in range(256))


_SURPLUS = bytes(range(256 - 256 % len(ID_ALPHABET), 256))


def new_id(prefix: str) -> str:
    """A fresh identifier such as `cus_…` that nobody can guess.

    It begins with the second in which it is made, so that what is written together lies together in the indexes: in a table of
    millions that is worth more than the rest of a billing run.
    """
    letters, wanted = b"", ID_LENGTH - ID_STAMP
    while len(letters) < wanted:
        letters = secrets.token_bytes(wanted + 12).translate(_LETTERS, _SURPLUS)
    return f"{prefix}_{_stamp(clock.now())}{letters[:wanted].decode()}"


_last = 0


_turn = threading.Lock()


def ordered_id(prefix: str) -> str:
    """A fresh identifier that sorts behind those that this process made before: for what is told in an order."""
    global _last  # noqa: PLW0603 - one sequence for the process is what it is about
    with _turn:
        _last = max(_last + 1, clock.microseconds())
        second, step = divmod(_last, 1_000_000)
    chance = new_id(prefix)[-(ID_LENGTH - ID_STAMP - 1) :]  # one letter less than others, and still 101 bits
    return f"{prefix}_{_stamp(second)}{_letters(step, ID_STEP)}{chance}"


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return _letters(second, ID_STAMP)


def _letters(number: int, count: int) -> str:
    letters = []
    for _ in range(count):
        number, rest = divmod(number, len(ID_ALPHABET))
        letters.append(ID_ALPHABET[rest])
    return "".join(reversed(letters))
