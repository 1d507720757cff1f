"""The effect of retention offers against a hold-out group: the assignment to the group, and confidence intervals."""

from dataclasses import dataclass
from hashlib import sha256
from math import sqrt

CERTAINTY = 1.96  # standard errors to each side of a 95 % confidence interval
FEWEST = 30  # customers in each group; with fewer, the approximations behind the intervals do not hold


def is_held_out(customer_id: str, percent: int) -> bool:
    """Whether a customer is in the hold-out group and sees no offers.

    The answer for a customer is always the same, and a higher percentage only adds customers to the group.
    """
    # The salt makes the assignment independent of any other split by the same ids.
    number = int.from_bytes(sha256(f"hold-out {customer_id}".encode()).digest()[:8], "big")
    return number * 100 < percent << 64


@dataclass(frozen=True, slots=True)
class Group:
    """A group of customers who were about to cancel: how many stayed, and what they paid since, in minor units.

    `squares` is the sum of the squares of each customer's payments, for the variance.
    """

    count: int = 0
    stayed: int = 0
    paid: int = 0
    squares: int = 0

    @property
    def share(self) -> float:
        """The share of customers who stayed, from 0 to 1."""
        return self.stayed / self.count if self.count else 0.0

    @property
    def mean(self) -> float:
        """The mean payment per customer in minor units."""
        return self.paid / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """The sample variance of the payments per customer."""
        return (self.squares - self.paid * self.paid / self.count) / (self.count - 1) if self.count > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between the group with offers and the hold-out group, with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the difference is significant: the interval does not contain 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Customers who saw an offer, compared with those of the hold-out group who would have seen one."""

    offered: Group
    held_out: Group

    @property
    def is_enough(self) -> bool:
        """Whether both groups are large enough for a confidence interval."""
        return min(self.offered.count, self.held_out.count) >= FEWEST

    @property
    def stayed(self) -> Difference | None:
        """The difference of the shares of customers who stayed, from −1 to 1; None while a group is too small.

        The interval is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10), which is also valid for
        shares close to 0 or 1.
        """
        if not self.is_enough:
            return None
        offered, control = self.offered, self.held_out
        (low, high), (control_low, control_high) = _wilson(offered), _wilson(control)
        value = offered.share - control.share
        down = sqrt((offered.share - low) ** 2 + (control_high - control.share) ** 2)
        up = sqrt((high - offered.share) ** 2 + (control.share - control_low) ** 2)
        return Difference(value, value - down, value + up)

    @property
    def paid(self) -> Difference | None:
        """The difference of the mean payments per customer in minor units; None while a group is too small.

        The cost of the offers is already deducted, because it reduces the payments. The interval is Welch's.
        """
        if not self.is_enough:
            return None
        offered, control = self.offered, self.held_out
        value = offered.mean - control.mean
        error = CERTAINTY * sqrt(offered.variance / offered.count + control.variance / control.count)
        return Difference(value, value - error, value + error)


def _wilson(group: Group) -> tuple[float, float]:
    """The bounds of Wilson's score interval for the group's share."""
    square = CERTAINTY**2
    middle = group.share + square / (2 * group.count)
    spread = CERTAINTY * sqrt(group.share * (1 - group.share) / group.count + square / (4 * group.count**2))
    denominator = 1 + square / group.count
    return (middle - spread) / denominator, (middle + spread) / denominator
