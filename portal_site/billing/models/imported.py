"""What came from another system: the last import of each object, and the subscriptions that are billed here since."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, CustomerId, Document, Documents, HasLivemode, Id, LongText
from portal_site.db import Base

STOPPING, TAKEN_OVER, UNDOING = "stopping", "taken_over", "undoing"
UNDONE, WITHDRAWN = "undone", "withdrawn"
IN_FORCE = (STOPPING, TAKEN_OVER, UNDOING)  # an import changes nothing of what is in one of these states


class ImportedObject(Base):
    """An imported object. `checksums` has eight hexadecimal digits for each of its columns, in the order of `merging.COLUMNS`.

    `unbillable` is why a subscription cannot be billed right here, a reason a line; None if no import has said so or not.
    """

    __tablename__ = "imported_objects"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[Id]
    checksums: Mapped[LongText]
    unbillable: Mapped[LongText | None]


class TakeOver(HasLivemode, Base):
    """The take-over of one subscription; a further one replaces it, once it is undone or withdrawn.

    `method` is how Stripe is stopped: `cancel` or `pause`. `boundary` ends the last period that Stripe bills. `mark` is what
    Stripe's subscription has in its metadata from then on. The keys of calls are stored before they are made. `before` is what
    Stripe's subscription looked like. `steps` are {step, at}, the newest last; `note` is why it does not go on, or was given up.
    """

    __tablename__ = "take_overs"

    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), primary_key=True)
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    created: Mapped[int]
    method: Mapped[str]
    state: Mapped[str]
    boundary: Mapped[int]
    mark: Mapped[str]
    stop_key: Mapped[str]
    restore_key: Mapped[str]
    before: Mapped[Document]
    steps: Mapped[Documents]
    note: Mapped[LongText | None]

    __table_args__ = (
        Index("ix_take_overs_state", "account_id", "livemode", "state", "subscription_id"),
        # Those that a worker finishes, which are few.
        Index(
            "ix_take_overs_unfinished",
            "created",
            "subscription_id",
            sqlite_where=text("state IN ('stopping', 'undoing')"),
            postgresql_where=text("state IN ('stopping', 'undoing')"),
        ),
    )
