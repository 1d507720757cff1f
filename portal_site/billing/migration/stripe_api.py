"""Questions to Stripe: with the official library, at the pace that it allows, and again where they were not answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.gateways.stripe import client as clients
from portal_site.db.json_columns import JsonObject

PER_SECOND = 20  # calls; Stripe takes 25 of each kind, and the merchant's own programs ask as well
PATIENCE = 60  # seconds for an answer: a page of a hundred invoices may take longer than a customer would wait
MOST_TRIES = 8
LONGEST_PAUSE = 60.0  # seconds


@dataclass
class Pace:
    """Spreads calls over time: `per_second` of them, and none before a pause that was asked for is over."""

    per_second: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    _next: float = 0.0

    def wait(self) -> None:
        """Wait for the turn of the next call."""
        now = self.monotonic()
        turn = max(now, self._next)
        self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)

    def rest(self, seconds: float) -> None:
        """Let no call be made for some time."""
        self._next = max(self._next, self.monotonic() + seconds)


class StripeApi:
    """Stripe for one key. `client` is the official library's; a question is asked `most_tries` times."""

    def __init__(self, client: Any, pace: Pace, most_tries: int = MOST_TRIES) -> None:
        self._api, self._pace, self._most_tries = client.v1, pace, most_tries

    @classmethod
    def of_key(cls, key: str, acts_for: str | None, address: str, pace: Pace) -> "StripeApi":
        """Stripe for a secret key."""
        return cls(clients.client(key, acts_for, address, PATIENCE), pace)

    def ask(self, question: Callable[[Any], Any]) -> JsonObject:
        """The answer as a document. Whoever asks for a change has to give an idempotency key: it may be asked for again.

        Raises GatewayUnavailable if there is none after many tries, BillingError for a key that does not work or may not do this,
        and the library's InvalidRequestError for a question that Stripe refuses.
        """
        import stripe

        tries = 0
        while True:
            self._pace.wait()
            try:
                document: JsonObject = question(self._api).to_dict(for_json=True)
                return document
            except stripe.AuthenticationError as error:
                raise BillingError("Stripe does not know this key. It may have been revoked.", param="key") from error
            except stripe.PermissionError as error:
                words = error.user_message or "The key may not do this."
                raise BillingError(f"Stripe refuses: {words}".replace("%", "%%"), param="key") from error
            except (stripe.InvalidRequestError, stripe.CardError):
                raise
            except stripe.StripeError as error:  # no answer, 409, 429, 5xx
                tries += 1
                if tries >= self._most_tries:
                    raise GatewayUnavailable(f"{type(error).__name__}: {error.user_message or 'no answer'}") from error
                self._pace.rest(_pause(error, tries))


def _pause(error: Any, tries: int) -> float:
    """How long to wait before the next try: as Stripe says, else longer each time."""
    named = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    return min(LONGEST_PAUSE, float(named) if str(named).isdigit() else 0.5 * 2**tries)


def is_missing(error: Exception) -> bool:
    """Whether Stripe refuses a question because there is no such object."""
    return getattr(error, "code", None) == "resource_missing"
