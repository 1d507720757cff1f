"""What can happen to a call to a payment provider on its way there, in its work, and on the way back."""

import json
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from werkzeug.test import run_wsgi_app

LOST = ("drop", "lose", "reset", "reset after")  # nobody answers: before the work, or after it
REFUSED = ("409", "429", "429 retry", "500", "502")  # nothing was done
DONE = ("twice", "echo", "slow")  # the work is done, and answered
STORED = ("500 stored", "500 after")  # an error for as long as the key is known, without the work or after it
ALL = (*LOST, *REFUSED, *DONE, *STORED, "lose", "lose", "reset after")  # each once, but the worst ones oftener
_ERRORS = {"409": "lock_timeout", "429": "rate_limit"}
ECHO = "tests.echo"  # in the environment: the answer is to be sent twice
Start = Callable[..., Any]


class Cut(ConnectionError):
    """The connection ends without an answer; a reset takes back what was sent before it, too."""


@dataclass
class Faults:
    """A WSGI program behind a bad line. `next` are the faults of the next calls, of which "" is none.

    After them a call has one at random with the probability `losses`. `around` is called before and after each call. `calls`
    are those that came, as method and path, and `slow` is how long a slow one takes.
    """

    app: Callable[[dict[str, Any], Start], Iterable[bytes]]
    next: list[str] = field(default_factory=list)
    losses: float = 0
    dice: random.Random = field(default_factory=random.Random)
    kinds: tuple[str, ...] = ALL
    slow: float = 0
    around: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)  # the keys under which an error is
    worked: set[str] = field(default_factory=set)  # those under which an answer is

    def clear(self) -> None:
        """Forget what was, and is to come."""
        self.next.clear()
        self.calls.clear()
        self.stored.clear()
        self.worked.clear()
        self.losses, self.slow, self.kinds, self.around = 0, 0, ALL, lambda: None

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer a call, unless something comes in between."""
        self.calls.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        fault, key = self._drawn(), environ.get("HTTP_IDEMPOTENCY_KEY", "")
        self.around()
        if key in self.stored:
            return _error(start, 500, ("Idempotent-Replayed", "true"))
        if fault in ("drop", "reset"):
            raise Cut(fault)
        if fault.partition(" ")[0] in REFUSED and fault not in STORED:
            return _refusal(start, fault)
        if fault == "500 stored" and key not in self.worked:
            return self._store(start, key)
        return self._work(environ, start, fault, key)

    def _work(self, environ: dict[str, Any], start: Start, fault: str, key: str) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        for _ in range(2 if fault == "twice" else 1):
            chunks, status, sent = run_wsgi_app(self.app, {**environ, "wsgi.input": BytesIO(body)}, buffered=True)
        answer = b"".join(chunks)
        headers = [one for one in sent if one[0] not in ("Content-Length", "Connection")]
        headers.append(("Content-Length", str(len(answer))))
        self.around()
        if fault == "500 after" and key not in self.worked:
            return self._store(start, key)
        self.worked.add(key)
        if fault in ("lose", "reset after"):
            raise Cut(fault)
        if fault == "slow":
            time.sleep(self.slow)
        environ[ECHO] = fault == "echo"
        start(status, headers)
        return [answer]

    def _drawn(self) -> str:
        if self.next:
            return self.next.pop(0)
        return self.dice.choice(self.kinds) if self.losses and self.dice.random() < self.losses else ""

    def _store(self, start: Start, key: str) -> Iterable[bytes]:
        if key:
            self.stored.add(key)
        return _error(start, 500, ("Stripe-Should-Retry", "false"))


def _refusal(start: Start, fault: str) -> Iterable[bytes]:
    if fault == "502":  # of what stands before the provider, and no JSON
        page = b"<html><h1>Bad Gateway</h1></html>"
        start("502 Bad Gateway", [("Content-Type", "text/html"), ("Content-Length", str(len(page)))])
        return [page]
    code, _, more = fault.partition(" ")
    return _error(start, int(code), *((("Stripe-Should-Retry", "true"),) if more else ()), code=_ERRORS.get(code))


def _error(start: Start, status: int, *headers: tuple[str, str], code: str | None = None) -> Iterable[bytes]:
    error = {"type": "api_error", "message": "An error of the provider's.", **({"code": code} if code else {})}
    body = json.dumps({"error": error}).encode()
    start(f"{status} Error", [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
    return [body]
