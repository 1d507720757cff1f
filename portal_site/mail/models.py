"""The outbox, and the addresses that a mail server refused for good."""

from enum import StrEnum

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, Document, HasLivemode, Id, LongText
from portal_site.db import Base


class EmailStatus(StrEnum):
    """What becomes of an e-mail: it waits, or it was sent, given up (until an operator retries), expired or not sent at all.

    `suppressed` is one without an address that could be delivered to.
    """

    WAITING = "waiting"
    SENT = "sent"
    PARKED = "parked"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


class Email(HasLivemode, Base):
    """An e-mail that is to be sent, or was. Its `content` is encrypted, because codes and links are in it.

    `recipients` has the lists `to` and `cc`. `dedup_key` says what it is about: there is one e-mail for each. `due_at` is the
    time of the next try, or the end of the time that a worker has claimed it for. After `expires_at` it is of no use.
    """

    __tablename__ = "emails"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[str | None]
    created: Mapped[int]
    kind: Mapped[str]
    dedup_key: Mapped[str] = mapped_column(unique=True)
    recipients: Mapped[Document]
    content: Mapped[LongText | None]
    status: Mapped[str] = mapped_column(default=EmailStatus.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[int]
    expires_at: Mapped[int | None]
    sent_at: Mapped[int | None]
    last_error: Mapped[str | None]

    __table_args__ = (
        Index(
            "ix_emails_due",
            "due_at",
            "id",
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index("ix_emails_created", "created"),
        Index("ix_emails_customer", "account_id", "customer_id", "created", "id"),
    )


class UndeliverableAddress(Base):
    """An address that a mail server refused for good: for a month nothing more is sent to it for this account."""

    __tablename__ = "undeliverable_addresses"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[int]
    reason: Mapped[str]
