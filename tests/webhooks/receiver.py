"""A merchant's program that gets events: a real HTTP server on loopback that answers as it is told."""

import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

HANGS, HUGE, REDIRECTS = "hangs", "huge", "redirects"
TEN_MEGABYTES = 10 * 1024 * 1024
PATIENCE = 20  # seconds that a test waits at most


@dataclass
class Delivery:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    def event(self, secret: str, at: int) -> Any:
        """What Stripe's library makes of it, as it would at this time."""
        signed = self.headers["Stripe-Signature"]
        assert signed.startswith(f"t={at},v1=")
        return stripe.Webhook.construct_event(self.body, signed, secret, tolerance=0)  # type: ignore[no-untyped-call]


@dataclass
class Receiver:
    """What came in, and what is answered: the next of a list, then 200."""

    address: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    answers: deque[int | str] = field(default_factory=deque)
    usual: int | str = 200
    released: threading.Event = field(default_factory=threading.Event)
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, path: str | None = None) -> list[Delivery]:
        """The deliveries, once there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self._at(path)) >= count, PATIENCE), len(self._at(path))
            return self._at(path)

    def _at(self, path: str | None) -> list[Delivery]:
        return [one for one in self.deliveries if path in (None, one.path)]

    def take(self, delivery: Delivery) -> int | str:
        """Note a request; what to answer."""
        with self.came:
            self.deliveries.append(delivery)
            self.came.notify_all()
            return self.answers.popleft() if self.answers else self.usual


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.receiver.take(Delivery(self.path, dict(self.headers), body))
        with suppress(OSError):
            self._answer(HANGS if self.path == "/hangs" else answer)

    def _answer(self, answer: int | str) -> None:
        if answer == HANGS:
            self.receiver.released.wait(PATIENCE)
            return
        self.send_response(302 if answer == REDIRECTS else 200 if answer == HUGE else int(answer))
        if answer == REDIRECTS:
            self.send_header("Location", f"{self.receiver.address}/elsewhere")
        size = TEN_MEGABYTES if answer == HUGE else 2
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * size)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver, until the end of the block; with `tls` behind that."""
    receiver = Receiver()
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
