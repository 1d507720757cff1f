"""Events. They are written in the same transaction as the change that they describe."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from portal_site.billing.models.columns import AccountId, Document, HasLivemode, Id
from portal_site.db import Base


class Event(HasLivemode, Base):
    """One change. `type` is Stripe's event type; `data` is {object, previous_attributes}."""

    __tablename__ = "events"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    type: Mapped[str]
    data: Mapped[Document]

    __table_args__ = (Index("ix_events_account_id_created_id", "account_id", "created", "id"),)
