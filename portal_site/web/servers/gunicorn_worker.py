"""The limits of `portal run` for gunicorn: its threads get only complete requests, and none that waited too long.

gunicorn's own worker reads a request in the thread that answers it, so a few slow ones occupy all threads.
"""

import selectors
import socket
import struct
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker
from waitress.adjustments import Adjustments
from waitress.utilities import Error

from portal_site.web import security
from portal_site.web.servers.waitress_server import BOUNDS, MOST_WAIT, PATIENCE, Backlog, Overloaded, Parser

LINGER = 2  # seconds that a client has to read its response before the connection is closed
MOST_HELD = 64 * 1024 * 1024  # bytes of incomplete requests in one process
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ADJUSTMENTS = Adjustments(**BOUNDS)


def bound(worker: Worker) -> None:
    """Add the limits to gunicorn's worker after it has loaded the program. Logs an error if its class is not `gthread`."""
    if not isinstance(worker, ThreadWorker):
        worker.log.error("Slow requests stop this server: start it with --worker-class gthread.")
        return
    worker.__class__ = BoundedWorker
    worker.gathered, worker.lingering = {}, {}
    worker.backlog = Backlog(listener.sock for listener in worker.sockets)
    worker.refusal_headers = security.refusal_headers(worker.wsgi.config["SETTINGS"])


@dataclass
class _Request:
    """A request in progress. waitress's parser tells where it ends and whether it is valid; gunicorn gets the bytes."""

    deadline: float
    parser: Parser = field(default_factory=lambda: Parser(_ADJUSTMENTS))
    raw: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> None:
        self.raw += data
        while data and not self.parser.completed:
            data = data[self.parser.received(data) :]
            if self.parser.completed and self.parser.empty:  # blank lines between two requests
                self.parser, self.raw = Parser(_ADJUSTMENTS), bytearray(data)


class BoundedWorker(ThreadWorker):
    """Everything but `handle` runs in the main thread, which waits for all connections at once."""

    gathered: dict[TConn, _Request]
    lingering: dict[TConn, float]  # with their deadlines
    backlog: Backlog
    refusal_headers: list[tuple[str, str]]

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept more connections, or none for now."""
        super().set_accept_enabled(enabled)
        if enabled:
            self.backlog.drain()
        else:
            self.backlog.fill()

    def accept(self, listener: Any) -> None:
        """Accept a connection."""
        super().accept(listener)
        self.backlog.drain()

    def enqueue_req(self, conn: TConn) -> None:
        """Receive the connection's next request. gunicorn calls it for a new connection, and when another request begins."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        if not conn.initialized:
            # So that a client that does not read its answer does not hold a thread either.
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))
        conn.patience = MOST_WAIT if conn.initialized else self.backlog.patience()
        conn.init()
        held = conn.parser.unreader.take_buffered()
        self.gathered[conn] = _Request(time.monotonic() + PATIENCE)
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))
        if held:
            self._take(conn, held)

    def _receive(self, conn: TConn, _socket: Any) -> None:
        try:
            data = conn.sock.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(conn, data)
        else:
            self._close(conn)

    def _take(self, conn: TConn, data: bytes) -> None:
        request = self.gathered[conn]
        request.take(data)
        if request.parser.error:
            self._refuse(conn, request.parser.error)
        elif request.parser.completed:
            self._release(conn)
            conn.sock.setblocking(True)
            conn.parser.unreader.unread(bytes(request.raw))
            conn.data_ready, conn.queued_at = True, time.monotonic()
            super().enqueue_req(conn)
        elif sum(len(one.raw) for one in self.gathered.values()) > MOST_HELD:
            self._refuse(conn, Overloaded("Please try again in a moment."))
        elif request.parser.expect_continue and request.parser.headers_finished:
            request.parser.expect_continue = False
            conn.sock.send(CONTINUE)

    def handle(self, conn: TConn) -> Any:
        """Answer a request, in one of the threads."""
        if not self.cfg.is_ssl and time.monotonic() - conn.queued_at > conn.patience:
            self._answer(conn, Overloaded("Please try again in a moment."))
            return False
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that gunicorn refuses."""
        super().handle_error(req, _WithHeaders(client, self.refusal_headers), addr, exc)

    def finish_request(self, conn: TConn, fs: Any) -> None:
        """Continue with a connection after a response. Unlike gunicorn, closing one does not wait for its client."""
        if self.cfg.is_ssl or (not fs.cancelled() and fs.exception() is None and fs.result() is not False):
            super().finish_request(conn, fs)
        else:
            self._end(conn)

    def murder_pending(self) -> None:
        """Close the connections past their deadline. gunicorn calls it about once a second."""
        super().murder_pending()
        now = time.monotonic()
        for conn in [conn for conn, request in self.gathered.items() if request.deadline < now]:
            self._close(conn)
        for conn in [conn for conn, deadline in self.lingering.items() if deadline < now]:
            self._forget(conn)

    def _end(self, conn: TConn) -> None:
        """Close a connection after its client has closed it, which clients do when they have read the response."""
        self.nr_conns -= 1
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            conn.close()
            return
        self.lingering[conn] = time.monotonic() + LINGER
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: TConn, _socket: Any) -> None:
        try:
            is_over = not conn.sock.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._forget(conn)

    def _forget(self, conn: TConn) -> None:
        del self.lingering[conn]
        self.poller.unregister(conn.sock)
        conn.close()

    def _refuse(self, conn: TConn, error: Error) -> None:
        self._release(conn)
        self._answer(conn, error)
        self._end(conn)

    def _answer(self, conn: TConn, error: Error) -> None:
        status, headers, body = error.to_response()
        lines = [*headers, *self.refusal_headers, ("Content-Length", str(len(body))), ("Connection", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        try:
            conn.sock.send(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
        except OSError:
            self.log.debug("a client is gone before it was refused")

    def _release(self, conn: TConn) -> None:
        del self.gathered[conn]
        self.poller.unregister(conn.sock)

    def _close(self, conn: TConn) -> None:
        self._release(conn)
        self.nr_conns -= 1
        conn.close()


class _WithHeaders:
    """A socket that adds headers to the one response that is sent on it."""

    def __init__(self, client: Any, headers: list[tuple[str, str]]) -> None:
        self._client, self._headers = client, headers

    def sendall(self, data: bytes) -> None:
        status, _, rest = data.partition(b"\r\n")
        added = "".join(f"{name}: {value}\r\n" for name, value in self._headers).encode()
        self._client.sendall(status + b"\r\n" + added + rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
