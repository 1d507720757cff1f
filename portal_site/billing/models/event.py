"""What happened, written in the transaction in which it happened, and sent after."""

from typing import Any, Protocol

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from portal_site.billing.models.columns import AccountId, Document, HasLivemode, Id
from portal_site.db import Base
from portal_site.ids import ordered_id


class Eventful(Protocol):
    """A row that an event can carry."""

    account_id: Any
    livemode: Any

    def as_object(self) -> dict[str, Any]: ...


class Event(HasLivemode, Base):
    """One change under the field's name for it; `data` is {object, previous_attributes}."""

    __tablename__ = "events"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    type: Mapped[str]
    data: Mapped[Document]

    __table_args__ = (Index("ix_events_account_id_created_id", "account_id", "created", "id"),)

    @classmethod
    def of(cls, kind: str, row: Eventful, at: int, previous: dict[str, Any] | None = None, **members: Any) -> "Event":
        """The event `kind` of a row that just changed; `previous` holds the members that were different before.

        `members` are those of the object that are rows of their own, such as a subscription's items.
        """
        data: dict[str, Any] = {"object": {**row.as_object(), **members}}
        if previous:
            data["previous_attributes"] = previous
        return cls(
            id=ordered_id("evt"), account_id=row.account_id, livemode=row.livemode, created=at, type=kind, data=data
        )
