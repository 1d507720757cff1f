"""The sessions of users who are signed in: opening, finding, listing and ending them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session

from portal_site.billing.models import Account
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id
from portal_site.staff import second_step
from portal_site.staff.models import Membership, SignInTries, UsedChallenge, User, UserSession
from portal_site.staff.roles import RIGHTS, Right, Role

# All in seconds.
IDLE_LIFE = 12 * 60 * 60
WHOLE_LIFE = 7 * 24 * 60 * 60
FRESH = 15 * 60  # for this long after a proof pages that ask for one let a user pass
SEEN_STEP = 5 * 60  # how exactly it is known when a session was used
KEPT = 30 * 24 * 60 * 60
LONGEST_BROWSER = 200


@dataclass(frozen=True)
class Place:
    """An account that a user works for, and the role there. A connected account has a `platform_id`."""

    account_id: str
    business_name: str
    timezone: str
    role: Role
    platform_id: str | None = None

    def may(self, right: Right) -> bool:
        """Whether the role has this right."""
        return right in RIGHTS[self.role]


@dataclass(frozen=True)
class SignedIn:
    """The user of a request, with all places."""

    user_id: str
    name: str
    email: str
    session_id: str
    authenticated_at: int
    has_second_step: bool
    places: tuple[Place, ...]

    def place(self, account_id: str) -> Place | None:
        """The place in this account, if the user has one."""
        return next((place for place in self.places if place.account_id == account_id), None)

    def is_fresh(self, at: int) -> bool:
        """Whether the user has proved just now who it is."""
        return at - self.authenticated_at <= FRESH


def open_session(user_id: str, browser: str, at: int, *, second_step: bool) -> str:
    """Sign a user in; the token for the cookie. Without a `second_step` the session only leads to setting it up."""
    with transaction() as session:
        return add_session(session, user_id, browser, at, second_step=second_step)


def add_session(session: Session, user_id: str, browser: str, at: int, *, second_step: bool) -> str:
    """The same in a transaction of the caller's."""
    token = secrets.token_urlsafe(32)
    session.add(
        UserSession(
            id=new_id("uses"), user_id=user_id, created=at, token_hash=hash_token(token), authenticated_at=at,
            second_step_at=at if second_step else None, last_seen_at=at, browser=browser[:LONGEST_BROWSER],
        )
    )  # fmt: skip
    return token


def find(token: str | None, at: int) -> SignedIn | None:
    """The user with this token, or None if the session is over. It is read on each request, so that a change counts at once."""
    if not token:
        return None
    with reading() as reader:
        query = (
            select(
                User.id, User.name, User.email, second_step.HAS_ONE, UserSession.id.label("session_id"),
                UserSession.authenticated_at, UserSession.second_step_at, UserSession.last_seen_at,
                Membership.account_id, Membership.role, Account.business_name, Account.timezone, Account.platform_id,
            )
            .select_from(UserSession)
            .join(User, User.id == UserSession.user_id)
            .outerjoin(Membership, Membership.user_id == User.id)
            .outerjoin(Account, Account.id == Membership.account_id)
            .where(UserSession.token_hash == hash_token(token), *_running(at))
            .order_by(Account.business_name, Account.id)
        )  # fmt: skip
        rows = reader.execute(query.execution_options(unscoped="the accounts of the user that the cookie names")).all()
    if not rows or (rows[0].second_step_at is None and rows[0].has_second_step):
        return None  # the password alone had let it in, and the user has a second step since then
    first = rows[0]
    if at - first.last_seen_at >= SEEN_STEP:
        _note_use(first.session_id, at)
    places = tuple(
        Place(row.account_id, row.business_name, row.timezone, Role(row.role), row.platform_id)
        for row in rows
        if row.account_id
    )
    confirmed = first.second_step_at is not None and first.has_second_step
    return SignedIn(first.id, first.name, first.email, first.session_id, first.authenticated_at, confirmed, places)


def _running(at: int) -> tuple[ColumnElement[bool], ...]:
    return (
        UserSession.ended_at.is_(None),
        UserSession.last_seen_at > at - IDLE_LIFE,
        UserSession.created > at - WHOLE_LIFE,
    )


def _note_use(session_id: str, at: int) -> None:
    with transaction() as session:
        session.execute(update(UserSession).where(UserSession.id == session_id).values(last_seen_at=at))


def note_proof(session_id: str, at: int) -> None:
    """The user has proved again who it is."""
    with transaction() as session:
        session.execute(update(UserSession).where(UserSession.id == session_id).values(authenticated_at=at))


def of_user(user_id: str, at: int) -> Sequence[UserSession]:
    """The running sessions of a user, the one used last first."""
    with transaction() as session:
        query = select(UserSession).where(UserSession.user_id == user_id, *_running(at))
        return session.scalars(query.order_by(UserSession.last_seen_at.desc(), UserSession.id)).all()


def end(user_id: str, at: int, session_id: str | None = None, *, but: str | None = None) -> None:
    """End one session of a user, or all of them `but` one."""
    with transaction() as session:
        end_all(session, user_id, at, session_id, but=but)


def end_all(session: Session, user_id: str, at: int, session_id: str | None = None, *, but: str | None = None) -> None:
    """The same in a transaction of the caller's."""
    mine = and_(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    if session_id is not None:
        mine = and_(mine, UserSession.id == session_id)
    if but is not None:
        mine = and_(mine, UserSession.id != but)
    session.execute(update(UserSession).where(mine).values(ended_at=at))


def remove_old_rows(at: int) -> None:
    """Forget sessions that have been over for a month, tries that count no more, and challenges that are too old."""
    with transaction() as session:
        session.execute(delete(SignInTries).where(SignInTries.ends_at <= at))
        session.execute(delete(UsedChallenge).where(UsedChallenge.ends_at < at))
        before = at - KEPT
        is_over = or_(UserSession.ended_at < before, UserSession.last_seen_at < before)
        session.execute(delete(UserSession).where(is_over))
