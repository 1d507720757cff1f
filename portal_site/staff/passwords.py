"""Passwords: stored as argon2id, and only ones that are hard to guess."""

from collections.abc import Sequence
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from portal_site.billing.errors import BillingError

SHORTEST, LONGEST = 10, 200
CONSIDERED = 72  # characters that are judged: the time that it takes grows with the square of their number
GOOD_ENOUGH = 3  # of 4: more than 10^8 guesses
# What OWASP recommends where many sign in at once; 46 ms each on the machine that it was measured on.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hashed(password: str) -> str:
    """What is stored of a password."""
    return _hasher.hash(password)


def is_right(password_hash: str | None, password: str) -> bool:
    """Whether this is the password. Without a hash it takes as long, and is never right."""
    try:
        return _hasher.verify(password_hash or _nobodys(), password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _hasher.hash("the password of nobody")


def check(password: str, known: Sequence[str]) -> None:
    """Raise BillingError for a password that is too short, or easy to guess for one who knows these words."""
    if len(password) < SHORTEST:
        raise BillingError("Use at least %(count)s characters.", param="password", count=SHORTEST)
    if len(password) > LONGEST:
        raise BillingError("Use at most %(count)s characters.", param="password", count=LONGEST)
    words = [
        part
        for word in known
        for part in (word, "".join(word.split()), *word.replace("@", " ").replace(".", " ").split())
        if part
    ]
    if zxcvbn(password[:CONSIDERED], user_inputs=words)["score"] < GOOD_ENOUGH:
        raise BillingError(
            "This password is easy to guess. Use several unrelated words, or a password manager.", param="password"
        )
