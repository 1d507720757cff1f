"""One POST to an endpoint: to an address that was judged, for a bounded time, with a bounded answer, and no redirect followed."""

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from portal_site.billing.webhooks.queue import Outcome
from portal_site.config import Network
from portal_site.deliveries import targets
from portal_site.deliveries.targets import Unreachable

LONGEST = 10.0  # seconds for one try, whatever comes in between
CONNECT = 4.0  # of them for the connection to one address
MOST_READ = 64 * 1024  # bytes of an answer; its status is all that counts
USER_AGENT = "PortalSite/1.0 (webhooks)"
GOOD = range(200, 300)


class Stopped(Exception):
    """The program ends: how the try would have gone is not known, and the event is sent again."""


class _ToAddress:
    """A connection to one of the addresses that were judged: the host's name is for the certificate and the Host header."""

    addresses: Sequence[str] = ()
    guard: "Guard"

    def _new_conn(self) -> socket.socket:
        """As urllib3's own, which resolves the name, is replaced by its proxies."""
        fault: OSError | None = None
        for address in self.addresses:
            try:
                return self.guard.hold(socket.create_connection((address, self.port), CONNECT))  # type: ignore[attr-defined]
            except OSError as error:
                fault = error
        raise fault or OSError("no address")


class _Plain(_ToAddress, HTTPConnection):
    """Over HTTP."""


class _Secure(_ToAddress, HTTPSConnection):
    """Over HTTPS."""


@dataclass(eq=False)
class Guard:
    """Ends a connection from another thread: when its time is over, or with the program."""

    sockets: list[socket.socket] = field(default_factory=list)
    is_over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, made: socket.socket) -> socket.socket:
        """Keep a handle of a socket that ends the connection even while TLS has wrapped it."""
        made.settimeout(LONGEST)
        with self.lock:
            self.sockets.append(made.dup())
            if self.is_over:
                self._shut()
        return made

    def end(self) -> None:
        """Whatever waits for the other side gets an error at once."""
        with self.lock:
            self.is_over = True
            self._shut()

    def _shut(self) -> None:
        for each in self.sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is over already
                continue

    def close(self) -> None:
        """Give the handles back."""
        with self.lock:
            for each in self.sockets:
                each.close()
            self.sockets.clear()


class Sender:
    """Sends events to the networks that are allowed, until it is stopped."""

    def __init__(self, networks: Sequence[Network], longest: float = LONGEST) -> None:
        self.networks, self.longest = networks, longest
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self.is_stopped = False

    def stop(self) -> None:
        """End all tries now."""
        with self._lock:
            self.is_stopped = True
            for guard in self._guards:
                guard.end()

    def post(self, url: str, body: bytes, signature: str) -> Outcome:
        """Send a body, and say how that ended. Raises Stopped."""
        began = time.monotonic()
        guard = Guard()
        timer = threading.Timer(self.longest, guard.end)
        timer.daemon = True
        with self._lock:
            if self.is_stopped:
                raise Stopped
            self._guards.add(guard)
        timer.start()
        try:
            status, fault = self._try(url, body, signature, guard)
        finally:
            timer.cancel()
            with self._lock:
                self._guards.discard(guard)
            guard.close()
        if fault and self.is_stopped:
            raise Stopped
        return Outcome(status, fault, round((time.monotonic() - began) * 1000))

    def _try(self, url: str, body: bytes, signature: str, guard: Guard) -> tuple[int | None, str]:
        connection = None
        try:
            connection = self._connection(url, guard)
            status = _answer(connection, url, body, signature)
        except Unreachable as fault:
            return None, str(fault)
        except (HTTPError, OSError, ValueError) as error:
            return None, _words(error, guard)
        finally:
            if connection is not None:
                connection.close()
        if status in GOOD:
            return status, ""
        return status, "it answered with a redirect" if status in range(300, 400) else f"it answered {status}"

    def _connection(self, url: str, guard: Guard) -> Any:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        addresses = targets.resolve(host, port, self.networks)
        made: Any
        if parts.scheme == "https":
            made = _Secure(host, port, timeout=self.longest, ssl_context=_tls())
        else:
            made = _Plain(host, port, timeout=self.longest)
        made.addresses, made.guard = addresses, guard
        return made


def _answer(connection: Any, url: str, body: bytes, signature: str) -> int:
    """The status of the answer, of which no more is read than a well-meaning program sends."""
    parts = urlsplit(url)
    headers = {
        "Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature, "User-Agent": USER_AGENT,
        "Accept": "*/*", "Connection": "close",
    }  # fmt: skip
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    connection.request("POST", path, body=body, headers=headers, preload_content=False, decode_content=False)
    response = connection.getresponse()
    status = int(response.status)
    try:
        response.read(MOST_READ)
    except (HTTPError, OSError, ValueError):  # its status had come
        return status
    finally:
        response.close()
    return status


def _words(error: Exception, guard: Guard) -> str:
    """What was wrong, for the merchant's people: nothing of what came back."""
    cause = error.__cause__ or error.__context__ or error
    if guard.is_over or isinstance(error, TimeoutError) or isinstance(cause, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return "its certificate, or its TLS, was not accepted"
    if isinstance(error, ConnectionRefusedError) or isinstance(cause, ConnectionRefusedError):
        return "nobody answers at its address"
    return "the connection broke off"


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())
