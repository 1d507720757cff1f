"""Proration by the second."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProrationFactor:
    """The part of a period that a prorated line is for: `seconds` of `period_seconds`."""

    seconds: int
    period_seconds: int

    def of(self, amount: int) -> int:
        """The prorated part of an amount in minor units, rounded half away from zero."""
        part = (2 * abs(amount) * self.seconds + self.period_seconds) // (2 * self.period_seconds)
        return -part if amount < 0 else part
