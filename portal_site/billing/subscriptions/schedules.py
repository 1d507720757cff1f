"""Changes that wait for the end of a period: the schedule that the portal makes for one, and taking it back."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import StateChanged
from portal_site.billing.loading import ownership
from portal_site.billing.models import (
    Event,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.subscriptions import due_dates, subscription_items
from portal_site.billing.subscriptions.due_dates import recompute_due_at
from portal_site.billing.subscriptions.subscription_items import items_object, load_items
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id


def undo_planned_change(customer_id: str, subscription_id: str, at: int) -> None:
    """Take back a change that the customer planned for the end of the period. Raises StateChanged when there is none."""
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not release_portal_schedules(session, subscription, at):
            raise StateChanged(N_("There is no change left to undo."), "no_schedule")


def plan(session: Session, subscription: Subscription, quote: Quote, at: int) -> None:
    """Schedule the change: today's items until the end of the period, the new ones from then on."""
    schedule = SubscriptionSchedule(
        id=new_id("sub_sched"), account_id=subscription.account_id, customer_id=subscription.customer_id,
        livemode=subscription.livemode, subscription_id=subscription.id, created=at, status="active", origin="portal",
    )  # fmt: skip
    session.add(schedule)
    session.flush()
    items = subscription_items.load_items(session, subscription)
    now = [(item.price_id, item.quantity) for item in items]
    then = [(item.offer.price_id, item.quantity) for item in quote.items]
    _phase(session, schedule, at, quote.effective_at, now)
    _phase(session, schedule, quote.effective_at, None, then)
    due_dates.recompute_due_at(session, subscription, items, at)
    session.flush()
    session.add(Event.of("subscription_schedule.created", schedule, at))
    session.add(Event.of("customer.subscription.updated", subscription, at, {"schedule": None}, schedule=schedule.id))


def _phase(
    session: Session,
    schedule: SubscriptionSchedule,
    start: int,
    end: int | None,
    items: Sequence[tuple[str, int | None]],
) -> None:
    known = {"account_id": schedule.account_id}
    phase = SchedulePhase(id=new_id("phase"), schedule_id=schedule.id, start_date=start, end_date=end, **known)
    session.add(phase)
    session.flush()
    for position, (price_id, quantity) in enumerate(items):
        own_id = f"phitem_{phase.id}_{position:02}"  # in the order of the items that they will replace
        row = SchedulePhaseItem(id=own_id, phase_id=phase.id, price_id=price_id, quantity=quantity, **known)
        session.add(row)


def release_portal_schedules(session: Session, subscription: Subscription, at: int) -> bool:
    """Let go of the schedules that the portal made for it; whether there was one."""
    mine = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
        SubscriptionSchedule.origin == "portal",
    )
    schedules = session.scalars(select(SubscriptionSchedule).where(*mine)).all()
    for schedule in schedules:
        schedule.status, schedule.released_at = "released", at
        session.flush()
        session.add(Event.of("subscription_schedule.released", schedule, at))
    if schedules:
        items = load_items(session, subscription)
        recompute_due_at(session, subscription, items, at)
        previous, told = {"schedule": schedules[0].id}, items_object(items)
        session.add(Event.of("customer.subscription.updated", subscription, at, previous, schedule=None, items=told))
    return bool(schedules)
