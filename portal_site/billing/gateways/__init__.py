"""The protocol for payment providers. Card data is entered on the provider's pages and never passes through this program."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Mandate:
    """By which a customer allows debits: the reference that bank statements have, and the page that shows it, if there is one."""

    reference: str
    url: str | None = None


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
    wallet: str | None = None  # in which a card is, such as apple_pay
    mandate: Mandate | None = None  # of a debit, as far as it is known


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """What a provider stores of a customer. Payment methods belong to the provider's own customer."""

    id: str
    livemode: bool
    name: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class SetupSession:
    """The provider's page for entering a payment method. `details` is set once the customer has completed it."""

    reference: str
    url: str
    details: PaymentDetails | None = None
    has_failed: bool = False  # the customer did not pass its bank's check


@dataclass(frozen=True, slots=True)
class MethodToken:
    """What stands for a payment method in tests: the name or the number of a test card, or a test IBAN."""

    type: str
    name: str
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class Saving:
    """What came of saving a payment method: `succeeded`, `declined` with a code, or `requires_action` with a page."""

    status: str
    decline_code: str | None = None
    reference: str | None = None
    url: str | None = None


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


@dataclass(frozen=True, slots=True)
class Refund:
    """The status of a refund: `succeeded`, `pending` (the bank takes days), or `failed`."""

    status: str
    reference: str


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A refund to make of a successful charge. A repeated request only differs in `reference`.

    `created` is the instant of the first call, by the customer's clock; `reference` the provider's id of the refund, once it is
    known. With `is_on_behalf` an account that got the money of the charge gives it back.
    """

    charge_reference: str
    amount: int
    idempotency_key: str
    created: int
    reference: str | None = None
    is_on_behalf: bool = False


@dataclass(frozen=True, slots=True)
class RefundDetails:
    """A refund as the provider has it: of which payment attempt, and as which refund of ours, if it was made here."""

    reference: str
    status: str
    amount: int
    attempt_id: str | None
    refund_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DisputeDetails:
    """A dispute of a payment attempt as the provider has it, in minor units of `currency`; `status` and `reason` are Stripe's.

    `is_withdrawn` says whether the bank has the money at the moment.
    """

    reference: str
    status: str
    reason: str
    amount: int
    currency: str
    attempt_id: str | None
    is_withdrawn: bool
    evidence_due_by: int | None = None


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """A charge to make. A repeated request only differs in `return_url`, `off_session` and `reference`.

    With `livemode` real money moves. `created` is the instant of the first call, by the customer's clock. `reference` is the
    provider's id of the charge, once it is known. With `off_session` the charge is automatic, and the customer is not present
    to authenticate it.
    """

    payment_method: str
    amount: int
    currency: str
    idempotency_key: str
    created: int
    return_url: str
    livemode: bool = False
    customer: str | None = None  # the provider's; None for a method that came from an import
    off_session: bool = False
    type: str = "card"  # of the payment method
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    on_behalf_of: str | None = None  # the provider's account for which it is charged, and which gets the money


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """An event of a provider: only which charge it is about, by the provider's reference or by the idempotency key."""

    id: str
    type: str
    charge_reference: str | None = None
    idempotency_key: str | None = None


class Subject(StrEnum):
    """What an event of a provider is about, by whose state it may have to be asked for."""

    CHARGE = "charge"
    SETUP = "setup"
    PAYMENT_METHOD = "payment_method"
    REFUND = "refund"
    DISPUTE = "dispute"
    CUSTOMER = "customer"
    OTHER = "other"  # nothing that anything here depends on


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A genuine event: the provider's id, type and instant of it, and the provider's reference of what it is about.

    `attempt_id` is the id of the payment attempt that a charge was made for, where the provider tells it back.
    """

    id: str
    type: str
    livemode: bool
    created: int
    subject: Subject
    reference: str
    attempt_id: str | None = None


class Gateway(Protocol):
    """A payment provider. Any call may raise errors.GatewayUnavailable; the outcome of the call is then unknown.

    A call has to end within ten seconds: a customer waits for it, with one of the server's threads. No page that reads calls.
    """

    name: str

    def create_customer(self, customer: CustomerDetails, idempotency_key: str) -> str:
        """The provider's id of a customer, which is created if the key is new."""

    def begin_setup(self, customer: str, livemode: bool, return_url: str) -> SetupSession:
        """Prepare the page for entering a payment method of the provider's customer; it returns to `return_url`."""

    def find_setup(self, reference: str) -> SetupSession | None:
        """The setup with its details, if it was completed; None if the provider does not know the reference."""

    def charge(self, request: ChargeRequest) -> Charge:
        """Collect `amount` minor units. The same key never charges twice: a second call answers with the outcome of the first."""

    def find_charge(self, request: ChargeRequest, at: int) -> Charge | None:
        """The state of a charge at `at` by the customer's clock, or None if the provider never received it.

        It moves no money. Most providers look a charge up by its `reference`. Without one, because the first answer was lost,
        some look it up by the key. Others, such as Stripe, cannot: they make the charge in two steps, of which only the second
        moves money. Here they repeat the first step with its key, which within 24 hours answers with the existing
        reference, and read that: one that still awaits its second step moved no money, so it is None. After 24 hours,
        by `created`, they have to search by `metadata`.
        """

    def cancel_charge(self, request: ChargeRequest) -> Charge | None:
        """Cancel a charge that awaits authentication. Returns its state, which may be `succeeded`."""

    def refund(self, request: RefundRequest, at: int) -> Refund:
        """Refund `amount` minor units of a successful charge, or the state of that refund at `at` by the customer's clock.

        The same key never refunds twice.
        """

    def find_refund(self, reference: str) -> RefundDetails | None:
        """A refund by the provider's id, wherever it was made; None if the provider does not know it."""

    def find_dispute(self, reference: str) -> DisputeDetails | None:
        """A dispute by the provider's id; None if the provider does not know it."""

    def find_method(self, payment_method: str) -> PaymentDetails | None:
        """A payment method as it is now; None if it belongs to no customer any more, and can be charged no more."""

    def forget(self, payment_method: str) -> None:
        """Delete a payment method that the customer removed."""

    def parse_event(self, headers: Mapping[str, str], body: bytes) -> GatewayEvent | None:
        """The charge that an event is about, or None for an event of another kind. Raises EventRefused if it is not signed."""


@runtime_checkable
class SimulatedGateway(Protocol):
    """What the sandbox can besides: a merchant's program makes, saves and changes payment methods without the hosted page.

    All of it is done in the database of this program, so it can be part of a caller's transaction.
    """

    def make_method(self, token: MethodToken) -> PaymentDetails:
        """A new payment method that behaves like this token. Raises BillingError for one that does not exist."""

    def save_method(self, payment_method: str, return_url: str | None) -> Saving:
        """Ask the bank whether the payment method may be saved; without a `return_url` only whether it works at all."""

    def change_method(self, payment_method: str, exp_month: int, exp_year: int) -> None:
        """Change a card's expiry."""

    def begin_checkout(
        self, customer: str, return_url: str, cancel_url: str | None, types: Collection[str]
    ) -> SetupSession:
        """As Gateway.begin_setup, for methods of these types; with another address to go back to without a method."""

    def end_setup(self, reference: str) -> None:
        """Take the page for entering a payment method away."""


class Connector(ABC):
    """A payment provider at which each account has a connection of its own: it makes the gateway of one account and mode."""

    name: str

    @abstractmethod
    def gateway_of(self, account_id: str, livemode: bool) -> Gateway | None:
        """The account's gateway in this mode, or None if it has not connected one."""

    @abstractmethod
    def read_event(self, account_id: str, headers: Mapping[str, str], body: bytes, at: int) -> ReceivedEvent:
        """An event that came to the account's address. Raises EventRefused unless it is genuine, and this account's."""

    @abstractmethod
    def missed_events(self, at: int) -> Iterator[tuple[str, ReceivedEvent]]:
        """The events of accounts that have not been asked about for an hour, with whose they are; those that came, too.

        The caller takes all of them. A provider that does not answer is asked again the next time.
        """


__all__ = [
    "Charge",
    "ChargeRequest",
    "Connector",
    "CustomerDetails",
    "DisputeDetails",
    "Gateway",
    "GatewayEvent",
    "Mandate",
    "MethodToken",
    "PaymentDetails",
    "ReceivedEvent",
    "Refund",
    "RefundDetails",
    "RefundRequest",
    "Saving",
    "SetupSession",
    "SimulatedGateway",
    "Subject",
]
