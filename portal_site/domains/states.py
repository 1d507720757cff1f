"""What can be said of a custom domain: whether it works, what was found of its proof, and where its host leads."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portal_site.billing.models import CustomDomain
from portal_site.domains.custom_domains import Finding, Route

_PROOF = {
    Finding.FOUND: "The TXT record is there.",
    Finding.MISSING: "There is no such TXT record yet.",
    Finding.DIFFERENT: "There is a TXT record of this name, with another value.",
    Finding.UNANSWERED: "No name server says anything about the TXT record. Check again later.",
}
_ROUTES = {
    Route.HERE: "The host leads here.",
    Route.ELSEWHERE: "The host leads elsewhere, which is right only if a proxy of yours is there.",
    Route.NOWHERE: "The host leads nowhere yet.",
    Route.UNKNOWN: "No name server says where the host leads.",
}


@dataclass(frozen=True)
class State:
    """A domain's state in a word, with the tone of its badge, and in sentences."""

    label: str
    tone: str
    sentences: tuple[str, ...]


def describe(row: CustomDomain) -> State:
    """The state of a domain, as far as it was checked."""
    found = _PROOF.get(Finding(row.finding)) if row.finding else None
    leads = _ROUTES.get(Route(row.route)) if row.route else None
    label, tone, sentence = _work(row)
    return State(label, tone, tuple(words for words in (sentence, found, leads) if words))


def _work(row: CustomDomain) -> tuple[str, str, str]:
    if row.disabled_at is not None:
        since = _day(row.disabled_at)
        return "Switched off", "bad", f"Switched off on {since}, when its TXT record had been wrong for days."
    if row.verified_at is not None:
        return "Works", "good", f"Works since {_day(row.verified_at)}."
    return "Not verified yet", "note", ""


def _day(moment: int) -> Any:
    return datetime.fromtimestamp(moment, UTC).date()
