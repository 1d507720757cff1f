"""The server of `portal run`: waitress, with limits for slow, large and ambiguous requests, and for waiting ones.

`gunicorn_worker` has the same limits for gunicorn.
"""

import math
import resource
import select
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any

import waitress
from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error

from portal_site.web import security

PATIENCE = 15  # seconds for receiving a complete request, and after which an idle connection is closed
LOOK = 5  # seconds between two checks of that limit
CONNECTIONS = 2000  # more than one attacker opens by hand; each costs a file and two microseconds per turn of the loop
SPARE_FILES = 500  # for the database, for bodies that are too large for memory, for the program itself
MOST_WAIT = 5  # seconds that a complete request waits for a thread; then it is refused, which costs next to nothing
# Seconds for which a thread may keep Python's interpreter from the others. A refusal makes a few system calls, and after each
# of them it waits for the thread of the loop, which is busy with the connections of all who wait: with the usual interval 1,900
# refusals took half a minute. While nothing has to be refused, more turns would only cost a fifth of the answers in a second.
SERVING, REFUSING = sys.getswitchinterval(), 0.0002
LEAST_WAIT = 1  # seconds that it waits for a thread even if it may have waited long before it was accepted
BOUNDS = {
    "max_request_header_size": 32 * 1024,
    "max_request_body_size": 1024
    * 1024,  # above the app's own, so that a slightly too large body gets the app's error page
}


class Overloaded(Error):
    """There are more requests than can be answered in time."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status, headers and body in waitress's format."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("Retry-After", "10")], body


class Backlog:
    """Since when a server has held as many connections as it can, so that others wait in the system's backlog."""

    def __init__(self, listeners: Iterable[socket.socket]) -> None:
        self._poll = select.poll()
        for listener in listeners:
            self._poll.register(listener.fileno(), select.POLLIN)
        self._full_since: float | None = None

    def fill(self) -> None:
        """No more connections are accepted: whoever connects waits in the backlog."""
        if self._full_since is None:
            self._full_since = time.monotonic()

    def drain(self) -> None:
        """Connections are accepted, or one was."""
        if self._full_since is not None and not self._poll.poll(0):  # nobody is left who came meanwhile
            self._full_since = None

    def patience(self) -> float:
        """Seconds that the first request of a connection may wait for a thread, if the connection is accepted now."""
        if self._full_since is None:
            return MOST_WAIT
        return max(LEAST_WAIT, MOST_WAIT - (time.monotonic() - self._full_since))


class Parser(HTTPRequestParser):
    """A parser that refuses requests which a proxy in front could split differently (request smuggling)."""

    completed_at = 0.0

    def received(self, data: bytes) -> int:
        """Take in data, and note when the request is complete. Returns how many bytes belong to it."""
        used: int = super().received(data)
        if self.completed:
            self.completed_at = time.monotonic()
        return used

    def parse_header(self, header_plus: bytes) -> None:
        """Refuse Transfer-Encoding together with Content-Length, or before HTTP/1.1 (RFC 9112, section 6.1)."""
        super().parse_header(header_plus)
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding where Content-Length counts")


class Refusal(ErrorTask):
    """A refusal by the server itself, with the headers of the program's own responses."""

    def execute(self) -> None:
        """Send the refusal."""
        self.response_headers.extend(self.channel.server.refusal_headers)
        super().execute()


class Channel(HTTPChannel):
    """A connection on which only complete requests count as activity, and none is answered that waited for too long."""

    parser_class = Parser
    error_task_class = Refusal
    last_activity: float

    def __init__(self, server: "Server", *args: Any, **kwargs: Any) -> None:
        self.patience = server.backlog.patience()
        super().__init__(server, *args, **kwargs)
        server.backlog.drain()

    def service(self) -> None:
        """Answer the next request."""
        request, now = self.requests[0], time.monotonic()
        if request.error is None and now - request.completed_at > self.patience:
            request.error = Overloaded("Please try again in a moment.")
            self.server.refused_at = now
        sys.setswitchinterval(REFUSING if now - self.server.refused_at < MOST_WAIT else SERVING)
        self.patience = MOST_WAIT
        super().service()

    def handle_read(self) -> None:
        """Do not extend the time limit for more bytes of the same request.

        Otherwise a client could hold a connection for ever by sending a byte now and then.
        """
        request, last_activity = self.request, self.last_activity
        super().handle_read()
        if request is not None and self.request is request:
            self.last_activity = last_activity


class Server(TcpWSGIServer):
    """A listener with these channels, which knows since when it accepts no connections."""

    channel_class = Channel
    backlog: Backlog
    refusal_headers: list[tuple[str, str]]
    refused_at = -math.inf  # when it last refused a request that had waited for too long

    def readable(self) -> bool:
        """Tell whether another connection is accepted."""
        accepts: bool = super().readable()
        if self.in_connection_overflow:
            self.backlog.fill()
        else:
            self.backlog.drain()
        return accepts


def make_server(app: Flask, host: str, port: int, threads: int) -> Any:
    """A server that is already listening; `run()` serves. Raises OSError or ValueError if it cannot listen."""
    listeners: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=listeners,
        host=host,
        port=port,
        threads=threads,
        ident=None,
        asyncore_use_poll=True,  # select() supports at most 1,024 files
        connection_limit=_connections(),
        channel_timeout=PATIENCE,
        cleanup_interval=LOOK,
        **BOUNDS,
        # By default waitress removes X-Forwarded-* headers. If there are trusted proxies, create_app reads the headers that
        # they have set. If there are none, the headers come from the client and are removed.
        clear_untrusted_proxy_headers=not app.config["SETTINGS"].trusted_proxies,
        log_socket_errors=False,  # clients that disconnect are normal and could fill the log
    )
    for listener in [one for one in listeners.values() if isinstance(one, TcpWSGIServer)]:
        listener.__class__ = Server
        listener.backlog = Backlog([listener.socket])
        listener.refusal_headers = security.refusal_headers(app.config["SETTINGS"])
    return server


def _connections() -> int:
    """The number of connections that the limit of open files allows, after raising that limit as far as needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = CONNECTIONS + SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(files - SPARE_FILES, files // 2)
