"""The counts that all processes share."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.db import Base


class RateLimitCount(Base):
    """How often one client has asked for one thing since its window began, which ends at `expires_at`.

    `id` is a hash of the limit's name and the client, so that no addresses are stored.
    """

    __tablename__ = "rate_limit_counts"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    hits: Mapped[int]
    expires_at: Mapped[int]
