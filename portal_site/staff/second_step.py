"""The second step of signing in: whether there is one, codes from an app that counts time (TOTP, RFC 6238), recovery codes.

Passkeys, which are the other kind, are in `passkeys`.
"""

import secrets
from dataclasses import dataclass

import pyotp
from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from portal_site import encryption
from portal_site.billing.errors import BillingError
from portal_site.db.transactions import reading, transaction
from portal_site.staff.models import Passkey, RecoveryCode, User
from portal_site.staff.user_events import note

PURPOSE = "totp"
RECOVERY = "recovery-code"
STEP = 30  # seconds for which a code is shown
TOLERANCE = 1  # steps that a phone's clock may differ by
ISSUER = "Portal Site"
CODES = 10  # recovery codes of a user
# Of a user that is selected: whether there is an app, or a passkey.
HAS_ONE = or_(User.totp_confirmed_at.is_not(None), exists().where(Passkey.user_id == User.id)).label("has_second_step")
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # without those that look alike


@dataclass(frozen=True)
class SetUp:
    """What a user has set up for the second step."""

    has_app: bool
    has_passkey: bool

    @property
    def is_done(self) -> bool:
        """Whether there is a second step at all."""
        return self.has_app or self.has_passkey


def of_user(user_id: str) -> SetUp:
    """What this user has set up."""
    has_passkey = exists().where(Passkey.user_id == user_id)
    with reading() as reader:
        return SetUp(
            *reader.execute(select(User.totp_confirmed_at.is_not(None), has_passkey).where(User.id == user_id)).one()
        )


def new_secret() -> str:
    """A secret for the app, encrypted for the browser to keep until its first code has been typed."""
    return encryption.encrypt(PURPOSE, pyotp.random_base32())


def read_secret(encrypted: str) -> str | None:
    """The secret again; None if it is not one of ours."""
    return encryption.decrypt(PURPOSE, encrypted)


def address_of(secret: str, email: str) -> str:
    """The otpauth:// address that the app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def confirm(user_id: str, encrypted: str, code: str, at: int, *, first: bool = True) -> list[str] | None:
    """Store a user's secret with its first code; None if the code is wrong, or there is an app already.

    With a user's `first` second step come the recovery codes; else the list is empty.
    """
    with transaction() as session:
        user = session.get_one(User, user_id, with_for_update=True)
        step = _step_of(encrypted, code, at)
        is_late = first and session.scalar(select(exists().where(Passkey.user_id == user_id)))
        if user.totp_confirmed_at is not None or is_late or step is None:
            return None
        user.totp_secret, user.totp_confirmed_at, user.totp_last_step = encrypted, at, step
        note(session, user_id, "second_step_set_up", at)
        return new_codes(session, user_id) if first else []


def remove_app(user_id: str, at: int) -> None:
    """Forget the app. Raises BillingError if it is the user's only second step."""
    with transaction() as session:
        user = session.get_one(User, user_id, with_for_update=True)
        if user.totp_confirmed_at is None:
            return
        if not session.scalar(select(exists().where(Passkey.user_id == user_id))):
            raise BillingError("The app is your only second step. Add a passkey first.")
        _forget_app(user)
        note(session, user_id, "app_removed", at)


def _forget_app(user: User) -> None:
    user.totp_secret = user.totp_confirmed_at = user.totp_last_step = None


def remove(session: Session, user_id: str) -> None:
    """Take app, passkeys and recovery codes away, so that the second step has to be set up anew at the next sign-in."""
    _forget_app(session.get_one(User, user_id, with_for_update=True))
    for kind in (Passkey, RecoveryCode):
        session.execute(delete(kind).where(kind.user_id == user_id))


def is_right(session: Session, user: User, code: str, at: int) -> bool:
    """Whether this is the app's code, or a recovery code; either is used up by it."""
    plain = "".join(code.lower().split()).replace("-", "")
    return _accept(session, user, plain, at) if plain.isdecimal() else _use_recovery(session, user.id, plain, at)


def _accept(session: Session, user: User, code: str, at: int) -> bool:
    step = _step_of(user.totp_secret or "", code, at)
    return step is not None and _use_step(session, user.id, step)


def _step_of(encrypted: str, code: str, at: int) -> int | None:
    """The step of time that this is the code of; None if it is wrong, or of another time."""
    secret, digits = read_secret(encrypted), "".join(code.split())
    if secret is None:
        return None
    app, now = pyotp.TOTP(secret), at // STEP
    near = range(now - TOLERANCE, now + TOLERANCE + 1)
    # All are compared, so that the time that it takes does not tell which.
    found = [step for step in near if secrets.compare_digest(app.generate_otp(step).encode(), digits.encode())]
    return found[-1] if found else None


def _use_step(session: Session, user_id: str, step: int) -> bool:
    """Whether no code of this step or a later one was used. It is one statement, so that of two at once one is refused."""
    is_new = or_(User.totp_last_step.is_(None), User.totp_last_step < step)
    used = session.execute(update(User).where(User.id == user_id, is_new).values(totp_last_step=step))
    return bool(used.rowcount)  # type: ignore[attr-defined]


def _use_recovery(session: Session, user_id: str, code: str, at: int) -> bool:
    hashes = encryption.fingerprints(RECOVERY, f"{user_id}:{code}")
    mine = RecoveryCode.user_id == user_id, RecoveryCode.code_hash.in_(hashes), RecoveryCode.used_at.is_(None)
    used = session.execute(update(RecoveryCode).where(*mine).values(used_at=at))
    return bool(used.rowcount)  # type: ignore[attr-defined]


def new_recovery_codes(user_id: str, at: int) -> list[str]:
    """Replace the recovery codes by new ones."""
    with transaction() as session:
        note(session, user_id, "recovery_codes_replaced", at)
        return new_codes(session, user_id)


def new_codes(session: Session, user_id: str) -> list[str]:
    """The same in a transaction of the caller's."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(12)) for _ in range(CODES)]  # 59 bits each
    for code in codes:
        session.add(RecoveryCode(user_id=user_id, code_hash=encryption.fingerprints(RECOVERY, f"{user_id}:{code}")[0]))
    return [f"{code[:4]}-{code[4:8]}-{code[8:]}" for code in codes]
