"""Portal sessions: creating a link for a customer, following it, recording activity, and logging out."""

import hashlib
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, select, update
from sqlalchemy.orm import Session, aliased

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account, Customer, PortalConfiguration, PortalSession, PortalVisit
from portal_site.billing.portal_access import flows
from portal_site.billing.rules.portal import flows as flow_rules
from portal_site.billing.rules.portal import locales
from portal_site.billing.rules.portal.flows import Flow
from portal_site.billing.rules.portal.safe_urls import Returns
from portal_site.billing.translation_marks import N_
from portal_site.db.json_columns import JsonObject
from portal_site.db.transactions import passing_write, transaction
from portal_site.ids import new_id

# All in seconds.
LINK_LIFE = 5 * 60
IDLE_LIFE = 60 * 60
WHOLE_LIFE = 12 * 60 * 60
SEEN_STEP = 60  # activity is recorded at most once a minute, to avoid a write on every request
TOKEN_BYTES = 32


@dataclass(frozen=True)
class OpenedSession:
    """A new session and its raw token. Only the token's hash is stored, so it cannot be read again."""

    row: PortalSession
    token: str
    customer_email: str | None

    @property
    def id(self) -> str:
        """The session's id."""
        return self.row.id


def hash_token(token: str) -> str:
    """The hash of a token, for storage. One round of SHA-256 is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(
    customer: str,
    at: int,
    *,
    account_id: str | None = None,
    livemode: bool | None = None,
    configuration_id: str | None = None,
    on_behalf_of: str | None = None,
    return_url: str | None = None,
    locale: str | None = None,
    flow: Flow | None = None,
    after_expiration: JsonObject | None = None,
    link_life: int = LINK_LIFE,
) -> OpenedSession:
    """Create a session for a customer (id or e-mail address), whose link works for `link_life` seconds.

    With `flow` it is for one thing only. `after_expiration` is the hash of the API, with all its members. With `livemode` only
    a customer of that mode is found, of any mode otherwise.
    Raises BillingError, with `param` set, for an invalid argument, and NotFound for an object that does not exist.
    """
    if locale is not None:
        locales.check(locale, "locale")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction() as session:
        row, configuration, account = _load(session, account_id, customer, livemode, configuration_id, on_behalf_of)
        _check_return_url(account, configuration, return_url)
        if flow is not None:
            flows.check(session, row, configuration, on_behalf_of, flow, at)
        portal_session = PortalSession(
            id=new_id("bps"),
            account_id=account.id,
            customer_id=row.id,
            configuration_id=configuration.id,
            on_behalf_of=on_behalf_of,
            livemode=row.livemode,
            created=at,
            token_hash=hash_token(token),
            expires_at=at + link_life,
            return_url=return_url,
            locale=None if locale == locales.AUTO else locale,
            flow=flow_rules.document(flow) if flow is not None else None,
            after_expiration=after_expiration,
        )
        session.add(portal_session)
    return OpenedSession(portal_session, token, row.email)


def _load(
    session: Session,
    account_id: str | None,
    customer: str,
    livemode: bool | None,
    configuration_id: str | None,
    on_behalf_of: str | None,
) -> tuple[Customer, PortalConfiguration, Account]:
    """The customer, its configuration and its account, in one select.

    The configuration is the requested one if active, else the account's default configuration of the customer's mode.
    """
    query = _query("@" in customer, account_id is not None, livemode is not None, bool(configuration_id))
    given = {
        "customer": customer, "account_id": account_id, "livemode": livemode,
        "configuration_id": configuration_id, "connected_id": on_behalf_of,
    }  # fmt: skip
    found = session.execute(query, given).all()
    row, configuration, account, connected_id = ownership.only_customer(found, customer)
    if configuration is None:
        raise _without_configuration(row.livemode, configuration_id)
    if on_behalf_of is not None and connected_id is None:
        raise NotFound("No such connected account: '%(id)s'", "resource_missing", "on_behalf_of", id=on_behalf_of)
    return row, configuration, account


@cache
def _query(by_email: bool, of_account: bool, of_mode: bool, of_configuration: bool) -> Select[Any]:
    """The select of `_load`. It is made once, because that takes longer than the select."""
    connected = aliased(Account)
    usable = (
        PortalConfiguration.account_id == Customer.account_id,
        PortalConfiguration.livemode == Customer.livemode,
        PortalConfiguration.active,
        PortalConfiguration.id == bindparam("configuration_id") if of_configuration else PortalConfiguration.is_default,
    )
    is_connected = connected.id == bindparam("connected_id"), connected.platform_id == Customer.account_id
    query = (
        ownership.select_customer(by_email=by_email, of_account=of_account)
        .add_columns(PortalConfiguration, Account, connected.id)
        .join(Account, Account.id == Customer.account_id)
        .outerjoin(PortalConfiguration, and_(*usable))
        .outerjoin(connected, and_(*is_connected))
    )
    return query.where(Customer.livemode == bindparam("livemode")) if of_mode else query


def find_configuration(
    session: Session, account_id: str, livemode: bool, configuration_id: str | None
) -> PortalConfiguration:
    """The requested configuration if active, else the account's default one of this mode. Raises BillingError."""
    query = select(PortalConfiguration).where(
        PortalConfiguration.account_id == account_id,
        PortalConfiguration.livemode == livemode,
        PortalConfiguration.active,
        PortalConfiguration.id == configuration_id if configuration_id else PortalConfiguration.is_default,
    )
    configuration = session.scalar(query)
    if configuration is None:
        raise _without_configuration(livemode, configuration_id)
    return configuration


def _without_configuration(livemode: bool, configuration_id: str | None) -> BillingError:
    if configuration_id:
        return NotFound("No such configuration: '%(id)s'", "resource_missing", "configuration", id=configuration_id)
    return BillingError(
        "No configuration provided and your %(mode)s mode default configuration has not been created. "
        "Provide a configuration, or make one the default.",
        mode="live" if livemode else "test",
    )


def _check_return_url(account: Account, configuration: PortalConfiguration, url: str | None) -> None:
    if url is not None:
        returns = Returns.of(configuration.livemode, account.return_hosts, configuration.default_return_url)
        returns.check(url, "return_url")


def follow_link(token: str, at: int, *, only_of: str | None = None) -> str:
    """Start a visit for a browser that followed a session's link, and return the token for its cookie.

    Raises NotFound for a link that is unknown, expired or ended, or of another account than the only one whose links count.
    """
    with transaction() as session:
        query = select(PortalSession).where(PortalSession.token_hash == hash_token(token))
        portal_session = session.scalar(query)
        if portal_session is None or portal_session.ended_at is not None or at >= portal_session.expires_at:
            raise NotFound(N_("This link is no longer valid."))
        if only_of not in (None, portal_session.account_id):
            raise NotFound(N_("This link is no longer valid."))
        return start_visit(session, portal_session, at)


def start_visit(session: Session, portal_session: PortalSession, at: int) -> str:
    """Add the visit of a browser to a session, and return the token for its cookie."""
    cookie = secrets.token_urlsafe(TOKEN_BYTES)
    visit = PortalVisit(
        id=new_id("visit"),
        account_id=portal_session.account_id,
        session_id=portal_session.id,
        token_hash=hash_token(cookie),
        opened_at=at,
        last_seen_at=at,
    )
    session.add(visit)
    return cookie


def note_activity(account_id: str, visit_id: str, at: int, *, wait: bool = True) -> None:
    """Record a visit's last activity, which keeps it from timing out. Without `wait`, raises OperationalError if it had to."""
    owned = PortalVisit.account_id == account_id, PortalVisit.id == visit_id
    seen = update(PortalVisit).where(*owned).values(last_seen_at=at)
    if wait:
        with transaction() as session:
            session.execute(seen)
    else:
        with passing_write() as connection:
            connection.execute(seen)


def end_session(account_id: str, session_id: str, at: int) -> None:
    """Log out: end the session's link and the visits of all browsers that followed it."""
    with transaction() as session:
        ended = {"ended_at": at}
        owned = PortalSession.account_id == account_id, PortalSession.id == session_id
        session.execute(update(PortalSession).where(*owned).values(ended))
        still_open = PortalVisit.session_id == session_id, PortalVisit.ended_at.is_(None)
        session.execute(update(PortalVisit).where(*still_open).values(ended))
