"""The protocol for payment providers. Card data is entered on the provider's pages and never passes through this program."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PaymentDetails:
    """A payment method stored at a provider: its reference, and the details that identify it to people."""

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
    """The provider's page for entering a payment method. `details` is set once the customer has completed it."""

    reference: str
    url: str
    details: PaymentDetails | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """The state of a charge. `status` is `succeeded`, `declined`, `requires_action` or `processing`.

    A declined charge has the provider's `decline_code`. A charge that requires action has the URL of the provider's page for
    the authentication (3-D Secure). A charge that is processing is a bank debit, whose outcome is known days later.
    """

    status: str
    reference: str
    decline_code: str | None = None
    next_action_url: str | None = None


class Gateway(Protocol):
    """A payment provider. Any call may raise errors.GatewayUnavailable; the outcome of the call is then unknown."""

    name: str

    def begin_setup(self, customer_id: str, livemode: bool, return_url: str) -> SetupSession:
        """Create the provider's page for entering a payment method. It redirects the customer to `return_url`."""

    def find_setup(self, reference: str) -> SetupSession | None:
        """The setup with its details, if it was completed; None if the provider does not know the reference."""

    def charge(self, payment_method: str, amount: int, currency: str, idempotency_key: str, return_url: str) -> Charge:
        """Charge `amount` minor units. A second call with the same key returns the first charge and does not charge again."""

    def find_charge(self, idempotency_key: str) -> Charge | None:
        """The state of a charge by its idempotency key; None if the provider never received it."""

    def cancel_charge(self, idempotency_key: str) -> Charge | None:
        """Cancel a charge that requires action. Returns its final state, which may be `succeeded`; None if unknown."""

    def forget(self, payment_method: str) -> None:
        """Delete a payment method that the customer removed."""


__all__ = ["Charge", "Gateway", "PaymentDetails", "SetupSession"]
