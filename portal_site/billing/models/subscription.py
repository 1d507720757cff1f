"""Subscriptions with their items, discounts, plan changes and schedules."""

from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, false, text
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
    """A customer's subscription. `status` is a `rules.subscriptions.statuses.SubscriptionStatus`."""

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
    # A change that is applied once its invoice is paid, in the format of billing.subscriptions.pending_updates.
    pending_update: Mapped[OptionalDocument]
    # Copies of the tax rates as {id, display_name, percentage, inclusive}. A tax rate's percentage never changes.
    default_tax_rates: Mapped[Documents]
    # Whether the system that it came from computes its tax. This one does not, and says so beside each amount.
    automatic_tax: Mapped[bool] = mapped_column(default=False, server_default=false())
    # When the billing run has to process the subscription next; null if never. `billing_failures` counts the consecutive
    # failures to process it, and `billing_error` is the last error.
    due_at: Mapped[int | None]
    billing_failures: Mapped[int] = mapped_column(default=0)
    billing_error: Mapped[LongText | None]
    # No foreign keys: the references would be circular.
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
        """The subscription in Stripe's format, for events, without its items, which are stored in another table."""
        return subscription_object(self)


_TERMS = ("currency", "collection_method", "billing_cycle_anchor", "trial_start", "trial_end", "description")
_ENDING = ("cancel_at", "cancel_at_period_end", "canceled_at", "ended_at", "cancellation_details")


def subscription_object(row: Any) -> dict[str, Any]:
    """A subscription in Stripe's format, from an entity or from a row of a billing run."""
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
    """The `pending_update` reduced to Stripe's members; None if there is none."""
    names = ("expires_at", "subscription_items", "billing_cycle_anchor", "trial_end")
    return {name: row.pending_update.get(name) for name in names} if row.pending_update else None


class SubscriptionItem(HasMetadata, Base):
    """One price of a subscription with its quantity (null if metered) and its current period."""

    __tablename__ = "subscription_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    price_id: Mapped[str] = mapped_column(ForeignKey("prices.id"))
    created: Mapped[int]
    quantity: Mapped[int | None]
    current_period_start: Mapped[int]
    current_period_end: Mapped[int]
    # Override the subscription's `default_tax_rates` unless empty.
    tax_rates: Mapped[Documents]
    # Overrides the subscription's anchor; set once the item's periods no longer start on boundaries of that anchor.
    billing_cycle_anchor: Mapped[int | None]

    subscription: Mapped[Subscription] = relationship(lazy="raise", back_populates="items")

    def as_object(self) -> dict[str, Any]:
        """The item in Stripe's format, for an event's subscription."""
        period = self.current_period_start, self.current_period_end
        return item_object(self.subscription_id, self.id, self.created, self.price_id, self.quantity, *period)


def item_object(
    subscription_id: str, item_id: str, created: int, price_id: str, quantity: int | None, start: int, end: int
) -> dict[str, Any]:
    """A subscription item in Stripe's format, from the columns of an entity or of a billing run's row."""
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
    """Objects in Stripe's list format, for a member of another object."""
    return {"object": "list", "data": items}


class Discount(Base):
    """A coupon applied to a customer, to one subscription or to one item, from `start` to `end` (null: indefinitely)."""

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
        # A customer can redeem a code only once, even with concurrent requests.
        Index("uq_discounts_customer_id_promotion_code_id", "customer_id", "promotion_code_id", unique=True),
    )

    def as_object(self) -> dict[str, Any]:
        """The discount in Stripe's format, for events."""
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
    """A change that a customer confirmed. `quote_key` is its confirmation key: a second click finds the first one's change."""

    __tablename__ = "plan_changes"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    customer_id: Mapped[CustomerId]
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    created: Mapped[int]
    quote_key: Mapped[str] = mapped_column(unique=True)
    outcome: Mapped[str]  # a rules.subscriptions.statuses.ChangeOutcome
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"), index=True)

    @classmethod
    def of(cls, subscription: Subscription, key: str, at: int) -> "PlanChange":
        """A new change of this subscription with this confirmation key; the caller sets its outcome."""
        owner = values(subscription, "account_id", "customer_id", "livemode")
        return cls(id=new_id("plch"), subscription_id=subscription.id, created=at, quote_key=key, **owner)


class SubscriptionSchedule(HasLivemode, HasMetadata, Base):
    """A subscription schedule. `origin` is `portal` for a change that the customer can undo, else `merchant`."""

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
        """The schedule in Stripe's format, for events."""
        moments = ("released_at", "canceled_at", "completed_at")
        return {
            "object": "subscription_schedule",
            **values(self, "id", "created", "livemode", "status", "end_behavior", *moments),
            "customer": self.customer_id,
            "subscription": self.subscription_id,
        }


class SchedulePhase(Base):
    """One phase of a schedule, from `start_date` to `end_date` (null: open-ended)."""

    __tablename__ = "schedule_phases"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    schedule_id: Mapped[str] = mapped_column(ForeignKey("subscription_schedules.id"), index=True)
    start_date: Mapped[int]
    end_date: Mapped[int | None]
    proration_behavior: Mapped[str] = mapped_column(default="none")

    def as_phase(self) -> dict[str, Any]:
        """The phase in the format of a schedule's `current_phase`."""
        return values(self, "start_date", "end_date")


class SchedulePhaseItem(Base):
    """A price and quantity of the subscription during a phase."""

    __tablename__ = "schedule_phase_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    phase_id: Mapped[str] = mapped_column(ForeignKey("schedule_phases.id"), index=True)
    price_id: Mapped[str] = mapped_column(ForeignKey("prices.id"))
    quantity: Mapped[int | None]
