"""Opening a portal for a customer, following its link, staying in it, and leaving it."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, PortalConfiguration, PortalSession, PortalVisit
from portal_site.billing.rules.portal import locales
from portal_site.billing.rules.portal.safe_urls import Returns
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id

LINK_LIFE = 5 * 60
IDLE_LIFE = 60 * 60
WHOLE_LIFE = 12 * 60 * 60
SEEN_STEP = 60  # the last activity is noted at most once a minute: a write on every click would cost more than it tells
TOKEN_BYTES = 32


@dataclass(frozen=True)
class OpenedSession:
    """A new session's id and its raw token, which is nowhere else: only its hash is stored."""

    id: str
    token: str


def hash_token(token: str) -> str:
    """What is stored of a token. One round of SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(
    customer: str,
    at: int,
    *,
    account_id: str | None = None,
    configuration_id: str | None = None,
    on_behalf_of: str | None = None,
    return_url: str | None = None,
    locale: str | None = None,
    link_life: int = LINK_LIFE,
) -> OpenedSession:
    """Make a link for a customer (id or e-mail address). Raises BillingError with `param` for what does not fit."""
    if locale is not None:
        locales.check(locale, "locale")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction() as session:
        found = ownership.get_customer(session, account_id, customer)
        account_id = found.account_id
        configuration = _configuration(session, account_id, found.livemode, configuration_id)
        _check_on_behalf_of(session, account_id, on_behalf_of)
        _check_return_url(session, configuration, return_url)
        row = PortalSession(
            id=new_id("bps"),
            account_id=account_id,
            customer_id=found.id,
            configuration_id=configuration.id,
            on_behalf_of=on_behalf_of,
            livemode=found.livemode,
            created=at,
            token_hash=hash_token(token),
            expires_at=at + link_life,
            return_url=return_url,
            locale=None if locale == locales.AUTO else locale,
        )
        session.add(row)
    return OpenedSession(row.id, token)


def _configuration(session: Session, account_id: str, livemode: bool, wanted: str | None) -> PortalConfiguration:
    """The configuration asked for, else the account's default of this mode."""
    query = select(PortalConfiguration).where(
        PortalConfiguration.account_id == account_id,
        PortalConfiguration.livemode == livemode,
        PortalConfiguration.active,
        PortalConfiguration.id == wanted if wanted else PortalConfiguration.is_default,
    )
    found = session.scalar(query)
    if found is None and wanted:
        raise NotFound("No such configuration: '%(id)s'", "resource_missing", "configuration", id=wanted)
    if found is None:
        raise BillingError("No configuration provided and this account has no default configuration.")
    return found


def _check_on_behalf_of(session: Session, account_id: str, wanted: str | None) -> None:
    if wanted is None:
        return
    query = select(Account.id).where(Account.id == wanted, Account.platform_id == account_id)
    if session.scalar(query) is None:
        raise NotFound("No such connected account: '%(id)s'", "resource_missing", "on_behalf_of", id=wanted)


def _check_return_url(session: Session, configuration: PortalConfiguration, wanted: str | None) -> None:
    if wanted is None:
        return
    registered = session.get_one(Account, configuration.account_id).return_hosts
    Returns.of(configuration.livemode, registered, configuration.default_return_url).check(wanted, "return_url")


def follow_link(token: str, at: int) -> str:
    """Let a browser in and return the token for its cookie. Raises NotFound for a link that is unknown or over."""
    cookie = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction() as session:
        query = select(PortalSession).where(PortalSession.token_hash == hash_token(token))
        found = session.scalar(query)
        if found is None or found.ended_at is not None or at >= found.expires_at:
            raise NotFound(N_("This link is no longer valid."))
        visit = PortalVisit(
            id=new_id("visit"),
            account_id=found.account_id,
            session_id=found.id,
            token_hash=hash_token(cookie),
            opened_at=at,
            last_seen_at=at,
        )
        session.add(visit)
    return cookie


def note_activity(account_id: str, visit_id: str, at: int) -> None:
    """Keep a visit alive."""
    with transaction() as session:
        mine = PortalVisit.account_id == account_id, PortalVisit.id == visit_id
        session.execute(update(PortalVisit).where(*mine).values(last_seen_at=at))


def end_session(account_id: str, session_id: str, at: int) -> None:
    """Log out: the link and every browser that followed it are let in no more."""
    with transaction() as session:
        ended = {"ended_at": at}
        mine = PortalSession.account_id == account_id, PortalSession.id == session_id
        session.execute(update(PortalSession).where(*mine).values(ended))
        still_open = PortalVisit.session_id == session_id, PortalVisit.ended_at.is_(None)
        session.execute(update(PortalVisit).where(*still_open).values(ended))
