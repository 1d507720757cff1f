"""Load generator: requests pages over plain sockets, eight at a time, and checks every response."""

import random
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.visits import Ticket

CONNECTIONS = 8
TIMEOUT = 30


@dataclass(frozen=True)
class Question:
    """A raw HTTP request, and a marker that only the correct response contains."""

    port: int
    wire: bytes
    marker: bytes

    @classmethod
    def of(cls, port: int, ticket: Ticket | None, path: str = "/", marker: str | None = None) -> "Question":
        """A GET request, with a customer's cookies if there is a ticket."""
        cookie = f"Cookie: {ticket.cookies}\r\n" if ticket else ""
        wire = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{cookie}Accept: text/html\r\nConnection: close\r\n\r\n"
        )
        expected = marker if marker is not None else (ticket.guest.email if ticket else "</html>")
        return cls(port, wire.encode(), expected.encode())

    def ask(self) -> bytes:
        """The response. Raises RuntimeError unless it is a 200 with the marker."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(self.wire)
            parts = []
            while part := connection.recv(262144):
                parts.append(part)
        answer = b"".join(parts)
        if not answer.startswith(b"HTTP/1.1 200 ") or self.marker not in answer:
            raise RuntimeError(f"port {self.port} gave a wrong answer: {answer[:700]!r}")
        return answer


@dataclass(frozen=True)
class Burst:
    """The number of responses in a time."""

    answers: int
    seconds: float

    @property
    def rate(self) -> float:
        """Responses per second."""
        return self.answers / self.seconds


def burst(questions: Sequence[Question], *, seconds: float = 0, answers: int = 0) -> Burst:
    """Send random requests for `seconds`, or until there are `answers` responses. The first wrong response is raised."""
    faults: list[BaseException] = []
    counts = [0] * CONNECTIONS
    began = time.perf_counter()

    def ask(lane: int) -> None:
        pick = random.Random(lane + began).choice
        try:
            while not faults and (counts[lane] * CONNECTIONS < answers or time.perf_counter() - began < seconds):
                pick(questions).ask()
                counts[lane] += 1
        except (OSError, RuntimeError) as fault:
            faults.append(fault)

    lanes = [threading.Thread(target=ask, args=(lane,)) for lane in range(CONNECTIONS)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    if faults:
        raise faults[0]
    return Burst(sum(counts), time.perf_counter() - began)


def milliseconds(question: Question) -> float:
    """The duration of a single request in milliseconds."""
    began = time.perf_counter()
    question.ask()
    return (time.perf_counter() - began) * 1000
