"""The server at byte level: no request smuggling, and a slow client does not block the others."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from flask import Flask

from portal_site.web.servers import waitress_server

Address = tuple[str, int]
PLAIN = b"GET /logged-out HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = b"POST /logged-out HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /logged-out HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def running(app: Flask) -> Iterator[Address]:
    """The server of `portal run`, with two threads so that a stuck one would show."""
    made = waitress_server.make_server(app, "127.0.0.1", 0, threads=2)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield "127.0.0.1", int(made.effective_port)
    pulled = threading.Event()

    def end() -> None:
        pulled.wait(5)  # the loop may be awake already, and would close the trigger before it is pulled
        for channel in list(made.active_channels.values()):  # which a client may have kept open
            channel.handle_close()
        made.close()

    made.trigger.pull_trigger(end)
    pulled.set()
    thread.join(5)


@pytest.fixture(scope="module")
def served(sqlite_app: Flask) -> Iterator[Address]:
    """Where the app is served."""
    with running(sqlite_app) as address:
        yield address


def answers(address: Address, raw: bytes) -> list[bytes]:
    """The status of each answer to these bytes; none when the connection was cut."""
    return re.findall(rb"HTTP/1\.[01] (\d{3}) ", raw_answer(address, raw))


def raw_answer(address: Address, raw: bytes) -> bytes:
    """All that comes back after these bytes."""
    connection = socket.create_connection(address, timeout=10)
    answer = b""
    # A server that has read enough may close before all of it came, which resets the connection.
    with connection:
        with suppress(OSError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
    return answer


REFUSED = [
    (b"nonsense\r\n\r\n", b"400"),
    (b"\0" * 100 + b"\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", b"400"),
    (POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", b"400"),
    (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (POST + b"Content-Length: 4\r\nContent-Length: 60\r\n\r\nabcd", b"400"),
    (POST + b"Content-Length: +4\r\n\r\nabcd", b"400"),
    (POST + b"Transfer-Encoding: x\r\n\r\n", b"501"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", b"400"),
    (POST + b"Content-Length: 99999999999\r\n\r\n", b"413"),
]
TOO_LARGE = {
    "long address": (PLAIN.replace(b"/logged-out", b"/" + b"a" * 40_000), b"431"),
    "long header": (PLAIN.replace(b"Connection", b"X: " + b"a" * 40_000 + b"\r\nConnection"), b"431"),
    "many headers": (PLAIN.replace(b"Connection", b"X: a\r\n" * 8_000 + b"Connection"), b"431"),
    "large body": (POST + b"Content-Length: 1048576\r\n\r\n", b"413"),
    "large body in pieces": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 20,
        b"413",
    ),
}


@pytest.mark.case("C17")
@pytest.mark.parametrize(("raw", "status"), REFUSED)
def test_what_is_no_request_is_answered_once_and_nothing_behind_it(served: Address, raw: bytes, status: bytes) -> None:
    assert answers(served, raw + SMUGGLED) == [status]
    assert answers(served, PLAIN) == [b"200"]


@pytest.mark.case("C17")
@pytest.mark.parametrize(("raw", "status"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_is_too_large_is_refused(served: Address, raw: bytes, status: bytes) -> None:
    # Whoever still sends when the server closes may not get to read why; but nothing else is answered.
    assert answers(served, raw) in ([status], [])
    assert answers(served, PLAIN) == [b"200"]


@pytest.mark.case("C17")
def test_too_much_in_a_form_is_told_so_by_the_program(served: Address) -> None:
    sent = POST + b"Content-Length: 600000\r\nConnection: close\r\n\r\n" + b"a" * 600_000
    assert answers(served, sent) in ([b"413"], [b"405"])


HALVES = [
    b"",
    b"GET / HTTP/1.1\r\nHost: loc",
    POST + b"Content-Length: 100\r\n\r\na",
    POST + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
]


@pytest.mark.case("C17")
def test_a_thousand_incomplete_requests_do_not_delay_others(served: Address) -> None:
    with ExitStack() as stack:
        for number in range(1100):  # more than the default limit, and more files than select() knows
            slow = stack.enter_context(socket.create_connection(served, timeout=10))
            slow.sendall(HALVES[number % len(HALVES)])
        assert answers(served, PLAIN) == [b"200"]  # by then all that came before has been taken in
        began = time.monotonic()
        assert answers(served, PLAIN) == [b"200"]
        assert time.monotonic() - began < 5  # a third of what a request may take to arrive


@pytest.mark.case("C17")
@pytest.mark.parametrize("half", HALVES)
def test_half_a_request_is_waited_for_only_so_long_even_when_it_trickles(
    sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    monkeypatch.setattr(waitress_server, "PATIENCE", 1)
    monkeypatch.setattr(waitress_server, "LOOK", 1)
    with running(sqlite_app) as address, socket.create_connection(address, timeout=5) as slow:
        slow.sendall(half)
        slow.settimeout(0.2)
        deadline = time.monotonic() + 5
        while not (closed := _is_closed(slow, trickle=bool(half))) and time.monotonic() < deadline:
            pass
        assert closed


def _is_closed(connection: socket.socket, *, trickle: bool) -> bool:
    try:
        if trickle:
            connection.sendall(b"a")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.case("C17")
def test_requests_one_after_the_other_share_a_connection(served: Address) -> None:
    assert answers(served, SMUGGLED + POST + b"Content-Length: 4\r\n\r\nabcd" + PLAIN) == [b"200", b"405", b"200"]
