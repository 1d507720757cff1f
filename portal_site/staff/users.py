"""What users change about themselves."""

from sqlalchemy import func, select

from portal_site.db.transactions import reading, transaction
from portal_site.staff import passwords, sessions
from portal_site.staff.models import RecoveryCode, User


def change_password(user_id: str, password: str, at: int, *, keep: str | None = None) -> None:
    """Set another password, and end all sessions but `keep`. Raises BillingError for a weak one."""
    with transaction() as session:
        user = session.get_one(User, user_id, with_for_update=True)
        passwords.check(password, [user.email, user.name])
        user.password_hash, user.password_changed_at = passwords.hashed(password), at
        sessions.end_all(session, user_id, at, but=keep)


def recovery_codes_left(user_id: str) -> int:
    """How many recovery codes can still be used."""
    unused = RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    with reading() as reader:
        return int(reader.scalar(select(func.count()).select_from(RecoveryCode).where(*unused)) or 0)
