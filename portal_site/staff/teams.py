"""An account's team: invitations, roles, and who leaves. An account always keeps an owner."""

import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.events.emission import OfAccount, emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import Account
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.billing.resources import teams as shapes
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id
from portal_site.mail.messages import deliverable
from portal_site.staff import passwords, second_step, sessions
from portal_site.staff.models import Invitation, Membership, User
from portal_site.staff.roles import RIGHTS, Right, Role

LIFE = 7 * 24 * 60 * 60  # seconds for which an invitation can be accepted
MOST_OPEN = 50  # invitations of an account that wait
LONGEST_NAME = 100
# Stripe has no events for these; they are for the log.
INVITED, JOINED, ROLE_CHANGED, REMOVED = (
    "team.invitation.created", "team.member.created", "team.member.updated", "team.member.deleted",
)  # fmt: skip
WITHDRAWN = "team.invitation.deleted"


@dataclass(frozen=True)
class Member:
    """Somebody of the team, as its page shows it."""

    user_id: str
    name: str
    email: str
    role: Role
    has_second_step: bool


@dataclass(frozen=True)
class Invited:
    """An invitation's id and the token of its link, which cannot be read again."""

    invitation: Invitation
    token: str


def address(typed: str) -> str:
    """An e-mail address as users have it. Raises BillingError if it is none."""
    found = typed.strip().lower()
    if deliverable(found) is None:
        raise BillingError("Enter an email address such as name@example.com.", param="email")
    return found


def members(account_id: str) -> Sequence[Member]:
    """The team, by name."""
    with reading() as reader:
        query = (
            select(User.id, User.name, User.email, Membership.role, second_step.HAS_ONE)
            .join(Membership, Membership.user_id == User.id)
            .where(Membership.account_id == account_id)
            .order_by(User.name, User.id)
        )
        rows = reader.execute(query).all()
    return [Member(row.id, row.name, row.email, Role(row.role), row.has_second_step) for row in rows]


def emails_of(session: Session, account_id: str, right: Right) -> Sequence[str]:
    """The addresses of those in the team who have a right."""
    roles = [role for role in Role if right in RIGHTS[role]]
    query = select(User.email).join(Membership, Membership.user_id == User.id)
    return session.scalars(query.where(Membership.account_id == account_id, Membership.role.in_(roles))).all()


def open_invitations(account_id: str, at: int) -> Sequence[Invitation]:
    """The invitations that can still be accepted, the newest first."""
    with transaction() as session:
        query = select(Invitation).where(Invitation.account_id == account_id, *_is_open(at))
        return session.scalars(query.order_by(Invitation.created.desc(), Invitation.id)).all()


def _is_open(at: int) -> tuple[ColumnElement[bool], ...]:
    return Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None), Invitation.expires_at > at


def invite(account_id: str, email: str, role: Role, by: str | None, at: int) -> Invited:
    """Offer somebody a place in the team; an earlier offer to the same address ends. Raises BillingError."""
    with transaction() as session:
        return add_invitation(session, account_id, email, role, by, at)


def add_invitation(session: Session, account_id: str, email: str, role: Role, by: str | None, at: int) -> Invited:
    """The same in a transaction of the caller's, which may write the e-mail."""
    whom = address(email)
    lock_team(session, account_id)
    taken = select(User.id).join(Membership, Membership.user_id == User.id)
    if session.scalar(taken.where(Membership.account_id == account_id, User.email == whom)):
        raise BillingError("%(email)s is in the team already.", param="email", email=whom)
    waiting = session.scalars(select(Invitation).where(Invitation.account_id == account_id, *_is_open(at))).all()
    if len(waiting) >= MOST_OPEN:
        raise BillingError("There are %(count)s open invitations already.", param="email", count=MOST_OPEN)
    for earlier in waiting:
        if earlier.email == whom:
            earlier.revoked_at = at
    token = secrets.token_urlsafe(32)
    row = Invitation(
        id=new_id("inv"), account_id=account_id, created=at, expires_at=at + LIFE, email=whom, role=role,
        token_hash=hash_token(token), invited_by=by,
    )  # fmt: skip
    session.add(row)
    emit(session, INVITED, OfAccount(account_id), at, document=shapes.invitation(row.id, whom, role))
    return Invited(row, token)


def withdraw(account_id: str, invitation_id: str, at: int) -> Invitation:
    """Take an invitation back. Raises NotFound if it is not open."""
    with transaction() as session:
        query = select(Invitation).where(Invitation.account_id == account_id, Invitation.id == invitation_id)
        row = session.scalars(query.where(*_is_open(at)).with_for_update()).one_or_none()
        if row is None:
            raise NotFound("There is no such invitation.")
        row.revoked_at = at
        document = shapes.invitation(row.id, row.email, Role(row.role))
        emit(session, WITHDRAWN, OfAccount(account_id), at, document=document)
        return row


def find_invitation(token: str, at: int) -> tuple[Invitation, str, bool] | None:
    """An open invitation by its link's token, with the business's name and whether its address is a user's."""
    with transaction() as session:
        return _find(session, token, at)


def _find(session: Session, token: str, at: int, *, lock: bool = False) -> tuple[Invitation, str, bool] | None:
    query = (
        select(Invitation, Account.business_name)
        .join(Account, Account.id == Invitation.account_id)
        .where(Invitation.token_hash == hash_token(token), *_is_open(at))
    )
    found = session.execute(query.with_for_update(of=Invitation) if lock else query).one_or_none()
    if found is None:
        return None
    is_user = session.scalar(select(User.id).where(User.email == found[0].email)) is not None
    return found[0], found[1], is_user


def accept(token: str, name: str, password: str, at: int) -> User:
    """Make the user that was invited. Raises NotFound if the invitation is over, and BillingError for a weak password.

    Somebody who is a user already joins with `join`.
    """
    with transaction() as session:
        found = _find(session, token, at, lock=True)
        if found is None or found[2]:
            raise NotFound("This invitation is no longer valid.")
        invitation, business, _is_user = found
        user = new_user(session, invitation.email, name, password, [business], at)
        with acting_as(ActorType.USER, user.id):
            _join(session, user, invitation, at)
        return user


def join(token: str, user_id: str, at: int) -> str:
    """Let a user who is signed in into the account; its id. Raises NotFound unless the invitation is for this user's address."""
    with transaction() as session:
        found = _find(session, token, at, lock=True)
        user = session.get_one(User, user_id)
        if found is None or found[0].email != user.email:
            raise NotFound("This invitation is no longer valid.")
        _join(session, user, found[0], at)
        return found[0].account_id


def _join(session: Session, user: User, invitation: Invitation, at: int) -> None:
    invitation.accepted_at = at
    add_member(session, invitation.account_id, user, Role(invitation.role), at)


def new_user(session: Session, email: str, name: str, password: str, known: Sequence[str], at: int) -> User:
    """A new user. Raises BillingError for a weak password; `known` are words that it must not consist of."""
    words = " ".join(name.split())
    is_plain = not any(unicodedata.category(letter) in ("Cc", "Cf", "Cn", "Co", "Cs") for letter in words)
    if not words or len(words) > LONGEST_NAME or not is_plain:
        raise BillingError("Enter a name of up to %(count)s characters.", param="name", count=LONGEST_NAME)
    passwords.check(password, [email, words, *known])
    user = User(
        id=new_id("user"), created=at, email=email, name=words, password_hash=passwords.hashed(password),
        password_changed_at=at,
    )  # fmt: skip
    session.add(user)
    session.flush()
    return user


def add_member(session: Session, account_id: str, user: User, role: Role, at: int) -> None:
    """Give a user a role in an account."""
    session.add(Membership(account_id=account_id, user_id=user.id, created=at, role=role))
    session.flush()
    emit(session, JOINED, OfAccount(account_id), at, document=shapes.member(user.id, user.email, role))


def change_role(account_id: str, user_id: str, role: Role, at: int) -> None:
    """Give a member another role. Raises NotFound, and BillingError for the last owner."""
    with transaction() as session:
        membership, user = _member(session, account_id, user_id)
        before = Role(membership.role)
        if before == role:
            return
        _keep_an_owner(session, account_id, user_id)
        _end_invitations(session, account_id, user_id, at)
        membership.role = role
        document = shapes.member(user.id, user.email, role)
        emit(session, ROLE_CHANGED, OfAccount(account_id), at, document=document, previous={"role": before})


def remove(account_id: str, user_id: str, at: int) -> str:
    """Take somebody out of the team; the address. Raises NotFound, and BillingError for the last owner.

    The sessions stay: each request looks at the places that the user still has.
    """
    with transaction() as session:
        membership, user = _member(session, account_id, user_id)
        _keep_an_owner(session, account_id, user_id)
        _end_invitations(session, account_id, user_id, at)
        session.delete(membership)
        document = shapes.member(user.id, user.email, Role(membership.role))
        emit(session, REMOVED, OfAccount(account_id), at, document=document)
        return user.email


def reset_second_step(account_id: str, user_id: str, at: int) -> str:
    """Let a member who has lost phone or passkey set up a new second step; the address. All of the member's sessions end."""
    with transaction() as session:
        _membership, user = _member(session, account_id, user_id)
        others = select(func.count()).select_from(Membership).where(Membership.user_id == user_id)
        if session.scalar(others.execution_options(unscoped="the places of one user")) != 1:
            raise BillingError("This person works for other accounts, too: ask the operator for `portal user reset`.")
        second_step.remove(session, user_id)
        sessions.end_all(session, user_id, at)
        document = shapes.member(user.id, user.email, Role(_membership.role))
        emit(session, ROLE_CHANGED, OfAccount(account_id), at, document=document, previous={"second_step": True})
        return user.email


def only_account(account_id: str | None) -> str:
    """The id of the account that an operator names, or of the only one. Raises BillingError."""
    with transaction() as session:
        return ownership.get_account(session, account_id).id


def lock_team(session: Session, account_id: str) -> None:
    """Let changes of one team happen one after the other."""
    session.execute(select(Account.id).where(Account.id == account_id).with_for_update()).one()


def _end_invitations(session: Session, account_id: str, user_id: str, at: int) -> None:
    """Take back what somebody has offered who may not offer it any more: a way back in, for one."""
    query = select(Invitation).where(
        Invitation.account_id == account_id, Invitation.invited_by == user_id, *_is_open(at)
    )
    for row in session.scalars(query):
        row.revoked_at = at


def _member(session: Session, account_id: str, user_id: str) -> tuple[Membership, User]:
    lock_team(session, account_id)
    query = (
        select(Membership, User)
        .join(User, User.id == Membership.user_id)
        .where(Membership.account_id == account_id, Membership.user_id == user_id)
    )
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound("There is no such member of the team.")
    return found[0], found[1]


def _keep_an_owner(session: Session, account_id: str, user_id: str) -> None:
    owners = session.scalars(
        select(Membership.user_id).where(Membership.account_id == account_id, Membership.role == Role.OWNER)
    ).all()
    if list(owners) == [user_id]:
        raise BillingError("The last owner has to stay one. Make somebody else an owner first.", param="role")
