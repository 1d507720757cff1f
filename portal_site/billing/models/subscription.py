"""Subscriptions with their items, discounts, plan changes and schedules."""

from sqlalchemy import ColumnElement, ForeignKey, ForeignKeyConstraint, Index, false, func, text
from sqlalchemy.ext.hybrid import hybrid_property
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
    PendingUpdateColumn,
    values,
)
from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate
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
    # How the trial ends without a payment method; while that is `cancel` and there is none, `cancel_at` is the trial's end.
    trial_settings: Mapped[OptionalDocument]
    cancel_at: Mapped[int | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(default=False)
    canceled_at: Mapped[int | None]
    ended_at: Mapped[int | None]
    cancellation_details: Mapped[Document]
    pause_collection: Mapped[OptionalDocument]
    status_details: Mapped[OptionalDocument]
    # A change that is applied once its invoice is paid.
    pending_update: Mapped[PendingUpdate | None] = mapped_column(PendingUpdateColumn)
    # Copies of the tax rates as {id, display_name, percentage, inclusive}. A tax rate's percentage never changes.
    default_tax_rates: Mapped[Documents]
    # Whether the system that it came from computes its tax. This one does not, and says so beside each amount.
    automatic_tax: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Whether the system that it came from goes on billing it. Then it is shown here, and neither billed nor changed.
    billed_elsewhere: Mapped[bool] = mapped_column(default=False, server_default=false())
    # When the billing run looks at the subscription next; null if never. `billing_failures` counts the consecutive failures to
    # process it, and `billing_error` is the last error.
    due_at: Mapped[int | None]
    # The instant of the step that is due, while that is put off or parked; null while `due_at` is that instant.
    overdue_since: Mapped[int | None]
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

    @hybrid_property
    def step_at(self) -> int | None:
        """The instant of the next step, which dates what the step does, however late a billing run comes to take it."""
        return self.due_at if self.overdue_since is None else self.overdue_since

    @step_at.inplace.expression
    @classmethod
    def _step_at(cls) -> ColumnElement[int | None]:
        return func.coalesce(cls.overdue_since, cls.due_at)


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


class SchedulePhase(Base):
    """One phase of a schedule, from `start_date` to `end_date` (null: open-ended)."""

    __tablename__ = "schedule_phases"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    schedule_id: Mapped[str] = mapped_column(ForeignKey("subscription_schedules.id"), index=True)
    start_date: Mapped[int]
    end_date: Mapped[int | None]
    proration_behavior: Mapped[str] = mapped_column(default="none")


class SchedulePhaseItem(Base):
    """A price and quantity of the subscription during a phase."""

    __tablename__ = "schedule_phase_items"

    id: Mapped[Id]
    account_id: Mapped[AccountId]
    phase_id: Mapped[str] = mapped_column(ForeignKey("schedule_phases.id"), index=True)
    price_id: Mapped[str] = mapped_column(ForeignKey("prices.id"))
    quantity: Mapped[int | None]
