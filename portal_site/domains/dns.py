"""Questions about DNS. That a record does not exist is an answer; that nobody answers is none, and says nothing of the record."""

import time
from collections.abc import Iterable, Sequence

import dns.exception
import dns.resolver
from dns.rdatatype import RdataType
from dns.resolver import Answer

PATIENCE = 5  # seconds for one question, with all tries
LONGEST_CHECK = 10  # for all of one check


class Unanswered(Exception):
    """Nobody has answered, or only that something is wrong: the records may exist or not."""


class Dns:
    """Asks the name servers of this machine, or those that are given."""

    def __init__(self, nameservers: Sequence[str] | None = None, port: int = 53, patience: float = PATIENCE) -> None:
        self._nameservers, self._port, self._patience = nameservers, port, patience

    def texts(self, name: str) -> list[str]:
        """The TXT records of a name. Raises Unanswered."""
        return self._texts(name, time.monotonic() + LONGEST_CHECK)

    def texts_of(self, names: Iterable[str]) -> dict[str, list[str] | None]:
        """The TXT records of several names, in the time of one check; None for those that nobody has answered for."""
        until, found = time.monotonic() + LONGEST_CHECK, dict[str, list[str] | None]()
        for name in names:
            try:
                found[name] = self._texts(name, until)
            except Unanswered:
                found[name] = None
        return found

    def _texts(self, name: str, until: float) -> list[str]:
        answer = self._ask(name, RdataType.TXT, until)
        rows = answer.rrset or () if answer is not None else ()
        return [b"".join(row.strings).decode(errors="replace") for row in rows]

    def leads_to(self, host: str, there: str) -> bool | None:
        """Whether a host leads to another one, by its CNAME or by the same address; None if it leads nowhere.

        Raises Unanswered.
        """
        until = time.monotonic() + LONGEST_CHECK
        names, addresses = self._targets(host, until)
        if there in names:
            return True
        if not addresses:
            return None
        return bool(addresses & self._targets(there, until)[1])

    def _targets(self, host: str, until: float) -> tuple[set[str], set[str]]:
        """The names in a host's chain of CNAME records, and the addresses at its end."""
        names, addresses = set(), set()
        for kind in (RdataType.A, RdataType.AAAA):
            answer = self._ask(host, kind, until)
            if answer is None:
                continue
            for cname in answer.chaining_result.cnames:
                names |= {row.target.to_text(omit_final_dot=True).lower() for row in cname}
            addresses |= {row.address for row in answer.rrset or ()}
        return names, addresses

    def _ask(self, name: str, kind: RdataType, until: float) -> Answer | None:
        """The answer, without records if the name has none of this kind; None if there is no such name."""
        patience = min(self._patience, until - time.monotonic())
        if patience <= 0:
            raise Unanswered("this took too long")
        try:
            resolver = dns.resolver.Resolver(configure=self._nameservers is None)
            if self._nameservers is not None:
                resolver.nameservers, resolver.port = list(self._nameservers), self._port
            return resolver.resolve(f"{name}.", kind, search=False, lifetime=patience, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return None
        except (dns.exception.DNSException, OSError) as error:  # a time-out, SERVFAIL, no network, no resolver at all
            raise Unanswered(type(error).__name__) from error
