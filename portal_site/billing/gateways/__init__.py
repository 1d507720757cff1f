"""Payment providers behind one small protocol. Card data goes to their pages, never through this program."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PaymentDetails:
    """What a provider tells about a payment method it holds, enough to name it for people."""

    reference: str
    type: str
    last4: str
    brand: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    funding: str | None = None
    country: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class SetupSession:
    """A customer's way to leave a payment method: the provider's page for it, and, once done, what was left there."""

    reference: str
    url: str
    details: PaymentDetails | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Where a charge stands.

    `succeeded`, `declined` (with the provider's code), `requires_action` (with the bank's page), or `processing`: the bank
    carries it out and says days later what became of it.
    """

    status: str
    reference: str
    decline_code: str | None = None
    next_action_url: str | None = None


class Gateway(Protocol):
    """A payment provider. Any call may raise errors.GatewayUnavailable: then nothing is known to have happened."""

    name: str

    def begin_setup(self, customer_id: str, livemode: bool, return_url: str) -> SetupSession:
        """Prepare the provider's page; it sends the customer back to `return_url`."""

    def find_setup(self, reference: str) -> SetupSession | None:
        """How that went; None when the provider does not know it."""

    def charge(self, payment_method: str, amount: int, currency: str, idempotency_key: str, return_url: str) -> Charge:
        """Collect `amount` minor units. The same key never charges twice; it answers what came of it the first time."""

    def find_charge(self, idempotency_key: str) -> Charge | None:
        """What came of a charge, by its key; None when the provider never received it."""

    def cancel_charge(self, idempotency_key: str) -> Charge | None:
        """Give up a charge that waits for the customer; the answer says what became of it, which may be `succeeded`."""

    def forget(self, payment_method: str) -> None:
        """Let go of a payment method that the customer removed."""


__all__ = ["Charge", "Gateway", "PaymentDetails", "SetupSession"]
