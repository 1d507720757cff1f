"""Events. They are written in the same transaction as the change that they describe, and sent after it."""

from typing import Any, Protocol

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from portal_site.billing.models.columns import AccountId, Document, HasLivemode, Id
from portal_site.db import Base
from portal_site.ids import ordered_id


class Eventful(Protocol):
    """A row that can be the object of an event."""

    account_id: Any
    livemode: Any

    def as_object(self) -> dict[str, Any]: ...


class Event(HasLivemode, Base):
    """One change. `type` is Stripe's event type; `data` is {object, previous_attributes}."""

    __tablename__ = "events"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    type: Mapped[str]
    data: Mapped[Document]

    __table_args__ = (Index("ix_events_account_id_created_id", "account_id", "created", "id"),)

    @classmethod
    def of(cls, kind: str, row: Eventful, at: int, previous: dict[str, Any] | None = None, **members: Any) -> "Event":
        """An event of type `kind` for a row that has just changed. `previous` holds the old values of the changed members.

        `members` are members of the object that are stored in other tables, such as a subscription's items.
        """
        data: dict[str, Any] = {"object": {**row.as_object(), **members}}
        if previous:
            data["previous_attributes"] = previous
        return cls(
            id=ordered_id("evt"), account_id=row.account_id, livemode=row.livemode, created=at, type=kind, data=data
        )
