"""Time that a merchant's developer sets by hand, and the workers that real time needs."""

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, HasLivemode, Id, values
from portal_site.db import Base


class TestClock(HasLivemode, Base):
    """A clock that stands still at `frozen_time` until it is advanced. Customers attached to it live at that time."""

    __test__ = False  # pytest would take it for tests
    __tablename__ = "test_clocks"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    name: Mapped[str | None]
    frozen_time: Mapped[int]
    status: Mapped[str] = mapped_column(default="ready")
    target_frozen_time: Mapped[int | None]

    def as_object(self) -> dict[str, Any]:
        """The clock as an event carries it."""
        details = {"advancing": {"target_frozen_time": self.target_frozen_time}} if self.target_frozen_time else {}
        named = values(self, "id", "created", "livemode", "name", "frozen_time", "status")
        return {"object": "test_helpers.test_clock", **named, "status_details": details}


class Worker(Base):
    """A worker process and when it last said that it is there; it belongs to no merchant."""

    __tablename__ = "workers"

    id: Mapped[Id]
    started_at: Mapped[int]
    seen_at: Mapped[int]
