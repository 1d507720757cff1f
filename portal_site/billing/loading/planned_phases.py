"""Loads the phases of schedules that have not begun."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol, cast

from sqlalchemy import bindparam, or_, select

from portal_site.billing.loading import plans
from portal_site.billing.loading.plans import Reader
from portal_site.billing.loading.stored_lines import AT
from portal_site.billing.models import (
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.subscriptions.snapshot import PlannedPhase

PHASE_COLUMNS = (
    SchedulePhase.id.label("phase_id"),
    SubscriptionSchedule.subscription_id,
    SubscriptionSchedule.origin,
    SubscriptionSchedule.end_behavior,
    SchedulePhase.start_date,
    SchedulePhase.end_date,
    SchedulePhase.proration_behavior,
    SchedulePhaseItem.id.label("item_id"),
    SchedulePhaseItem.quantity,
    SchedulePhaseItem.price_id,
)


class PhaseRow(Protocol):
    """A row with the columns of PHASE_COLUMNS."""

    phase_id: str
    subscription_id: str
    origin: str
    end_behavior: str
    start_date: int
    end_date: int | None
    proration_behavior: str
    item_id: str
    quantity: int | None
    price_id: str


_PHASES = (
    select(*PHASE_COLUMNS)
    .join(SubscriptionSchedule, SubscriptionSchedule.id == SchedulePhase.schedule_id)
    .join(SchedulePhaseItem, SchedulePhaseItem.phase_id == SchedulePhase.id)
    .join(Subscription, Subscription.id == SubscriptionSchedule.subscription_id)
    .where(
        SubscriptionSchedule.customer_id == bindparam("customer_id"),
        SubscriptionSchedule.status == "active",
        # A phase that is overdue because the worker was not running still decides what will be billed.
        or_(SchedulePhase.start_date > AT, SchedulePhase.start_date >= Subscription.step_at),
    )
)


def load_phases(reader: Reader, customer_id: str, at: int) -> dict[str, list[PlannedPhase]]:
    """The phases of the customer's subscriptions that have not begun, by subscription id."""
    found = cast(Sequence[PhaseRow], reader.execute(_PHASES, {"customer_id": customer_id, "at": at}).all())
    rows = sorted(found, key=lambda row: (row.start_date, row.phase_id, row.item_id))
    plan_of = plans.load_plans(reader, None, (row.price_id for row in rows)) if rows else {}
    return phases_of((row, plan_of[row.price_id]) for row in rows)


def phases_of(rows: Iterable[tuple[PhaseRow, PricedPlan]]) -> dict[str, list[PlannedPhase]]:
    """The phases by subscription id, in order of their start, from pairs of a row and its item's plan."""
    phases: dict[str, list[PlannedPhase]] = defaultdict(list)
    last: dict[str, PhaseRow] = {}
    for _, group in groupby(rows, key=lambda pair: pair[0].phase_id):
        pairs = list(group)
        first = pairs[0][0]
        items = tuple((plan, row.quantity) for row, plan in pairs)
        phase = PlannedPhase(first.start_date, items, first.origin == "portal", first.proration_behavior)
        phases[first.subscription_id].append(phase)
        last[first.subscription_id] = first
    for subscription_id, row in last.items():
        if row.end_date is not None and row.end_behavior == "cancel":
            phases[subscription_id][-1] = replace(phases[subscription_id][-1], cancels_at=row.end_date)
    return phases
