"""Subscriptions with their items, discounts and schedules."""

from collections.abc import Iterable
from typing import Any, Protocol

from portal_site.billing.models import SchedulePhase, Subscription, SubscriptionSchedule
from portal_site.billing.models.columns import values
from portal_site.billing.rules.subscriptions.pending_update import PendingUpdate
from portal_site.db.json_columns import JsonObject

_TERMS = ("currency", "collection_method", "billing_cycle_anchor", "trial_start", "trial_end", "description")
_ENDING = ("cancel_at", "cancel_at_period_end", "canceled_at", "ended_at", "cancellation_details")


class ItemColumns(Protocol):
    """The columns of a subscription item that its object has: of an entity, or of an item that a renewal is about to change."""

    id: str
    created: int
    subscription_id: str
    price_id: str
    quantity: int | None
    current_period_start: int
    current_period_end: int


def subscription(row: Subscription) -> JsonObject:
    """A `subscription` without its items, which are rows of their own."""
    return {
        "object": "subscription",
        **values(row, "id", "created", "livemode", "status", *_TERMS, *_ENDING),
        "customer": row.customer_id,
        "default_payment_method": row.default_payment_method_id,
        "latest_invoice": row.latest_invoice_id,
        "pause_collection": row.pause_collection,
        "pending_update": pending_update(row.pending_update),
    }


def pending_update(stored: PendingUpdate | None) -> JsonObject | None:
    """A pending update reduced to Stripe's members; None if there is none."""
    if stored is None:
        return None
    return {
        **values(stored, "expires_at", "billing_cycle_anchor", "trial_end"),
        "subscription_items": [
            {
                **values(item, "id", "quantity"),
                "price": item.price_id,
                "current_period_start": item.period_start,
                "current_period_end": item.period_end,
            }
            for item in stored.items
        ],
    }


def subscription_item(row: ItemColumns) -> JsonObject:
    """A `subscription_item`, with the id of its price."""
    return {
        "object": "subscription_item",
        "id": row.id,
        "created": row.created,
        "subscription": row.subscription_id,
        "price": row.price_id,
        "quantity": row.quantity,
        "current_period_start": row.current_period_start,
        "current_period_end": row.current_period_end,
    }


def subscription_items(rows: Iterable[ItemColumns]) -> JsonObject:
    """The `list` that is the member `items` of a subscription."""
    return {"object": "list", "data": [subscription_item(row) for row in rows]}


def discount(row: Any) -> JsonObject:
    """A `discount`, with the id of its coupon, from its row or the row's columns."""
    return {
        "object": "discount",
        **values(row, "id", "start", "end"),
        "customer": row.customer_id,
        "subscription": row.subscription_id,
        "subscription_item": row.subscription_item_id,
        "promotion_code": row.promotion_code_id,
        "source": {"type": "coupon", "coupon": row.coupon_id},
    }


def subscription_schedule(row: SubscriptionSchedule) -> JsonObject:
    """A `subscription_schedule` without its phases, which are rows of their own."""
    moments = ("released_at", "canceled_at", "completed_at")
    return {
        "object": "subscription_schedule",
        **values(row, "id", "created", "livemode", "status", "end_behavior", *moments),
        "customer": row.customer_id,
        "subscription": row.subscription_id,
    }


def current_phase(row: SchedulePhase) -> JsonObject:
    """A phase as the member `current_phase` of its schedule."""
    return values(row, "start_date", "end_date")
