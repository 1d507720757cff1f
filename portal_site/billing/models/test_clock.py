"""Test clocks, and the worker processes that run billing in real time."""

from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, HasLivemode, Id, LongText
from portal_site.db import Base


class TestClock(HasLivemode, Base):
    """A clock that stays at `frozen_time` until it is advanced. It determines the time of the customers attached to it."""

    __test__ = False  # otherwise pytest would collect the class, because of its name
    __tablename__ = "test_clocks"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    name: Mapped[str | None]
    frozen_time: Mapped[int]
    status: Mapped[str] = mapped_column(default="ready")
    target_frozen_time: Mapped[int | None]


class Worker(Base):
    """A worker process with the time of its last heartbeat. It belongs to no merchant."""

    __tablename__ = "workers"

    id: Mapped[Id]
    started_at: Mapped[int]
    seen_at: Mapped[int]
    fault: Mapped[LongText | None]  # what stopped its last run; null if that went through
