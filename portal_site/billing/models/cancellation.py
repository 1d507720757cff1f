"""Cancellation attempts: the reasons given, the retention offer made, and the outcome."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from portal_site.billing.models.columns import (
    AccountId,
    CustomerId,
    HasLivemode,
    Id,
    LongText,
    OptionalDocument,
    values,
)
from portal_site.billing.models.subscription import Subscription
from portal_site.billing.rules.retention.offer_rules import OFFER_LIFETIME
from portal_site.db import Base
from portal_site.db.json_columns import JsonObject
from portal_site.ids import new_id


class FeedbackOption(HasLivemode, Base):
    """A merchant-defined cancellation reason of up to 100 characters."""

    __tablename__ = "feedback_options"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    created: Mapped[int]
    description: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")  # or inactive


class CancellationAttempt(HasLivemode, Base):
    """One pass through the cancellation pages. It is open until the customer cancels or accepts an offer.

    `offer` is the retention offer, parsed by `rules.portal.portal_features.RetentionOffer`. `held_out` is true for a customer
    in the hold-out group, who sees no offer; `offer` then stores the offer that would have been made.
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

    @classmethod
    def of(cls, subscription: Subscription, at: int, **members: object) -> "CancellationAttempt":
        """A new, open attempt to cancel this subscription, not yet added to a session."""
        owner = values(subscription, "account_id", "customer_id", "livemode")
        return cls(**{"id": new_id("cxl"), "subscription_id": subscription.id, "created": at, **owner, **members})

    def is_made(self, at: int) -> bool:
        """Whether its offer was shown and can still be accepted."""
        return self.offer_outcome == "shown" and self.closed_at is None and self.created > at - OFFER_LIFETIME

    def accept(self, at: int) -> None:
        """Close the attempt as saved: the customer accepted the offer."""
        self.offer_outcome, self.outcome, self.closed_at = "accepted", "saved", at

    def cancel(self, at: int) -> None:
        """Close the attempt as canceled. An offer that was shown and not answered counts as declined."""
        self.outcome, self.closed_at = "canceled", at
        if self.offer_outcome == "shown":
            self.offer_outcome = "declined"

    @property
    def details(self) -> JsonObject:
        """The subscription's `cancellation_details`, in Stripe's format."""
        feedback = {**values(self, "comment", "feedback"), "feedback_option": self.feedback_option_id}
        return {"reason": "cancellation_requested", **feedback}


class CancellationRequest(Base):
    """Somebody wants to cancel without logging in. It is stored whoever has the address, and the worker answers by e-mail.

    `number` is of an invoice, or the id of a subscription; `subscription_id` is what was found by it.
    """

    __tablename__ = "cancellation_requests"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    created: Mapped[int]
    email: Mapped[str]
    number: Mapped[str]
    answered_at: Mapped[int | None]
    subscription_id: Mapped[str | None]

    __table_args__ = (
        Index(
            "ix_cancellation_requests_unanswered",
            "created",
            "id",
            sqlite_where=text("answered_at IS NULL"),
            postgresql_where=text("answered_at IS NULL"),
        ),
        Index("ix_cancellation_requests_created", "created"),
        Index("ix_cancellation_requests_account_id_email_created", "account_id", "email", "created"),
    )
