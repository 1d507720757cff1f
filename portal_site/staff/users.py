"""What users change about themselves."""

import secrets

from sqlalchemy import func, select

from portal_site.billing.errors import BillingError
from portal_site.db.transactions import reading, transaction
from portal_site.staff import passwords, second_step, sessions
from portal_site.staff.models import RecoveryCode, User
from portal_site.staff.user_events import note


def change_password(user_id: str, password: str, at: int, *, keep: str | None = None) -> None:
    """Set another password, and end all sessions but `keep`. Raises BillingError for a weak one."""
    with reading() as reader:
        known = reader.execute(select(User.email, User.name).where(User.id == user_id)).one()
    passwords.check(password, list(known))
    stored = passwords.hashed(password)  # before the transaction: it takes longer than all the rest
    with transaction() as session:
        user = session.get_one(User, user_id, with_for_update=True)
        user.password_hash, user.password_changed_at = stored, at
        sessions.end_all(session, user_id, at, but=keep)
        note(session, user_id, "password_changed", at)


def recovery_codes_left(user_id: str) -> int:
    """How many recovery codes can still be used."""
    unused = RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    with reading() as reader:
        return int(reader.scalar(select(func.count()).select_from(RecoveryCode).where(*unused)) or 0)


def reset(email: str, at: int) -> str:
    """A new password for somebody who has lost password, phone or passkeys, and a second step to set up anew; all sessions end.

    Raises BillingError if there is no such user.
    """
    password = secrets.token_urlsafe(15)
    stored = passwords.hashed(password)
    with transaction() as session:
        user = session.scalars(select(User).where(User.email == email.strip().lower())).one_or_none()
        if user is None:
            raise BillingError("There is no user with this email address.")
        user.password_hash, user.password_changed_at = stored, at
        second_step.remove(session, user.id)
        sessions.end_all(session, user.id, at)
    return password
