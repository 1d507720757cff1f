"""Users, their places in accounts, their sessions, and what they sign in with."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, Id, LongText
from portal_site.db import Base


class User(Base):
    """Somebody who signs in to the dashboard, for one account or several. `email` is in lower case.

    `totp_secret` is encrypted. It counts once `totp_confirmed_at` is set; a step of time whose code was used
    (`totp_last_step`), or an earlier one, is not accepted again.
    """

    __tablename__ = "users"

    id: Mapped[Id]
    created: Mapped[int]
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    password_changed_at: Mapped[int]
    totp_secret: Mapped[LongText | None]
    totp_confirmed_at: Mapped[int | None]
    totp_last_step: Mapped[int | None]


class Membership(Base):
    """A user's role in an account, one of `staff.roles.Role`."""

    __tablename__ = "memberships"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    created: Mapped[int]
    role: Mapped[str]

    __table_args__ = (Index("ix_memberships_user_id", "user_id"),)


class Invitation(Base):
    """A place in an account that was offered to an e-mail address. Only the hash of its link's token is stored."""

    __tablename__ = "invitations"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    expires_at: Mapped[int]
    email: Mapped[str]
    role: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    invited_by: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    accepted_at: Mapped[int | None]
    revoked_at: Mapped[int | None]


class UserSession(Base):
    """A browser in which a user is signed in. Only the hash of its cookie's token is stored.

    `authenticated_at` is when the user last proved who it is, which some pages ask for again.
    """

    __tablename__ = "user_sessions"

    id: Mapped[Id]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created: Mapped[int]
    token_hash: Mapped[str] = mapped_column(unique=True)
    authenticated_at: Mapped[int]
    # When the second step was done in this session; null in one that only leads to setting it up.
    second_step_at: Mapped[int | None]
    last_seen_at: Mapped[int] = mapped_column(index=True)
    ended_at: Mapped[int | None]
    browser: Mapped[str]


class RecoveryCode(Base):
    """A code for signing in once without the second step. Only a keyed hash of it is stored."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(primary_key=True)
    used_at: Mapped[int | None]


class Passkey(Base):
    """A key pair of a user's that a phone, a computer or a security key keeps. What it signs is the second step of signing in.

    Ids and keys are bytes, kept as base64url. `sign_count` is what the passkey said last of how often it has signed; many
    always say 0. `transports` are the ways to reach it, as the browser named them, with blanks between them.
    """

    __tablename__ = "passkeys"

    id: Mapped[Id]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created: Mapped[int]
    name: Mapped[str]
    credential_id: Mapped[str] = mapped_column(unique=True)
    public_key: Mapped[LongText]
    sign_count: Mapped[int]
    transports: Mapped[str]
    last_used_at: Mapped[int | None]


class UsedChallenge(Base):
    """The hash of a challenge that a passkey has answered, kept until the challenge is too old to be answered again."""

    __tablename__ = "used_challenges"

    id: Mapped[Id]
    ends_at: Mapped[int] = mapped_column(index=True)


class SignInTries(Base):
    """How many passwords or codes were typed until `ends_at`. `subject` is the hash of what they are counted by.

    The row is deleted when a right one is typed.
    """

    __tablename__ = "sign_in_tries"

    subject: Mapped[Id]
    count: Mapped[int]
    ends_at: Mapped[int] = mapped_column(index=True)
