"""Events, which are written with the change that they describe, the counter that numbers them, and where they are sent to."""

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    Document,
    Documents,
    HasLivemode,
    HasMetadata,
    Id,
    LongText,
)
from portal_site.db import Base

IN_LOG = "log_hash IS NOT NULL"
IS_PENDING = "status = 'pending'"


class Event(HasLivemode, Base):
    """One change. `type` is Stripe's event type; `data` is {object, previous_attributes}.

    `sequence` follows the order of the commits, without gaps. It is null in rows of a program of before it, until they are
    numbered (`billing.events.reading`). `actor_type` is an `events.actors.ActorType`; null where it is not known. Entries
    of the log have a `log_hash` (`billing.events.log`).
    `customer_id` is whom the object belongs to, or its own id; null for what is no customer's, and in rows of before the column.
    `request_id` and `idempotency_key` are those of the API's request that made the change, if one did.
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
    request_id: Mapped[str | None]
    idempotency_key: Mapped[str | None]

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
        # The type stands in it so that a list of few types reads no other rows.
        Index("ix_events_list", "account_id", "livemode", "created", "id", "type"),
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


class WebhookEndpoint(HasLivemode, HasMetadata, Base):
    """An address of a merchant's program that events are sent to.

    `secret` signs what is sent; it is encrypted, as is `former_secret`, which signs beside it until `former_secret_until`.
    `sequence` is the number of the last event that was sent, or passed over; what has to be sent again is a `WebhookDelivery`.
    `connect` means the events of connected accounts in place of the account's own. `failures` are those since the last success,
    the first of them at `failing_since`; nothing is tried before `paused_until`. A worker that sends has until `claimed_until`.
    `gave_up_at` is when an endpoint was disabled because nothing had reached it. `last_took` is in milliseconds.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    url: Mapped[LongText]
    enabled_events: Mapped[Documents]
    connect: Mapped[bool]
    description: Mapped[LongText | None]
    api_version: Mapped[str | None]
    status: Mapped[str]
    secret: Mapped[LongText]
    former_secret: Mapped[LongText | None]
    former_secret_until: Mapped[int | None]
    sequence: Mapped[int]
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[int | None]
    paused_until: Mapped[int] = mapped_column(default=0)
    claimed_until: Mapped[int] = mapped_column(default=0)
    gave_up_at: Mapped[int | None]
    last_took: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[int | None]

    __table_args__ = (Index("ix_webhook_endpoints_list", "account_id", "livemode", "created", "id"),)


class WebhookDelivery(HasLivemode, Base):
    """An event that was sent to an endpoint, or tried: how the last try ended and, while it is pending, when the next one is due.

    `account_id` is the endpoint's. `tries_since` is when the tries began; sending again by hand begins anew. `response_status`
    is the HTTP status, null without an answer, and `fault` says what was wrong.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id"))
    event_id: Mapped[str] = mapped_column(ForeignKey("events.id"))
    event_type: Mapped[str]
    sequence: Mapped[int]
    created: Mapped[int]
    status: Mapped[str]
    attempts: Mapped[int]
    tries_since: Mapped[int]
    tried_at: Mapped[int | None]
    due_at: Mapped[int | None]
    response_status: Mapped[int | None]
    fault: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint("event_id", "endpoint_id"),
        Index("ix_webhook_deliveries_endpoint_id", "endpoint_id", "sequence"),
        Index("ix_webhook_deliveries_created", "created"),
        Index(
            "ix_webhook_deliveries_due",
            "endpoint_id",
            "due_at",
            sqlite_where=text(IS_PENDING),
            postgresql_where=text(IS_PENDING),
        ),
    )
