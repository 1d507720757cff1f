"""What a part of a period is worth, to the second."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """`left` of `whole` seconds."""

    left: int
    whole: int

    def of(self, amount: int) -> int:
        """This share of an amount in minor units, rounded half away from zero; never more than the amount."""
        part = (2 * abs(amount) * self.left + self.whole) // (2 * self.whole)
        return -part if amount < 0 else part
