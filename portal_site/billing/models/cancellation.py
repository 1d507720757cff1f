"""Why customers leave: what each attempt to cancel said, what was offered on the way, and what came of it."""

from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import AccountId, CustomerId, Id, LongText, Moded, OptionalDocument, values
from portal_site.db import Base


class FeedbackOption(Moded, Base):
    """A reason for cancelling in the merchant's own words, up to 100 characters."""

    __tablename__ = "feedback_options"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    description: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")  # or inactive


class CancellationAttempt(Moded, Base):
    """One way through the cancellation pages. It is open until the customer cancels, or takes an offer.

    `offer` is what was offered, as it was then; `held_out` says that the customer belongs to those who are shown none.
    """

    __tablename__ = "cancellation_attempts"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    created: Mapped[int]
    feedback: Mapped[str | None]
    feedback_option_id: Mapped[str | None] = mapped_column(ForeignKey("feedback_options.id"))
    comment: Mapped[LongText | None]
    offer: Mapped[OptionalDocument]
    offer_outcome: Mapped[str | None]  # shown, accepted or declined
    held_out: Mapped[bool] = mapped_column(default=False)
    outcome: Mapped[str | None]  # canceled or saved, once it is over
    closed_at: Mapped[int | None]

    __table_args__ = (Index("ix_cancellation_attempts_customer_id_created", "customer_id", "created"),)

    @property
    def details(self) -> dict[str, Any]:
        """The subscription's `cancellation_details`, in the field's shape."""
        said = {**values(self, "comment", "feedback"), "feedback_option": self.feedback_option_id}
        return {"reason": "cancellation_requested", **said}
