"""What offers bring, beside customers who were left alone: who is left alone, and how sure the difference is."""

from dataclasses import dataclass
from hashlib import sha256
from math import sqrt

CERTAINTY = 1.96  # standard errors to each side: an interval that holds the truth in 95 of 100 cases
FEWEST = 30  # customers in each group below which an interval would say more than is known


def is_held_out(customer_id: str, percent: int) -> bool:
    """Whether a customer is made no offers: the same answer each time, and a growing share keeps those that it had."""
    # Hashed with a word of its own, so that no other split by the same ids falls together with this one.
    drawn = int.from_bytes(sha256(f"hold-out {customer_id}".encode()).digest()[:8], "big")
    return drawn * 100 < percent << 64


@dataclass(frozen=True, slots=True)
class Group:
    """So many customers who wanted to leave: how many were still there later, and what they paid (minor units) since.

    `squares` is the sum of what each paid, squared: it takes the spread to know how sure a mean is.
    """

    count: int = 0
    stayed: int = 0
    paid: int = 0
    squares: int = 0

    @property
    def share(self) -> float:
        """The part of them that stayed."""
        return self.stayed / self.count if self.count else 0.0

    @property
    def mean(self) -> float:
        """What one of them paid on average."""
        return self.paid / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """How far what they paid is spread, squared."""
        return (self.squares - self.paid * self.paid / self.count) / (self.count - 1) if self.count > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more there was of something with offers than without, and the bounds between which the truth lies."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether it is more than chance: nothing is not between the bounds."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Customers who were made an offer beside those who would have been, but were left alone."""

    offered: Group
    held_out: Group

    @property
    def is_enough(self) -> bool:
        """Whether both groups are large enough to say anything."""
        return min(self.offered.count, self.held_out.count) >= FEWEST

    @property
    def stayed(self) -> Difference | None:
        """How many more of a hundred stayed, as a part of one; None while there are too few.

        By Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10), which holds for small shares too.
        """
        if not self.is_enough:
            return None
        one, other = self.offered, self.held_out
        (low, high), (other_low, other_high) = _wilson(one), _wilson(other)
        value = one.share - other.share
        down = sqrt((one.share - low) ** 2 + (other_high - other.share) ** 2)
        up = sqrt((high - one.share) ** 2 + (other.share - other_low) ** 2)
        return Difference(value, value - down, value + up)

    @property
    def paid(self) -> Difference | None:
        """How much more one customer paid, in minor units, whatever the offers cost already taken off; by Welch's interval."""
        if not self.is_enough:
            return None
        one, other = self.offered, self.held_out
        value = one.mean - other.mean
        error = CERTAINTY * sqrt(one.variance / one.count + other.variance / other.count)
        return Difference(value, value - error, value + error)


def _wilson(group: Group) -> tuple[float, float]:
    """The bounds of a share by Wilson's score."""
    square = CERTAINTY**2
    middle = group.share + square / (2 * group.count)
    spread = CERTAINTY * sqrt(group.share * (1 - group.share) / group.count + square / (4 * group.count**2))
    whole = 1 + square / group.count
    return (middle - spread) / whole, (middle + spread) / whole
