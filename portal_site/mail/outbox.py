"""The outbox: e-mails are rows of the transaction that is their reason, claimed by a worker, and sent at least once."""

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from sqlalchemy import Select, Update, delete, func, literal_column, select, update
from sqlalchemy.orm import Session

from portal_site import encryption
from portal_site.billing.models import Account
from portal_site.db.deletion import delete_in_batches
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id
from portal_site.mail.messages import SenderSettings, deliverable
from portal_site.mail.models import Email, EmailStatus, UndeliverableAddress
from portal_site.mail.rendering import Content

PURPOSE = "email"
CLAIM = 10 * 60  # seconds that a worker has for what it took; after that another one sends it
AHEAD = 24 * 60 * 60  # by this many seconds what somebody waits for goes before what follows from a billing run
AT_ONCE = 50  # e-mails that it takes
# Seconds until the next try, by the number of those that the server refused for now. After the last one it is parked.
PAUSES = (60, 5 * 60, 15 * 60, 60 * 60, 4 * 60 * 60, 12 * 60 * 60, 24 * 60 * 60)
SERVER_PAUSE = 60  # until the next try after the server could not be reached at all, which counts for no e-mail
UNDELIVERABLE = 30 * 24 * 60 * 60  # seconds for which nothing is sent to an address that was refused for good
KEPT = 90 * 24 * 60 * 60  # seconds for which it is known what became of an e-mail
LONGEST_ERROR = 500


# The word itself and not a parameter, so that each database sees that the index of the waiting ones serves.
_OF_ALL = {"unscoped": "the worker sends for all merchants"}
_IS_WAITING = Email.status == literal_column(f"'{EmailStatus.WAITING}'")


@dataclass(frozen=True)
class Draft:
    """An e-mail to be written: whose, what it is about (`dedup_key`), to whom, and until when it is of use.

    One that the reader has just asked for goes to addresses that were refused before, too.
    """

    account_id: str
    livemode: bool
    kind: str
    dedup_key: str
    to: Sequence[str]
    cc: Sequence[str] = ()
    customer_id: str | None = None
    expires_at: int | None = None
    asked_for: bool = False


def write(session: Session, draft: Draft, content: Content, at: int) -> Email | None:
    """Put an e-mail into the outbox, in the transaction of `session`. None if there is one of this `dedup_key` already.

    Addresses that are none, and those that are known to be undeliverable, are left out; without any left it is `suppressed`.
    """
    if session.scalar(select(Email.id).where(Email.account_id == draft.account_id, Email.dedup_key == draft.dedup_key)):
        return None
    to, cc = (_reachable(session, draft, addresses, at) for addresses in (draft.to, draft.cc))
    email = Email(
        id=new_id("em"),
        account_id=draft.account_id,
        livemode=draft.livemode,
        customer_id=draft.customer_id,
        created=at,
        kind=draft.kind,
        dedup_key=draft.dedup_key,
        recipients={"to": to, "cc": cc},
        content=encrypted(content) if to else None,
        status=EmailStatus.WAITING if to else EmailStatus.SUPPRESSED,
        due_at=at - AHEAD if draft.asked_for else at,
        expires_at=draft.expires_at,
    )
    session.add(email)
    return email


def _reachable(session: Session, draft: Draft, addresses: Sequence[str], at: int) -> list[str]:
    found = list(dict.fromkeys(filter(None, map(deliverable, addresses))))
    if not found or draft.asked_for:
        return found
    known = UndeliverableAddress.account_id == draft.account_id, UndeliverableAddress.address.in_(found)
    still = UndeliverableAddress.created > at - UNDELIVERABLE
    refused = set(session.scalars(select(UndeliverableAddress.address).where(*known, still)))
    return [address for address in found if address not in refused]


def encrypted(content: Content) -> str:
    """A content as it is stored."""
    return encryption.encrypt(PURPOSE, json.dumps(astuple(content)))


def content_of(email: Email) -> Content | None:
    """The content of an e-mail that was not sent yet; None if its secret key is gone."""
    text = encryption.decrypt(PURPOSE, email.content) if email.content else None
    return Content(*json.loads(text)) if text is not None else None


@dataclass(frozen=True)
class Outgoing:
    """A claimed e-mail with its account's sender."""

    email: Email
    business: str
    support_email: str | None
    sender: SenderSettings


def claim(at: int) -> list[Outgoing]:
    """Take the e-mails that are due, oldest first, until `at` + CLAIM. Several workers never take the same."""
    with transaction() as session:
        # What the session knows of an e-mail from before may be old.
        emails = session.scalars(due(at).execution_options(populate_existing=True)).all()
        alive = []
        for email in emails:
            if email.expires_at is not None and email.expires_at <= at:
                _close(email, EmailStatus.EXPIRED)
            else:
                email.due_at = at + CLAIM
                alive.append(email)
        ids = {email.account_id for email in alive}
        accounts = {row.id: row for row in session.scalars(select(Account).where(Account.id.in_(ids)))} if ids else {}
        return [_outgoing(email, accounts[email.account_id]) for email in alive]


def due(at: int) -> Select[*tuple[Email]]:
    """The select of `claim`."""
    query = select(Email).where(_IS_WAITING, Email.due_at <= at).order_by(Email.due_at, Email.id).limit(AT_ONCE)
    return query.with_for_update(skip_locked=True).execution_options(**_OF_ALL)


def _outgoing(email: Email, account: Account) -> Outgoing:
    return Outgoing(email, account.business_name, account.support_email, SenderSettings.of(account.mail))


def _close(email: Email, status: EmailStatus) -> None:
    email.status, email.content = status, None


def latest(account_id: str, kind: str) -> Email | None:
    """The last e-mail of a kind that is to nobody of the customers. The row belongs to no transaction."""
    mine = Email.account_id == account_id, Email.customer_id.is_(None), Email.kind == kind
    query = select(Email.__table__).where(*mine).order_by(Email.created.desc(), Email.id.desc()).limit(1)
    with reading() as reader:
        row = reader.execute(query).first()
    return Email(**row._mapping) if row is not None else None


def is_anything_due(at: int) -> bool:
    """Whether an e-mail is due. Unlike `claim` it only reads."""
    is_due = _IS_WAITING, Email.due_at <= at
    query = select(Email.id).where(*is_due).limit(1)
    with reading() as reader:
        return reader.execute(query.execution_options(**_OF_ALL)).first() is not None


def note_sent(email: Email, at: int, *, gone: Sequence[str] = (), reason: str = "") -> None:
    """The server has taken it. What it says is deleted here: codes and links are nobody's business any more.

    `gone` are those of its addresses that do not exist, if it has others.
    """
    values = {"status": EmailStatus.SENT, "sent_at": at, "content": None, "last_error": reason[:LONGEST_ERROR] or None}
    with transaction() as session:
        _remember_gone(session, email, gone, reason, at)
        session.execute(_of(email).values(values))


def note_refused(email: Email, reason: str, at: int, *, for_good: Sequence[str] = ()) -> None:
    """The server refused it for now: it is tried again later, at last parked. `for_good` are addresses that do not exist.

    Without them, if there are others, it is tried again at once.
    """
    left = {name: [a for a in addresses if a not in for_good] for name, addresses in email.recipients.items()}
    with transaction() as session:
        _remember_gone(session, email, for_good, reason, at)
        step = _next_step(email, bool(left["to"]), bool(for_good), at)
        session.execute(_of(email).values({"recipients": left, "last_error": reason[:LONGEST_ERROR], **step}))


def _remember_gone(session: Session, email: Email, addresses: Sequence[str], reason: str, at: int) -> None:
    for address in addresses:
        row = UndeliverableAddress(
            account_id=email.account_id, address=address, created=at, reason=reason[:LONGEST_ERROR]
        )
        session.merge(row)


def _next_step(email: Email, has_recipient: bool, is_smaller: bool, at: int) -> dict[str, object]:
    if not has_recipient:
        return {"status": EmailStatus.SUPPRESSED, "content": None}
    if email.attempts >= len(PAUSES):
        return {"status": EmailStatus.PARKED, "attempts": email.attempts + 1}
    if is_smaller:
        return {"due_at": at}
    return {"attempts": email.attempts + 1, "due_at": at + PAUSES[email.attempts]}


def note_server_fault(emails: Sequence[Email], reason: str, at: int) -> None:
    """The server could not be reached, or let nobody in: all these wait, and none has had a try."""
    with transaction() as session:
        for email in emails:
            session.execute(_of(email).values(due_at=at + SERVER_PAUSE, last_error=reason[:LONGEST_ERROR]))


def _of(email: Email) -> Update:
    """An update of this e-mail, as long as it waits."""
    owned = Email.account_id == email.account_id, Email.id == email.id
    statement = update(Email).where(*owned, Email.status == EmailStatus.WAITING)
    return statement.execution_options(synchronize_session=False)


def retry(email_id: str | None, at: int) -> int:
    """Let parked e-mails be sent again, one or all; how many there are."""
    parked = [Email.status == EmailStatus.PARKED]
    if email_id is not None:
        parked.append(Email.id == email_id)
    query = update(Email).where(*parked).values(status=EmailStatus.WAITING, attempts=0, due_at=at)
    with transaction() as session:
        found = session.execute(query.execution_options(unscoped="an operator retries for all merchants"))
        return int(found.rowcount)  # type: ignore[attr-defined]


def forget(address: str) -> int:
    """Forget that an address was refused; for how many accounts it was."""
    query = delete(UndeliverableAddress).where(UndeliverableAddress.address == (deliverable(address) or address))
    with transaction() as session:
        found = session.execute(query.execution_options(unscoped="an operator looks after all merchants"))
        return int(found.rowcount)  # type: ignore[attr-defined]


def remove_old(at: int) -> int:
    """Remove what was sent, or was not, long ago; what waits or is parked stays. Returns how many."""
    is_over = Email.status.in_((EmailStatus.SENT, EmailStatus.EXPIRED, EmailStatus.SUPPRESSED))
    return delete_in_batches(Email, Email.created < at - KEPT, is_over)


@dataclass(frozen=True)
class Backlog:
    """What needs attention: how many are parked, one of the reasons, and since when the oldest has been waiting."""

    parked: int
    reason: str | None
    waiting_since: int | None


def backlog() -> Backlog:
    """The state of the outbox, for `portal check`."""
    everybody = {"unscoped": "an operator looks after the outbox of all merchants"}
    parked = Email.status == EmailStatus.PARKED
    count = select(func.count()).select_from(Email).where(parked)
    reason = select(Email.last_error).where(parked).order_by(Email.created.desc()).limit(1)
    oldest = select(func.min(Email.created)).where(Email.status == EmailStatus.WAITING)
    with reading() as reader:
        return Backlog(
            reader.scalar(count.execution_options(**everybody)) or 0,
            reader.scalar(reason.execution_options(**everybody)),
            reader.scalar(oldest.execution_options(**everybody)),
        )
