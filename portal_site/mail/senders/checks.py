"""The DNS records of a sender's domain: which it needs, and looking whether they are there, between transactions."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app

from portal_site.billing.errors import BillingError
from portal_site.config import Settings
from portal_site.domains import host_names
from portal_site.domains.dns import Dns
from portal_site.mail.senders import keys, records, settings
from portal_site.mail.senders.records import Domains, Finding
from portal_site.mail.senders.settings import LastCheck, Sender, domain_of

SPF, DKIM, DMARC = "SPF", "DKIM", "DMARC"
MOST_KEPT, LONGEST_KEPT = 5, 2000  # records that are kept to be shown, and their characters


@dataclass(frozen=True)
class NeededRecord:
    """A TXT record that a domain needs: what it is called, its name and value, and what the last check has found."""

    kind: str
    name: str
    value: str
    finding: Finding | None
    found: Sequence[str]


def needed(sender: Sender) -> list[NeededRecord]:
    """The records that the domain of the wanted address needs; none for the operator's address."""
    if sender.address is None:
        return []
    check, wanted = sender.check, _settings().mail_spf
    findings, found = (check.findings, check.found) if check else ({}, {})
    values = {SPF: records.spf_to_set(found.get(SPF, ()), wanted), DMARC: records.DMARC_TO_SET}
    if sender.dkim is not None and (public := keys.public_key(sender.dkim)) is not None:
        values[DKIM] = records.dkim_to_set(public)
    finding = {kind: Finding(word) for kind, word in findings.items()}
    if finding.get(SPF, Finding.UNANSWERED) != Finding.UNANSWERED:  # what is wanted may have changed since
        finding[SPF] = records.judge_spf(found.get(SPF, ()), wanted)
    if not wanted and finding.get(SPF) != Finding.SEVERAL:
        del values[SPF]
    names = _names(sender)
    return [
        NeededRecord(kind, names[kind], values[kind], finding.get(kind), found.get(kind, ()))
        for kind in (DKIM, SPF, DMARC)
        if kind in values
    ]


def _names(sender: Sender) -> dict[str, str]:
    domain = domain_of(sender.address or "")
    names = {SPF: domain, DMARC: f"_dmarc.{domain}"}
    if sender.dkim is not None:
        names[DKIM] = f"{sender.dkim.selector}._domainkey.{sender.dkim.domain}"
    return names


def check(account_id: str, dns: Dns, at: int) -> Sender:
    """Look at the records of an account's sender now. One that waits is used from now on if its key is found.

    Raises BillingError without an address of its own, and if it was changed while DNS was asked.
    """
    sender = settings.get(account_id)
    if sender.address is None:
        raise BillingError("There are no records to look at: your emails come from the operator’s address.")
    names = _names(sender)
    of_registered = f"_dmarc.{host_names.registered(domain_of(sender.address))}"
    answers = dns.texts_of(dict.fromkeys((*names.values(), of_registered)))
    findings = {
        kind: _judged(kind, sender, answers.get(name), answers.get(of_registered)) for kind, name in names.items()
    }
    found = {kind: _kept(kind, answers[name] or []) for kind, name in names.items()}
    found[DMARC] = found[DMARC] or _kept(DMARC, answers[of_registered] or [])
    noted = LastCheck(at, *sender.place, {kind: str(one) for kind, one in findings.items()}, found)
    return settings.note_check(account_id, sender.mark, noted, at, is_proven=findings.get(DKIM) == Finding.OK)


def _judged(kind: str, sender: Sender, texts: list[str] | None, of_registered: list[str] | None) -> Finding:
    if texts is None:
        return Finding.UNANSWERED
    if kind == SPF:
        return records.judge_spf(texts, _settings().mail_spf)
    if kind == DMARC:
        bounces = domain_of(_settings().mail_from)
        sides = (domain_of(sender.address or ""), sender.dkim.domain if sender.dkim else "", bounces)
        finding = records.judge_dmarc(texts, of_registered or (), Domains(*map(_pair, sides)))
        return Finding.UNANSWERED if finding == Finding.MISSING and of_registered is None else finding
    public = keys.public_key(sender.dkim) if sender.dkim else None
    return records.judge_dkim(texts, public) if public else Finding.DIFFERENT


def _pair(domain: str) -> tuple[str, str]:
    return domain, host_names.registered(domain) if domain else ""


def _kept(kind: str, texts: list[str]) -> list[str]:
    """What of the records is shown: of the many that a domain may have, those of this kind."""
    own = [text for text in texts if kind != SPF or text.lower().startswith("v=spf1")]
    return [text[:LONGEST_KEPT] for text in own[:MOST_KEPT]]


def _settings() -> Settings:
    found: Settings = current_app.config["SETTINGS"]
    return found
