"""Login pages: a customer types an e-mail address, gets a code there, and is let in with it.

The page stores a request whatever the address is, and the worker makes the codes, so that neither what the page says nor the
time that it takes tells whether there is such a customer.
"""

import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Customer, LoginRequest, PortalConfiguration, PortalSession
from portal_site.billing.models.columns import values
from portal_site.billing.portal_access.portal_sessions import LINK_LIFE, TOKEN_BYTES, hash_token, start_visit
from portal_site.billing.resources.portal import configuration
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

# All in seconds.
LIFE = 10 * 60
TEN_MINUTES, HOUR, DAY = 10 * 60, 60 * 60, 24 * 60 * 60
MOST_TRIES = 5
# The most requests of one network within these times. With the tries of each they bound how often it can guess.
MOST_OF_NETWORK = {HOUR: 30, DAY: 60}
# The most e-mails; further requests get none, and are told nothing. To one address from one network, so that others who ask
# for it do not keep its owner from a code; to one address from everywhere; and of an account.
MOST_OF_BOTH = 3  # within TEN_MINUTES
MOST_TO_ADDRESS = {HOUR: 10, DAY: 30}
MOST_OF_ACCOUNT = 1000  # within TEN_MINUTES
MOST_CUSTOMERS = 20  # with one address, among whom one chooses
DIGITS = 6
LONGEST_EMAIL = 254
_OF_BROWSER = {"unscoped": "the secret in the browser's cookie names the request"}
OVER = N_("This code is no longer valid. Ask for a new one.")
WRONG = N_("This is not the code that we sent last. Check it, or ask for a new one.")


@dataclass(frozen=True)
class LoginPage:
    """Where one may ask for a code: the login page of a configuration, or an expired session that may be replaced.

    `id` is the random part of the page's URL, or the session's id. For a session, `email` is the customer's address, and the
    only one that gets a code.
    """

    id: str
    configuration_id: str
    account_id: str
    livemode: bool
    email: str | None = None
    remembers_devices: bool = False

    @property
    def session_id(self) -> str | None:
        """The session that is to be replaced, if any."""
        return self.id if self.email is not None else None


def find_page(login_page_id: str) -> LoginPage | None:
    """The login page with this random id, unless it was closed or has got another one."""
    columns = (
        PortalConfiguration.id, PortalConfiguration.account_id, PortalConfiguration.livemode,
        PortalConfiguration.remembers_devices,
    )  # fmt: skip
    is_open = PortalConfiguration.active, PortalConfiguration.login_page_enabled
    query = select(*columns).where(PortalConfiguration.login_page_id == login_page_id.replace("\0", ""), *is_open)
    with reading() as reader:
        row = reader.execute(query).first()
    return LoginPage(login_page_id, *row[:3], remembers_devices=row.remembers_devices) if row else None


def find_replaceable(session_id: str, at: int) -> LoginPage | None:
    """An expired session whose link leads to a code, unless the time for that is over or the customer has no address."""
    columns = PortalSession.configuration_id, PortalSession.account_id, PortalSession.livemode, Customer.email
    query = (
        select(*columns, PortalSession.after_expiration)
        .join(Customer, Customer.id == PortalSession.customer_id)
        .join(PortalConfiguration, PortalConfiguration.id == PortalSession.configuration_id)
        .where(PortalSession.id == session_id, PortalConfiguration.active, Customer.deleted_at.is_(None))
    )
    with reading() as reader:
        row = reader.execute(query.execution_options(unscoped="a signed link names the session")).first()
    if row is None or row.email is None or row.after_expiration is None:
        return None
    last = row.after_expiration["customer_login"]["expires_at"]
    return LoginPage(session_id, *row[:4]) if last is None or at < last else None


def set_page(
    configuration_id: str, *, enabled: bool, new_url: bool, at: int, remembers_devices: bool | None = None
) -> str | None:
    """Open or close a configuration's login page; its random id, if it is open. `new_url` gives it another one.

    `remembers_devices` says whether customers may stay logged in; None leaves that as it is. A page that is opened again gets
    another id, too: whoever has the old URL is not let in by mistake. Raises NotFound.
    """
    with transaction() as session:
        by_id = select(PortalConfiguration).where(PortalConfiguration.id == configuration_id)
        row = session.scalar(by_id.execution_options(unscoped="an operator names a configuration"))
        if row is None:
            raise NotFound("No such configuration: '%(id)s'", "resource_missing", "configuration", id=configuration_id)
        shown = configuration(row, with_products=True, login_url=None)
        before = row.login_page_id, row.login_page_enabled, row.remembers_devices
        if not enabled:
            row.login_page_id = None
        elif new_url or row.login_page_id is None or not row.login_page_enabled:
            row.login_page_id = secrets.token_urlsafe(12)
        row.login_page_enabled = enabled
        if remembers_devices is not None:
            row.remembers_devices = remembers_devices
        if (row.login_page_id, row.login_page_enabled, row.remembers_devices) != before:
            row.updated = at
            session.flush()
            now, previous = configuration(row, with_products=True, login_url=None), {"login_page": shown["login_page"]}
            emit(session, "billing_portal.configuration.updated", row, at, document=now, previous=previous)
        return row.login_page_id


# --- asking for a code ------------------------------------------------------------------------------------------------


class TooManyRequests(BillingError):
    """A network has asked for too many codes. `wait` are the seconds until it may ask again."""

    def __init__(self, wait: int) -> None:
        super().__init__(N_("Too many codes have been requested."))
        self.wait = wait


@dataclass(frozen=True)
class StartedLogin:
    """A stored request, and the secret that only the browser has that made it."""

    request_id: str
    secret: str


def request_code(
    page: LoginPage, email: str, network_hash: str, locale: str | None, at: int, *, host: str | None = None
) -> StartedLogin:
    """Store that a browser has asked for a code, on the custom domain `host` or on none. Raises TooManyRequests, whatever the
    address is.
    """
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction() as session:
        for time, most in MOST_OF_NETWORK.items():
            recent = LoginRequest.network_hash == network_hash, LoginRequest.created > at - time
            newest = select(LoginRequest.created).where(*recent).order_by(LoginRequest.created.desc())
            last = newest.offset(most - 1).limit(1)  # the one that has to be over before there can be another
            found = session.scalar(last.execution_options(unscoped="the limit of a network is for all merchants"))
            if found is not None:
                raise TooManyRequests(found + time - at)
        row = LoginRequest(
            id=new_id("login"),
            account_id=page.account_id,
            livemode=page.livemode,
            configuration_id=page.configuration_id,
            session_id=page.session_id,
            created=at,
            expires_at=at + LIFE,
            email=email.strip().lower()[:LONGEST_EMAIL],
            locale=locale,
            browser_hash=hash_token(secret),
            host=host,
            network_hash=network_hash,
        )
        session.add(row)
    return StartedLogin(row.id, secret)


def unanswered(session: Session, limit: int) -> Sequence[LoginRequest]:
    """The requests that the worker has not answered yet, oldest first, locked."""
    query = (
        select(LoginRequest).where(LoginRequest.answered_at.is_(None)).order_by(LoginRequest.created, LoginRequest.id)
    )
    query = query.limit(limit).with_for_update(skip_locked=True)
    return session.scalars(query.execution_options(unscoped="the worker answers for all merchants")).all()


def is_any_unanswered() -> bool:
    """Whether there are any; without a lock."""
    query = select(LoginRequest.id).where(LoginRequest.answered_at.is_(None)).limit(1)
    with reading() as reader:
        return (
            reader.execute(query.execution_options(unscoped="the worker answers for all merchants")).first() is not None
        )


def new_code() -> str:
    """A random code."""
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def may_mail(session: Session, request: LoginRequest, at: int) -> bool:
    """Whether this request gets an e-mail: a customer has the address, and not too many were sent."""
    if request.expires_at <= at or not customers_of(session, request):
        return False
    of_account = LoginRequest.account_id == request.account_id, LoginRequest.code_hash.is_not(None)
    # Whoever has a link is not kept from a code by those who only type the address; all links of an address count together.
    by_link = LoginRequest.session_id.is_(None) if request.session_id is None else LoginRequest.session_id.is_not(None)
    to_address = LoginRequest.email == request.email, by_link
    from_here = LoginRequest.network_hash == request.network_hash

    def count(time: int, *which: ColumnElement[bool]) -> int:
        recent = LoginRequest.created > request.created - time
        return session.scalar(select(func.count()).select_from(LoginRequest).where(*of_account, recent, *which)) or 0

    return (
        count(TEN_MINUTES, *to_address, from_here) < MOST_OF_BOTH
        and all(count(time, *to_address) < most for time, most in MOST_TO_ADDRESS.items())
        and count(TEN_MINUTES) < MOST_OF_ACCOUNT
    )


def customers_of(session: Session, request: LoginRequest) -> Sequence[Customer]:
    """The customers with the address of a request, newest first; of an expired session only its own."""
    query = select(Customer).where(
        Customer.account_id == request.account_id,
        Customer.livemode == request.livemode,
        Customer.deleted_at.is_(None),
        func.lower(Customer.email) == request.email,
    )
    if request.session_id is not None:
        expired = PortalSession.account_id == request.account_id, PortalSession.id == request.session_id
        query = query.where(Customer.id == select(PortalSession.customer_id).where(*expired).scalar_subquery())
    return session.scalars(query.order_by(Customer.created.desc(), Customer.id).limit(MOST_CUSTOMERS)).all()


# --- using it ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A customer with the address, as it is shown to choose from."""

    id: str
    name: str | None
    created: int


@dataclass(frozen=True)
class OpenedLogin:
    """A session that a code has opened: the session's token, and the token for the browser's cookie."""

    token: str
    cookie: str


def check_code(started: StartedLogin, code_hashes: Collection[str], at: int) -> Sequence[Candidate]:
    """The customers whom the code lets in. Each call is one of the tries, counted before the code is looked at.

    `code_hashes` are those of the entered code, under each secret key. Raises BillingError for a wrong code, and for one that is
    used, too old, or of another browser.
    """
    with transaction() as session:
        owned = _of_browser(started)
        is_open = LoginRequest.used_at.is_(None), LoginRequest.expires_at > at, LoginRequest.tries < MOST_TRIES
        counted = update(LoginRequest).where(*owned, *is_open).values(tries=LoginRequest.tries + 1)
        if session.execute(counted.execution_options(**_OF_BROWSER)).rowcount != 1:  # type: ignore[attr-defined]
            refusal: str | None = OVER
        else:
            row = session.scalars(select(LoginRequest).where(*owned).execution_options(**_OF_BROWSER)).one()
            is_right = [hmac.compare_digest(row.code_hash or "", code_hash) for code_hash in code_hashes]
            refusal = None if any(is_right) else WRONG if row.tries < MOST_TRIES else OVER
            found = [Candidate(each.id, each.name, each.created) for each in customers_of(session, row)]
            if refusal is None and not found:  # the customer's address was changed since
                refusal = OVER
    if refusal is not None:  # outside the transaction, so that the try is counted
        raise BillingError(refusal, "login_code_invalid", "code")
    return found


def open_session(started: StartedLogin, customer_id: str, at: int) -> OpenedLogin:
    """Open a session for one of the customers whom `check_code` has found. It works once. Raises BillingError."""
    with transaction() as session:
        owned = _of_browser(started)
        is_open = LoginRequest.used_at.is_(None), LoginRequest.expires_at > at
        used = update(LoginRequest).where(*owned, *is_open).values(used_at=at)
        if session.execute(used.execution_options(**_OF_BROWSER)).rowcount != 1:  # type: ignore[attr-defined]
            raise BillingError(OVER, "login_code_invalid", "code")
        row = session.scalars(select(LoginRequest).where(*owned).execution_options(**_OF_BROWSER)).one()
        if customer_id not in {customer.id for customer in customers_of(session, row)}:
            raise BillingError(OVER, "login_code_invalid", "code")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        opened = PortalSession(
            id=new_id("bps"),
            account_id=row.account_id,
            livemode=row.livemode,
            customer_id=customer_id,
            configuration_id=row.configuration_id,
            created=at,
            token_hash=hash_token(token),
            expires_at=at + LINK_LIFE,
            by_login=True,
            **_kept(session, row),
        )
        session.add(opened)
        session.flush()
        return OpenedLogin(token, start_visit(session, opened, at))


def _of_browser(started: StartedLogin) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return LoginRequest.id == started.request_id, LoginRequest.browser_hash == hash_token(started.secret)


def _kept(session: Session, request: LoginRequest) -> dict[str, Any]:
    """What a replacement has from the expired session."""
    if request.session_id is None:
        return {}
    owned = PortalSession.account_id == request.account_id, PortalSession.id == request.session_id
    expired = session.scalars(select(PortalSession).where(*owned)).one()
    kept = values(expired, "on_behalf_of", "return_url", "locale", "flow", "flow_completed_at", "after_expiration")
    return {**kept, "replaces_id": expired.replaces_id or expired.id}
