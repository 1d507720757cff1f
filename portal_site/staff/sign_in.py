"""Signing in: the password, then the second step, then a session. What is wrong is never said more exactly than that."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from portal_site.billing.errors import BillingError
from portal_site.db.transactions import reading, transaction
from portal_site.staff import passkeys, passwords, second_step
from portal_site.staff.models import SignInTries, User
from portal_site.staff.passkey_protocol import RelyingParty
from portal_site.staff.passkeys import Answer, Ceremony
from portal_site.staff.user_events import note

# An address is counted together with the network that a password comes from, so that nobody can lock somebody else out.
# A code is counted by its user: who gets as far as that knows the password.
WINDOW = 15 * 60  # seconds, from the first try on
MOST_PASSWORDS, MOST_CODES, MOST_PASSKEYS = 10, 5, 20  # tries in that time; nobody guesses a signature
DAY, MOST_WRONG_CODES = 24 * 60 * 60, 20  # a second count of codes, which right ones do not end
PATIENCE = 10 * 60  # seconds between the password and the second step
# One statement, so that tries at the same time are all counted.
_COUNT = text(
    "INSERT INTO sign_in_tries (subject, count, ends_at) VALUES (:subject, 1, :ends_at) ON CONFLICT (subject) DO UPDATE SET"
    " count = CASE WHEN sign_in_tries.ends_at > :at THEN sign_in_tries.count + 1 ELSE 1 END,"
    " ends_at = CASE WHEN sign_in_tries.ends_at > :at THEN sign_in_tries.ends_at ELSE excluded.ends_at END"
    " RETURNING count, ends_at"
).execution_options(unscoped="tries belong to no merchant")


class TooManyTries(BillingError):
    """Somebody has tried too often. `wait` are the seconds until the next try."""

    def __init__(self, wait: int) -> None:
        super().__init__("Too many tries. Wait a while, and try again.")
        self.wait = wait


@dataclass(frozen=True)
class PasswordAccepted:
    """A user whose password was right. `changed_at` is when that password was set, so that an older one counts no more."""

    user_id: str
    changed_at: int
    at: int


def check_password(email: str, password: str, network: str, at: int) -> PasswordAccepted:
    """Whose password this is. Raises BillingError if it is nobody's, and TooManyTries."""
    subject = _subject("password", email.strip().lower(), network)
    _count(subject, MOST_PASSWORDS, at)
    with reading() as reader:
        query = select(User.id, User.password_hash, User.password_changed_at).where(User.email == email.strip().lower())
        found = reader.execute(query).one_or_none()
    # The hash is checked outside of the transaction: it takes longer than all the rest.
    if not passwords.is_right(found.password_hash if found else None, password) or found is None:
        raise BillingError("The email address or the password is wrong.", param="password")
    _forget(subject)
    return PasswordAccepted(found.id, found.password_changed_at, at)


def check_second_step(accepted: PasswordAccepted, code: str, at: int) -> User:
    """The user, with the second step done. Raises BillingError for a wrong code, TooManyTries, and if it took too long."""
    subject, of_day = _subject("code", accepted.user_id), _subject("codes of a day", accepted.user_id)
    _count(subject, MOST_CODES, at)
    _count(of_day, MOST_WRONG_CODES, at, DAY)
    with transaction() as session:
        user = _user_of(session, accepted, at)
        if not second_step.is_right(session, user, code, at):
            raise BillingError("This code is wrong, or was used already.", param="code")
        _clear(session, subject)
        mine = SignInTries.subject == of_day
        session.execute(update(SignInTries).where(mine).values(count=SignInTries.count - 1))  # this one was right
        note(session, user.id, "signed_in", at)
        return user


def check_passkey(accepted: PasswordAccepted, party: RelyingParty, answer: Answer, at: int) -> User:
    """The same with a passkey in the code's place."""
    subject = _subject("passkey", accepted.user_id)
    _count(subject, MOST_PASSKEYS, at)
    challenge = passkeys.take_challenge(accepted.user_id, Ceremony.SIGN_IN, answer, at)
    with transaction() as session:
        user = _user_of(session, accepted, at)
        passkeys.use(session, party, user.id, Ceremony.SIGN_IN, answer, challenge, at)
        _clear(session, subject)
        note(session, user.id, "signed_in", at)
        return user


def _user_of(session: Session, accepted: PasswordAccepted, at: int) -> User:
    user = session.get(User, accepted.user_id)
    if user is None or user.password_changed_at != accepted.changed_at or at - accepted.at > PATIENCE:
        raise BillingError("That took too long. Sign in again.")
    return user


def prove(user_id: str, password: str, at: int, param: str = "password") -> None:
    """Check the password of a user who is signed in. Raises BillingError if it is wrong, and TooManyTries."""
    subject = _subject("proof", user_id)
    _count(subject, MOST_PASSWORDS, at)
    with reading() as reader:
        stored = reader.scalar(select(User.password_hash).where(User.id == user_id))
    if not passwords.is_right(stored, password):
        raise BillingError("The password is wrong.", param=param)
    _forget(subject)


def prove_with_passkey(user_id: str, party: RelyingParty, answer: Answer, at: int) -> None:
    """The same with a passkey that knows its user: by a PIN, a finger or a face. Raises BillingError, and TooManyTries."""
    subject = _subject("proof by passkey", user_id)
    _count(subject, MOST_PASSKEYS, at)
    challenge = passkeys.take_challenge(user_id, Ceremony.PROVE, answer, at)
    with transaction() as session:
        passkeys.use(session, party, user_id, Ceremony.PROVE, answer, challenge, at)
        _clear(session, subject)


def _subject(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _count(subject: str, most: int, at: int, window: int = WINDOW) -> None:
    """Count a try, before it is known whether it is right: of many at once, no more than `most` are looked at."""
    with transaction() as session:
        given = {"subject": subject, "at": at, "ends_at": at + window}
        count, ends_at = session.execute(_COUNT, given).one()
    if count > most:
        raise TooManyTries(ends_at - at)


def _forget(subject: str) -> None:
    with transaction() as session:
        _clear(session, subject)


def _clear(session: Session, subject: str) -> None:
    session.execute(delete(SignInTries).where(SignInTries.subject == subject))
