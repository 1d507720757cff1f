"""A gateway behind an unreliable network."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from portal_site.billing.errors import GatewayUnavailable

T = TypeVar("T")


@dataclass
class FlakyGateway:
    """The sandbox gateway behind an unreliable network. A call or its answer is lost with probability `losses`."""

    inner: Any
    dice: random.Random
    losses: float = 0.0
    name: str = "sandbox"

    def _call(self, action: Callable[..., T], *args: Any) -> T:
        if self.dice.random() < self.losses:
            raise GatewayUnavailable("The line is bad.")
        answer = action(*args)
        if self.dice.random() < self.losses:
            raise GatewayUnavailable("The line is bad.")
        return answer

    def charge(self, *args: Any) -> Any:
        """See Gateway."""
        return self._call(self.inner.charge, *args)

    def find_charge(self, *args: Any) -> Any:
        """See Gateway."""
        return self._call(self.inner.find_charge, *args)

    def refund(self, *args: Any) -> Any:
        """See Gateway."""
        return self._call(self.inner.refund, *args)

    def cancel_charge(self, *args: Any) -> Any:
        """See Gateway."""
        return self._call(self.inner.cancel_charge, *args)
