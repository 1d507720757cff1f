"""What a customer subscribes to, the discounts on it, and the changes scheduled for it."""

from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal_site.billing.models.columns import (
    AccountId,
    CustomerId,
    Document,
    Documents,
    HasLivemode,
    HasMetadata,
    Id,
    LongText,
    OptionalDocument,
    values,
)
from portal_site.db import Base
from portal_site.ids import new_id


class Subscription(HasLivemode, HasMetadata, Base):
    """A customer's running snapshot. `status` is a `rules.lifecycle.SubscriptionStatus` value."""

    __tablename__ = "subscriptions"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    on_behalf_of: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    created: Mapped[int]
    status: Mapped[str]
    currency: Mapped[str]
    description: Mapped[LongText | None]
    collection_method: Mapped[str] = mapped_column(default="charge_automatically")
    days_until_due: Mapped[int | None]
    billing_mode: Mapped[str] = mapped_column(default="flexible")
    start_date: Mapped[int]
    billing_cycle_anchor: Mapped[int]
    trial_start: Mapped[int | None]
    trial_end: Mapped[int | None]
    cancel_at: Mapped[int | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False)
    canceled_at: Mapped[int | None]
    ended_at: Mapped[int | None]
    cancellation_details: Mapped[Document]
    pause_collection: Mapped[OptionalDocument]
    status_details: Mapped[OptionalDocument]
    # A change that waits for its payment, as operations.pending_updates writes it.
    pending_update: Mapped[OptionalDocument]
    # Copies of the rates, as {id, display_name, percentage, inclusive}: a rate's percentage never changes.
    default_tax_rates: Mapped[Documents]
    # When something has to be done next; null when nothing has. `billing_failures` tries went wrong, the last by `billing_error`.
    due_at: Mapped[int | None]
    billing_failures: Mapped[int] = mapped_column(default=0)
    billing_error: Mapped[LongText | None]
    # No foreign keys: both rows refer to this one.
    default_payment_method_id: Mapped[str | None]
    latest_invoice_id: Mapped[str | None]

    items: Mapped[list["SubscriptionItem"]] = relationship(lazy="raise", back_populates="subscription")

    __table_args__ = (
        Index(
            "ix_subscriptions_due",
            "due_at",
            "id",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )

    def as_object(self) -> dict[str, Any]:
        """The subscription as an event carries it, without its items: they are rows of their own."""
        return subscription_object(self)


_TERMS = ("currency", "collection_method", "billing_cycle_anchor", "trial_start", "trial_end", "description")
_ENDING = ("cancel_at", "cancel_at_period_end", "canceled_at", "ended_at", "cancellation_details")


def subscription_object(row: Any) -> dict[str, Any]:
    """A subscription's columns, of an entity or as a billing run reads them, as an event carries them."""
    return {
        "object": "subscription",
        **{name: getattr(row, name) for name in ("id", "created", "livemode", "status", *_TERMS, *_ENDING)},
        "customer": row.customer_id,
        "default_payment_method": row.default_payment_method_id,
        "latest_invoice": row.latest_invoice_id,
        "pause_collection": row.pause_collection,
        "pending_update": told_pending_update(row),
    }


def told_pending_update(row: Any) -> dict[str, Any] | None:
    """The change that waits for its payment, with the field's members only."""
    names = ("expires_at", "subscription_items", "billing_cycle_anchor", "trial_end")
    return {name: row.pending_update.get(name) for name in names} if row.pending_update else None


class SubscriptionItem(HasMetadata, Base):
    """One price of a subscription with its quantity (none when metered) and its current period."""

    __tablename__ = "subscription_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    price_id: Mapped[str] = mapped_column(ForeignKey("prices.id"))
    created: Mapped[int]
    quantity: Mapped[int | None]
    current_period_start: Mapped[int]
    current_period_end: Mapped[int]
    # In place of the subscription's, when there are any, and where its periods have left that anchor's days.
    tax_rates: Mapped[Documents]
    billing_cycle_anchor: Mapped[int | None]

    subscription: Mapped[Subscription] = relationship(lazy="raise", back_populates="items")

    def as_object(self) -> dict[str, Any]:
        """The item as an event's subscription carries it."""
        period = self.current_period_start, self.current_period_end
        return item_object(self.subscription_id, self.id, self.created, self.price_id, self.quantity, *period)


def item_object(
    subscription_id: str, item_id: str, created: int, price_id: str, quantity: int | None, start: int, end: int
) -> dict[str, Any]:
    """An item's columns, of an entity or as a billing run knows them, as an event's subscription carries them."""
    return {
        "object": "subscription_item",
        "id": item_id,
        "created": created,
        "subscription": subscription_id,
        "price": price_id,
        "quantity": quantity,
        "current_period_start": start,
        "current_period_end": end,
    }


def object_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Objects as a member of another that lists them."""
    return {"object": "list", "data": items}


class Discount(Base):
    """A coupon at work on a customer, on one of its subscriptions, or on one item, from `start` to `end`."""

    __tablename__ = "discounts"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId] = mapped_column(index=True)
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    subscription_item_id: Mapped[str | None] = mapped_column(ForeignKey("subscription_items.id"))
    coupon_id: Mapped[str]
    promotion_code: Mapped[str | None]
    promotion_code_id: Mapped[str | None]
    start: Mapped[int]
    end: Mapped[int | None]

    __table_args__ = (
        ForeignKeyConstraint(["account_id", "coupon_id"], ["coupons.account_id", "coupons.id"]),
        # A customer redeems a code once, however many tabs try.
        Index("uq_discounts_customer_id_promotion_code_id", "customer_id", "promotion_code_id", unique=True),
    )

    def as_object(self) -> dict[str, Any]:
        """The discount as an event carries it."""
        return {
            "object": "discount",
            **values(self, "id", "start", "end"),
            "customer": self.customer_id,
            "subscription": self.subscription_id,
            "subscription_item": self.subscription_item_id,
            "promotion_code": self.promotion_code_id,
            "source": {"type": "coupon", "coupon": self.coupon_id},
        }


class PlanChange(HasLivemode, Base):
    """A change that a customer confirmed. Its `quote_key` makes a second click find the first one's change."""

    __tablename__ = "plan_changes"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    created: Mapped[int]
    quote_key: Mapped[str] = mapped_column(unique=True)
    outcome: Mapped[str]  # a rules.lifecycle.ChangeOutcome value
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"), index=True)

    @classmethod
    def of(cls, subscription: Subscription, key: str, at: int) -> "PlanChange":
        """A change of this subscription, not decided yet."""
        owner = values(subscription, "account_id", "customer_id", "livemode")
        return cls(id=new_id("plch"), subscription_id=subscription.id, created=at, quote_key=key, **owner)


class SubscriptionSchedule(HasLivemode, HasMetadata, Base):
    """Changes planned for a subscription. `origin` tells the portal's own (the customer may undo it) from the merchant's."""

    __tablename__ = "subscription_schedules"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    created: Mapped[int]
    status: Mapped[str]
    origin: Mapped[str] = mapped_column(default="merchant")
    end_behavior: Mapped[str] = mapped_column(default="release")
    released_at: Mapped[int | None]
    canceled_at: Mapped[int | None]
    completed_at: Mapped[int | None]

    __table_args__ = (Index("ix_subscription_schedules_customer_id_status", "customer_id", "status"),)

    def as_object(self) -> dict[str, Any]:
        """The schedule as an event carries it."""
        moments = ("released_at", "canceled_at", "completed_at")
        return {
            "object": "subscription_schedule",
            **values(self, "id", "created", "livemode", "status", "end_behavior", *moments),
            "customer": self.customer_id,
            "subscription": self.subscription_id,
        }


class SchedulePhase(Base):
    """One stretch of a schedule, from `start_date` to `end_date`."""

    __tablename__ = "schedule_phases"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    schedule_id: Mapped[str] = mapped_column(ForeignKey("subscription_schedules.id"), index=True)
    start_date: Mapped[int]
    end_date: Mapped[int | None]
    proration_behavior: Mapped[str] = mapped_column(default="none")

    def as_phase(self) -> dict[str, Any]:
        """The phase as a schedule's `current_phase`."""
        return values(self, "start_date", "end_date")


class SchedulePhaseItem(Base):
    """A price and quantity that hold during a phase."""

    __tablename__ = "schedule_phase_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    phase_id: Mapped[str] = mapped_column(ForeignKey("schedule_phases.id"), index=True)
    price_id: Mapped[str] = mapped_column(ForeignKey("prices.id"))
    quantity: Mapped[int | None]
