"""What a part of a period is worth, to the second."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProrationFactor:
    """`left` of `whole` seconds."""

    seconds: int
    period_seconds: int

    def of(self, amount: int) -> int:
        """This share of an amount in minor units, rounded half away from zero; never more than the amount."""
        part = (2 * abs(amount) * self.seconds + self.period_seconds) // (2 * self.period_seconds)
        return -part if amount < 0 else part
