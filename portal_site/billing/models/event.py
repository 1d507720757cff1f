"""Events, which are written in the same transaction as the change that they describe, and the counter that numbers them."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, Document, HasLivemode, Id
from portal_site.db import Base

IN_LOG = "log_hash IS NOT NULL"


class Event(HasLivemode, Base):
    """One change. `type` is Stripe's event type; `data` is {object, previous_attributes}.

    `sequence` follows the order of the commits, without gaps. It is null in rows of a program of before it, until they are
    numbered (`billing.events.reading`). `actor_type` is an `events.actors.ActorType`; null where it is not known. Entries
    of the log have a `log_hash` (`billing.events.log`).
    `customer_id` is whom the object belongs to, or its own id; null for what is no customer's, and in rows of before the column.
    """

    __tablename__ = "events"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    type: Mapped[str]
    data: Mapped[Document]
    sequence: Mapped[int | None]
    actor_type: Mapped[str | None]
    actor_id: Mapped[str | None]
    log_hash: Mapped[str | None]
    customer_id: Mapped[str | None]

    __table_args__ = (
        *(
            Index(name, *columns, sqlite_where=text(IN_LOG), postgresql_where=text(IN_LOG))
            for name, columns in (
                ("ix_events_log", ("account_id", "sequence")),
                ("ix_events_log_actor_type", ("account_id", "actor_type", "sequence")),
                ("ix_events_log_actor_id", ("account_id", "actor_id", "sequence")),
            )
        ),
        Index(
            "uq_events_sequence",
            "sequence",
            unique=True,
            sqlite_where=text("sequence IS NOT NULL"),
            postgresql_where=text("sequence IS NOT NULL"),
        ),
        Index("ix_events_account_id_sequence", "account_id", "sequence"),
        Index(
            "ix_events_customer",
            "account_id",
            "customer_id",
            "sequence",
            sqlite_where=text("customer_id IS NOT NULL"),
            postgresql_where=text("customer_id IS NOT NULL"),
        ),
        Index(
            "ix_events_unnumbered",
            "created",
            "id",
            sqlite_where=text("sequence IS NULL"),
            postgresql_where=text("sequence IS NULL"),
        ),
    )


class EventCounter(Base):
    """The last number of an event, and the hash of the log's last entry. It belongs to no merchant.

    There is one row, with the id 1; the first event makes it.
    """

    __tablename__ = "event_counter"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]
    log_hash: Mapped[str | None]
