"""What failed in a billing run, and whose fault that is: a row's own, or that of the surroundings, which stops the run.

An outside cause (a full disk, an older schema, a permission that is missing) fails every row alike, and is gone again later.
Counting it would park subscriptions that nothing is wrong with.
"""

from dataclasses import dataclass, field

from portal_site.db.faults import described


class RunStopped(Exception):
    """Nothing of its kind went well in a run, so no row is the reason. The message is one line and names the first error."""


@dataclass
class Tally:
    """What went well in a run, and what failed and is not counted yet: (customer id, error) by the id of its row."""

    went_well: int = 0
    failures: dict[str, tuple[str, Exception]] = field(default_factory=dict)

    def stop(self, sentence: str) -> None:
        """Raise RunStopped if there are failures of which nobody knows whether a row is the reason."""
        if self.failures:
            _, error = next(iter(self.failures.values()))
            raise RunStopped(f"{sentence} ({len(self.failures)} failed): {described(error)}")
