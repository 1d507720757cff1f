"""The server of `portal run`: waitress, with limits against slow, large and ambiguous requests."""

import resource
from typing import Any

import waitress
from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError

PATIENCE = 15  # seconds for receiving a complete request, and after which an idle connection is closed
LOOK = 5  # seconds between two checks of that limit
CONNECTIONS = 2000  # more than one attacker opens by hand; each costs a file and two microseconds per turn of the loop
SPARE_FILES = 500  # for the database, for bodies that are too large for memory, for the program itself
LARGEST_HEADER = 32 * 1024
LARGEST_BODY = 1024 * 1024  # above the app's own limit, so that a slightly too large body gets the app's error page


class Parser(HTTPRequestParser):
    """A parser that refuses requests which a proxy in front could split differently (request smuggling)."""

    def parse_header(self, header_plus: bytes) -> None:
        """Refuse Transfer-Encoding together with Content-Length, or before HTTP/1.1 (RFC 9112, section 6.1)."""
        super().parse_header(header_plus)
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding where Content-Length counts")


class Channel(HTTPChannel):
    """A connection on which only complete requests count as activity."""

    parser_class = Parser
    last_activity: float

    def handle_read(self) -> None:
        """Do not extend the time limit for more bytes of the same request.

        Otherwise a client could hold a connection for ever by sending a byte now and then.
        """
        request, last_activity = self.request, self.last_activity
        super().handle_read()
        if request is not None and self.request is request:
            self.last_activity = last_activity


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
        max_request_header_size=LARGEST_HEADER,
        max_request_body_size=LARGEST_BODY,
        # By default waitress removes X-Forwarded-* headers. If there are trusted proxies, create_app reads the headers that
        # they have set. If there are none, the headers come from the client and are removed.
        clear_untrusted_proxy_headers=not app.config["SETTINGS"].trusted_proxies,
        log_socket_errors=False,  # clients that disconnect are normal and could fill the log
    )
    for listener in listeners.values():
        listener.channel_class = Channel
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
