"""An account's custom domain: setting it, the records that it needs, checking them, and removing it.

DNS is asked between transactions, never inside one.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import CustomDomain
from portal_site.billing.resources import accounts as shapes
from portal_site.billing.translation_marks import N_
from portal_site.config import Settings
from portal_site.db.transactions import reading, transaction
from portal_site.domains import host_names
from portal_site.domains.dns import Dns, Unanswered
from portal_site.web import hosts

CHALLENGE = "_portal-challenge"
# In seconds.
DAY = 24 * 60 * 60
AGAIN = 60 * 60  # until a domain is looked for again of which nobody could say anything
MOST_FAILURES = 3  # days on which the record was missing


class Finding(StrEnum):
    """What was found of the record that proves the domain."""

    FOUND = "found"
    MISSING = "missing"
    DIFFERENT = "different"
    UNANSWERED = "unanswered"


class Route(StrEnum):
    """Where the host leads. This is advice: a proxy or a service in between can lead here, too."""

    HERE = "here"
    ELSEWHERE = "elsewhere"
    NOWHERE = "nowhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class DnsRecord:
    """A record that the merchant sets: its type, its whole name and its value."""

    type: str
    name: str
    value: str


def find_domain(account_id: str) -> CustomDomain | None:
    """The domain of an account, whether it works or not. The row belongs to no transaction."""
    with reading() as reader:
        row = reader.execute(select(CustomDomain).where(CustomDomain.account_id == account_id)).first()
    return CustomDomain(**row._mapping) if row is not None else None


def set_domain(account_id: str, host: str, at: int) -> CustomDomain:
    """Give an account a domain, in place of the one that it has. It works once it was checked; the old one ends at once.

    The same host again changes nothing. Raises BillingError for what cannot be a domain, and for one that another account has.
    """
    name = host_names.checked(host, _settings().hosts[0])
    with transaction() as session:
        account = ownership.get_account(session, account_id)
        session.refresh(account, with_for_update=True)
        _refuse_taken(session, name, account.id)
        row = session.get(CustomDomain, account.id)
        if row is None or row.host != name:
            new = CustomDomain(
                account_id=account.id, host=name, token=secrets.token_urlsafe(24), created=at,
                verified_at=None, checked_at=None, check_due_at=None, finding=None, route=None, failures=0,
                disabled_at=None,
            )  # fmt: skip
            row = session.merge(new)
            tell(session, "custom_domain.created", row, at)
    hosts.lookups().forget()
    return row


def remove_domain(account_id: str, at: int) -> None:
    """Take an account's domain away. Its links lead to the portal's own host from now on. Raises NotFound."""
    with transaction() as session:
        row = session.scalar(select(CustomDomain).where(CustomDomain.account_id == account_id))
        if row is None:
            raise _nothing()
        session.delete(row)
        tell(session, "custom_domain.deleted", row, at)
    hosts.lookups().forget()


def check_domain(account_id: str, dns: Dns, at: int) -> CustomDomain:
    """Look for the record that proves the domain, and where its host leads. It works, again, if the record is there.

    A check that somebody asks for never switches a domain off. Raises BillingError for one that another account has proven,
    and NotFound if there is none.
    """
    domain = find_domain(account_id)
    if domain is None:
        raise _nothing()
    finding, route = look(dns, domain), _route(dns, domain.host, _settings().hosts[0])
    with transaction() as session:
        row = get_same(session, domain)
        row.route = route
        note(session, row, finding, at)
    hosts.lookups().forget()
    return row


def records(domain: CustomDomain) -> Sequence[DnsRecord]:
    """The DNS records that the domain needs: the proof, and the one that leads customers here."""
    base = _settings().hosts[0]
    proof = DnsRecord("TXT", f"{CHALLENGE}.{domain.host}", domain.token)
    try:
        kind = "A" if ip_address(base).version == 4 else "AAAA"
    except ValueError:
        # What was registered can have no CNAME record; most providers have one of their own that does the same.
        kind = "ALIAS" if host_names.is_apex(domain.host) else "CNAME"
    return proof, DnsRecord(kind, domain.host, base)


def look(dns: Dns, domain: CustomDomain) -> Finding:
    """What is found of the record that proves a domain."""
    try:
        texts = dns.texts(f"{CHALLENGE}.{domain.host}")
    except Unanswered:
        return Finding.UNANSWERED
    if domain.token in (text.strip() for text in texts):
        return Finding.FOUND
    return Finding.DIFFERENT if texts else Finding.MISSING


def note(session: Session, row: CustomDomain, finding: Finding, at: int) -> None:
    """Store what was found, and switch the domain on if it is proven. Raises BillingError if another account was quicker."""
    row.finding = finding
    if finding != Finding.UNANSWERED:
        row.checked_at = at
    if finding != Finding.FOUND:
        return
    is_new = not row.works
    if is_new:
        _refuse_taken(session, row.host, row.account_id)
        row.verified_at = at
    row.disabled_at, row.failures, row.check_due_at = None, 0, at + DAY
    try:
        session.flush()
    except IntegrityError:
        raise _taken() from None
    if is_new:
        tell(session, "custom_domain.verified", row, at)


def tell(session: Session, what: str, row: CustomDomain, at: int) -> None:
    """Emit an event about a domain."""
    emit(session, what, OfAccount(row.account_id), at, document=shapes.custom_domain(row))


def _route(dns: Dns, host: str, base: str) -> Route:
    try:
        leads = dns.leads_to(host, base)
    except Unanswered:
        return Route.UNKNOWN
    if leads is None:
        return Route.NOWHERE
    return Route.HERE if leads else Route.ELSEWHERE


def get_same(session: Session, domain: CustomDomain) -> CustomDomain:
    """The row, locked. Raises NotFound if the account has another domain by now, or none."""
    same = CustomDomain.account_id == domain.account_id, CustomDomain.token == domain.token
    query = select(CustomDomain).where(*same).with_for_update().execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise _nothing()
    return row


def _refuse_taken(session: Session, host: str, account_id: str) -> None:
    works = CustomDomain.verified_at.is_not(None), CustomDomain.disabled_at.is_(None)
    others = select(CustomDomain.account_id).where(
        CustomDomain.host == host, CustomDomain.account_id != account_id, *works
    )
    if session.scalar(others.execution_options(unscoped="a host can be only one account's")) is not None:
        raise _taken()


def _nothing() -> NotFound:
    return NotFound(N_("This account has no custom domain."), "resource_missing")


def _taken() -> BillingError:
    return BillingError(N_("Another account already uses this host."), param="host")


def _settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings
