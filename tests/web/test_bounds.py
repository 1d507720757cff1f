"""Slow, large and too many requests, at each server and through each proxy that the README names."""

import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

import pytest

from tests.web.processes import SERVERS, Place
from tests.web.proxies import HOST, PROXIES, start_proxy
from tests.web.test_behind_a_proxy import BEHIND_TLS
from tests.web.test_server import PLAIN, REFUSED, SMUGGLED, TOO_LARGE, Address, answers, raw_answer

HEADERS = ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "cache-control")
WAYS = [(server, proxy) for server in SERVERS for proxy in ("", *PROXIES)]
Connect = Callable[[], socket.socket]


@pytest.fixture(scope="module", params=list(SERVERS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Each server as a process."""
    with ExitStack() as stack:
        _, port = Place(tmp_path_factory.mktemp("served"), stack).serve(request.param)
        yield "127.0.0.1", port


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A portal's data, and its processes for as long as the test runs."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


@pytest.mark.case("C17")
@pytest.mark.parametrize(("raw", "status"), REFUSED)
def test_a_malformed_request_is_refused_with_the_security_headers(served: Address, raw: bytes, status: bytes) -> None:
    answer = raw_answer(served, raw + SMUGGLED).decode().lower()
    assert re.findall(r"http/1\.[01] (\d{3}) ", answer) == [status.decode()]
    assert [name for name in HEADERS if f"\r\n{name}: " not in answer] == []
    assert answers(served, PLAIN) == [b"200"]


@pytest.mark.case("C17")
@pytest.mark.parametrize(("raw", "status"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_is_too_large_is_refused(served: Address, raw: bytes, status: bytes) -> None:
    answer = raw_answer(served, raw).decode().lower()
    assert re.findall(r"http/1\.[01] (\d{3}) ", answer) in ([status.decode()], [])
    assert not answer or [name for name in HEADERS if f"\r\n{name}: " not in answer] == []
    assert answers(served, PLAIN) == [b"200"]


@pytest.mark.case("C17")
@pytest.mark.parametrize("server", SERVERS)
def test_a_refusal_keeps_browsers_on_https(place: Place, server: str) -> None:
    _, port = place.serve(server, **BEHIND_TLS)
    for raw in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n"):
        assert b"Strict-Transport-Security: max-age=" in raw_answer(("127.0.0.1", port), raw)


@pytest.mark.case("C17")
def test_requests_in_pieces_and_in_a_row_are_answered_in_order(served: Address) -> None:
    form = b"a=" + b"b" * 5_000
    posted = b"POST /logged-out HTTP/1.1\r\nHost: localhost\r\n"
    whole = posted + b"Content-Length: %d\r\n\r\n" % len(form) + form
    chunked = posted + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(form), form)
    expecting = whole.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1)
    assert answers(served, SMUGGLED + whole + b"\r\n" + chunked + PLAIN) == [b"200", b"405", b"405", b"200"]
    with socket.create_connection(served, timeout=10) as slow:
        for request in (whole, chunked, SMUGGLED):
            for start in range(0, len(request), 700):
                slow.sendall(request[start : start + 700])
                time.sleep(0.01)
            assert b" 200 " in (first := _head(slow)) or b" 405 " in first
        head, _, body = expecting.partition(b"\r\n\r\n")
        slow.sendall(head + b"\r\n\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 100 ")
        slow.sendall(body)
        assert b" 405 " in _head(slow)


def _head(connection: socket.socket) -> bytes:
    """The head of an answer that says how long it is; the rest is read too."""
    answer = b""
    while b"\r\n\r\n" not in answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""):
        answer += connection.recv(65536)
    head, _, body = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
    while len(body) < length:
        body += connection.recv(65536)
    return head


def _connect(port: int, encrypted: bool) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    if not encrypted:
        return plain
    return _trusting().wrap_socket(plain, server_hostname=HOST)


@cache
def _trusting() -> ssl.SSLContext:
    """Trusts whoever it is. Made once: with the authorities of the system, it takes longer than a visit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _p99(connect: Connect, host: str, count: int) -> float:
    """The slowest but one of a hundred visits, in seconds."""
    durations = []
    for _ in range(count):
        began = time.perf_counter()
        with connect() as visitor:
            visitor.sendall(f"GET /session-over HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert visitor.recv(12) == b"HTTP/1.1 403"
        durations.append(time.perf_counter() - began)
    return sorted(durations)[int(count * 0.99) - 1]


@pytest.mark.case("F23")
@pytest.mark.long
@pytest.mark.parametrize(("server", "proxy"), WAYS)
def test_slow_requests_do_not_delay_others(place: Place, server: str, proxy: str) -> None:
    """Twenty bodies of which a byte comes each second, two hundred heads that never end, and as many that take no answer."""
    _, port = place.serve(server, **(BEHIND_TLS if proxy else {}))
    outside, host = (start_proxy(place, proxy, port), HOST) if proxy else (port, f"127.0.0.1:{port}")
    connect = lambda: _connect(outside, bool(proxy))  # noqa: E731
    idle = _p99(connect, host, 60)
    body = f"POST /language HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\na=".encode()
    lazy = f"GET /logged-out HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    stop = threading.Event()
    with ExitStack() as stack:
        slow = [stack.enter_context(connect()) for _ in range(260)]
        for number, connection in enumerate(slow):
            connection.sendall(body if number < 20 else lazy if number < 60 else b"GET / HTTP/1.1\r\nHost: a")

        def drip() -> None:
            while not stop.wait(1):
                for connection in slow[:20]:
                    with suppress(OSError):
                        connection.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            time.sleep(1)
            attacked = _p99(connect, host, 60)
        finally:
            stop.set()
            thread.join()
    # A busy machine alone makes one visit in a hundred slow; who waits for a slow one waits for seconds.
    assert attacked <= max(3 * idle, 0.3)


def _crowd(port: int, raw: bytes) -> list[tuple[float, bytes]]:
    """The answers to 2,400 connections that ask at the same time: seconds until each, and how it begins."""
    came: list[tuple[float, bytes]] = []
    with ExitStack() as stack:
        poller = stack.enter_context(selectors.DefaultSelector())
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(2400)]
        for connection in crowd:
            poller.register(connection, selectors.EVENT_READ)
        began = time.monotonic()
        for connection in crowd:
            connection.sendall(raw)
        while len(came) < len(crowd) and time.monotonic() - began < 40:
            for key, _ in poller.select(1):
                came.append((time.monotonic() - began, key.fileobj.recv(65536)))  # type: ignore[union-attr]
                poller.unregister(key.fileobj)
    return came


def _stretch() -> float:
    """By how much a second of work takes longer on this machine at the moment, because other tests work beside this one."""
    wall, work = time.monotonic(), time.process_time()
    while time.process_time() - work < 0.5:
        pass
    return (time.monotonic() - wall) / (time.process_time() - work)


@pytest.mark.case("F27")
@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
def test_more_than_can_be_answered_in_time_is_refused_in_time(place: Place, server: str) -> None:
    """2,400 customers ask for their overview at once, of one thread, which has 5 seconds for 48 seconds of work.

    They are more than a server holds, so that some wait in the system's queue first.
    """
    one = ["--threads", "1"] + (["--workers", "1"] if server == "gunicorn" else [])
    _, port = place.serve_slowly(server, 0.02, one)
    browser = place.browser(port)
    raw = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {browser.cookie}\r\nConnection: close\r\n\r\n".encode()
    for _ in range(3):  # a virtual machine may stand still for seconds, but not each time
        before = _stretch()
        came = _crowd(port, raw)
        allowed = 10 * max(1, before, _stretch())
        if max(after for after, _ in came) <= allowed:
            break
    assert len(came) == 2400
    shed = [answer for _, answer in came if answer.startswith(b"HTTP/1.1 503")]
    done = sorted(after for after, answer in came if answer.startswith(b"HTTP/1.1 200"))
    assert len(shed) + len(done) == 2400
    assert shed
    assert done
    assert all(b"\r\nRetry-After: 10\r\n" in answer and b"Content-Security-Policy" in answer for answer in shed)
    assert done[int(len(done) * 0.99) - 1] <= allowed
    assert max(after for after, _ in came) <= 1.2 * allowed
    assert browser.ask("GET", "/")[0] == 200
