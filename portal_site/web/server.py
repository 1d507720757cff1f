"""The server of `portal run`: waitress, with bounds on what one client may ask of it before it has asked anything whole."""

import resource
from typing import Any

import waitress
from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError

PATIENCE = 15  # seconds in which a request has to come whole, and after which an idle connection is closed
LOOK = 5  # and how often that is looked after
CONNECTIONS = 2000  # more than one who opens them by hand; each costs a file and two microseconds a turn
SPARE_FILES = 500  # for the database, for bodies that are too large for memory, for the program itself
LARGEST_HEADER = 32 * 1024
LARGEST_BODY = 1024 * 1024  # above what the program takes, so that its own page answers what is a little too much


class Parser(HTTPRequestParser):
    """Refuses what a proxy in front may have read as two requests where this server reads one, or the other way round."""

    def parse_header(self, header_plus: bytes) -> None:
        """Two lengths are no length, and before HTTP/1.1 there was no other than Content-Length (RFC 9112, 6.1)."""
        super().parse_header(header_plus)
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding where Content-Length counts")


class Channel(HTTPChannel):
    """A connection on which only whole requests count as activity."""

    parser_class = Parser
    last_activity: float

    def handle_read(self) -> None:
        """More bytes of a request that has begun do not renew its time: else one a minute would hold it for ever."""
        request, since = self.request, self.last_activity
        super().handle_read()
        if request is not None and self.request is request:
            self.last_activity = since


def make_server(app: Flask, host: str, port: int, threads: int) -> Any:
    """A server that listens already; `run()` serves. Raises OSError or ValueError where it cannot listen."""
    listeners: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=listeners,
        host=host,
        port=port,
        threads=threads,
        ident=None,
        asyncore_use_poll=True,  # select() knows no more than 1,024 files
        connection_limit=_connections(),
        channel_timeout=PATIENCE,
        cleanup_interval=LOOK,
        max_request_header_size=LARGEST_HEADER,
        max_request_body_size=LARGEST_BODY,
        # waitress would take X-Forwarded-* away before the program sees them. Where proxies are trusted, create_app reads the
        # headers that these have set; where none is, the headers are a client's own words and go.
        clear_untrusted_proxy_headers=not app.config["SETTINGS"].trusted_proxies,
        log_socket_errors=False,  # who hangs up is no news, and could fill the log
    )
    for listener in listeners.values():
        listener.channel_class = Channel
    return server


def _connections() -> int:
    """How many connections the process has files for, after taking as many files as it may."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return max(wanted - SPARE_FILES, wanted // 2)
