"""What a customer saw and said yes to. Not a verb: every verb that moves money or ends something begins by checking it."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from portal_site.billing.errors import StateChanged
from portal_site.billing.rules.plan_change import VALIDITY
from portal_site.billing.words import N_

CHANGED = N_("The amount or the terms have changed since you looked. Please check them again.")


@dataclass(frozen=True)
class Agreed:
    """The instant of the quote, the fingerprint of its terms, and a key that is used once."""

    at: int
    fingerprint: str
    key: str

    def check_time(self, at: int) -> None:
        """Raise StateChanged when it was too long ago."""
        if not self.at <= at <= self.at + VALIDITY:
            raise StateChanged(N_("This quote has expired. Please check the amount again."), "quote_expired")

    def check(self, fingerprint: str) -> None:
        """Raise StateChanged when the terms are others now."""
        if fingerprint != self.fingerprint:
            raise StateChanged(CHANGED, "quote_changed")


def hashed(terms: Any) -> str:
    """A fingerprint in 64 characters of terms that JSON can carry."""
    return hashlib.sha256(json.dumps(terms).encode()).hexdigest()
