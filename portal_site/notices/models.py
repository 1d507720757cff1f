"""How far events and dates have been followed. These belong to no merchant."""

from sqlalchemy.orm import Mapped, mapped_column

from portal_site.db import Base


class FollowedEvents(Base):
    """The number of the last event that a reader has followed. A worker that follows has until `claimed_until` for it."""

    __tablename__ = "followed_events"

    reader: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(default=0)
    claimed_until: Mapped[int] = mapped_column(default=0)


class FollowedDates(Base):
    """How far reminders of one kind have been written that come `days` before a date, or after it if negative.

    Those of dates up to `through`, and of that very second up to the row `after_id`, are written.
    """

    __tablename__ = "followed_dates"

    kind: Mapped[str] = mapped_column(primary_key=True)
    days: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    through: Mapped[int]
    after_id: Mapped[str] = mapped_column(default="")
