"""A real name server on loopback, whose zone the tests write."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rdatatype import RdataType

from portal_site.domains.dns import Dns

CHALLENGE = "_portal-challenge"


@dataclass
class NameServer:
    """Answers by UDP. `zone` has the records by name and type; a name without any does not exist.

    `broken` are names that are answered with SERVFAIL, and `silent` those that are not answered at all.
    """

    port: int
    zone: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    @property
    def client(self) -> Dns:
        """Who asks this server, and not for long."""
        return Dns(["127.0.0.1"], self.port, patience=0.4)

    def set(self, name: str, kind: str, *values: str) -> None:
        """Set the records of a name; none: take them away."""
        self.zone.pop((name, kind), None)
        if values:
            self.zone[name, kind] = list(values)

    def prove(self, host: str, *tokens: str) -> None:
        """Set the record that proves a domain."""
        self.set(f"{CHALLENGE}.{host}", "TXT", *(f'"{token}"' for token in tokens))

    def answer(self, wire: bytes) -> bytes | None:
        """The answer to a question."""
        question = dns.message.from_wire(wire)
        name, kind = question.question[0].name.to_text(omit_final_dot=True).lower(), question.question[0].rdtype
        self.asked.append(f"{name} {RdataType.to_text(kind)}")
        if name in self.silent:
            return None
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        for _ in range(4):  # links of a chain
            values = self.zone.get((name, RdataType.to_text(kind)), [])
            if values:
                response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", RdataType.to_text(kind), *values))
                return response.to_wire()
            targets = self.zone.get((name, "CNAME"))
            if not targets:
                break
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{targets[0]}."))
            name = targets[0]
        if not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextmanager
def name_server() -> Iterator[NameServer]:
    """One that runs as long as the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(60)
        server = NameServer(listening.getsockname()[1])

        def serve() -> None:
            while True:
                wire, sender = listening.recvfrom(4096)
                if not wire:  # the end
                    return
                answer = server.answer(wire)
                if answer is not None:
                    listening.sendto(answer, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopping:
                stopping.sendto(b"", ("127.0.0.1", server.port))
            thread.join(5)
