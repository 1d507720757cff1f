"""Calls to Stripe: the official library, its version, its time-outs, and its errors as the engine knows them."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from portal_site.billing.errors import GatewayUnavailable

if TYPE_CHECKING:  # it takes a quarter of a second to load, which only those pay that call it
    from stripe import StripeClient, StripeError

API_VERSION = (
    "2026-10-28.endive"  # of the objects that this package reads; the library of the requirements has the same
)
ADDRESS = "https://api.stripe.com"
# Seconds. A customer waits for a call. Without retries: the engine asks about a lost answer, and pays no second time.
CONNECT, READ = 2, 8
# Calls a second with one key, and those of them to one API endpoint. Stripe takes 100 in live mode, 25 in test mode, and 25 at
# each endpoint; the rest is for pages and other programs. A payment calls two endpoints, so an account has up to 20 a second.
MOST_LIVE, MOST_TEST, MOST_OF_ENDPOINT = 80, 20, 20
LONGEST_GAP = 1  # seconds between two calls, after many refusals
RECOVERY = 0.98  # by which the gap shrinks with each answer, until it is the usual one again
TOO_MANY = 429
_ID = re.compile(r"[^/]*[0-9A-Z][^/]*")  # a part of a path with a digit or a capital
KEYS = ("", "_2", "_3", "_4")  # behind a key, one after the other


@lru_cache(maxsize=256)
def client(key: str, acts_for: str | None = None, address: str = ADDRESS, read: int | None = None) -> "StripeClient":
    """Stripe for a secret key, or with `acts_for` for an account that is connected to it, waiting `read` (or READ) seconds."""
    import stripe

    class Throttled(stripe.RequestsClient):
        """Calls that stay below the limits."""

        def request(self, method: str, url: str, *given: Any, **named: Any) -> Any:
            """As the library does."""
            throttle.wait(api_endpoint(method, url))
            answer = super().request(method, url, *given, **named)
            throttle.heed(answer[1])
            return answer

    throttle = throttle_of(key, acts_for)
    return stripe.StripeClient(
        key, stripe_account=acts_for, stripe_version=API_VERSION, base_addresses={"api": address}, max_network_retries=0,
        http_client=Throttled(timeout=(CONNECT, read or READ)),
    )  # fmt: skip


def api_endpoint(method: str, url: str) -> str:
    """Method and path of a call without the ids in it: what Stripe counts apart."""
    path = url.partition("?")[0].partition("/v1/")[2]
    return f"{method.upper()} {_ID.sub('*', path)}"


@lru_cache(maxsize=256)
def throttle_of(key: str, acts_for: str | None) -> "Throttle":
    """The throttle of the calls with a key, for one account, in this process."""
    return Throttle(MOST_LIVE if "_live_" in key else MOST_TEST, MOST_OF_ENDPOINT)


class Throttle:
    """Keeps the calls of one key apart: at most `most` a second, and `of_endpoint` of one endpoint.

    After a 429 half as many, and slowly more again.
    """

    def __init__(self, most: float, of_endpoint: float) -> None:
        self._most, self._of_endpoint = most, of_endpoint
        self._slower = 1.0
        self._next: dict[str, float] = {}  # by endpoint; all calls under the empty name
        self._lock = threading.Lock()

    def wait(self, endpoint: str) -> None:
        """Wait for the call's turn."""
        while (seconds := self._take_turn(endpoint)) > 0:
            time.sleep(seconds)

    def _take_turn(self, endpoint: str) -> float:
        """Take the turn if it has come; if not, in how many seconds it may."""
        with self._lock:
            now = time.monotonic()
            turns = [self._next.get(name, 0.0) for name in ("", endpoint)]
            if max(turns) > now:
                return max(turns) - now
            for name, most, turn in zip(("", endpoint), (self._most, self._of_endpoint), turns, strict=True):
                gap = min(self._slower / most, LONGEST_GAP)
                self._next[name] = max(turn, now - gap) + gap  # who overslept a little is not slower for it
            return 0

    def heed(self, status: int) -> None:
        """Take note of an answer."""
        with self._lock:
            if status == TOO_MANY:
                self._slower = min(2 * self._slower, self._most * LONGEST_GAP)
            else:
                self._slower = max(self._slower * RECOVERY, 1.0)

    @property
    def rate(self) -> float:
        """How many calls a second there are at most now."""
        return self._most / self._slower


def under_key(call: Callable[[Any], Any], key: str) -> Any:
    """The object that a call with an idempotency key answers with.

    Stripe stores an error of its own for a key and repeats it for a day. One that is repeated says that the call is over, so it
    is made under another key: only for what does no harm if it is done twice, or after looking whether it was.
    """
    import stripe

    for name in (f"{key}{suffix}" for suffix in KEYS):
        try:
            return call({"idempotency_key": name}).to_dict()
        except stripe.StripeError as error:
            if not is_stored(error):
                raise
            stored = error
    raise stored


def is_stored(error: "StripeError") -> bool:
    """Whether an answer is the error that Stripe has stored for the call's key."""
    headers: Any = error.headers or {}
    replayed = any(name.lower() == "idempotent-replayed" and value == "true" for name, value in headers.items())
    return replayed and (error.http_status or 0) >= 500


@contextmanager
def errors(note: Callable[[str], None] = lambda _words: None) -> Iterator[None]:
    """Raise GatewayUnavailable for whatever says nothing about the call's outcome, or about what was asked.

    A key that is wrong, or may not do this, is no answer either: nobody's payment has failed. `note` gets to know that.
    """
    import stripe

    try:
        yield
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        words = error.user_message or "The key does not work."
        note(words)
        raise GatewayUnavailable(f"Stripe refuses the key: {words}") from error
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        if isinstance(error, stripe.IdempotencyError):
            raise GatewayUnavailable(str(error)) from error
        raise
    except stripe.StripeError as error:  # no answer, 409, 429, 5xx
        raise GatewayUnavailable(f"{type(error).__name__}: {error.user_message or 'no answer'}") from error
