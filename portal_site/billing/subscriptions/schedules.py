"""Portal schedules: planning a customer's change for the end of the period, and undoing it."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal_site.billing.errors import StateChanged
from portal_site.billing.events.emission import emit
from portal_site.billing.loading import ownership
from portal_site.billing.models import SchedulePhase, SchedulePhaseItem, Subscription, SubscriptionSchedule
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.billing.translation_marks import N_
from portal_site.db.transactions import transaction
from portal_site.ids import new_id


def undo_planned_change(customer_id: str, subscription_id: str, at: int) -> None:
    """Undo a change that the customer planned for the end of the period, in a transaction of its own.

    Raises NotFound, and StateChanged if there is no such change.
    """
    with transaction() as session:
        ownership.lock_customer(session, customer_id)
        subscription = ownership.get_owned(session, Subscription, customer_id, subscription_id, lock=True)
        if not release_portal_schedules(session, subscription, at):
            raise StateChanged(N_("There is no change left to undo."), "no_schedule")


def plan(session: Session, subscription: Subscription, quote: Quote, at: int) -> None:
    """Schedule the change: the current items until the end of the period, the new ones from then on."""
    schedule = SubscriptionSchedule(
        id=new_id("sub_sched"), account_id=subscription.account_id, customer_id=subscription.customer_id,
        livemode=subscription.livemode, subscription_id=subscription.id, created=at, status="active", origin="portal",
    )  # fmt: skip
    with subscription_update(session, subscription, at) as update:
        update.note("schedule", None, schedule.id)
        session.add(schedule)
        session.flush()
        current_items = [(item.price_id, item.quantity) for item in update.items]
        new_items = [(item.offer.price_id, item.quantity) for item in quote.items]
        _add_phase(session, schedule, at, quote.effective_at, current_items)
        _add_phase(session, schedule, quote.effective_at, None, new_items)
        emit(session, "subscription_schedule.created", schedule, at)


def _add_phase(
    session: Session,
    schedule: SubscriptionSchedule,
    start: int,
    end: int | None,
    items: Sequence[tuple[str, int | None]],
) -> None:
    owner = {"account_id": schedule.account_id}
    phase = SchedulePhase(id=new_id("phase"), schedule_id=schedule.id, start_date=start, end_date=end, **owner)
    session.add(phase)
    session.flush()
    for position, (price_id, quantity) in enumerate(items):
        item_id = f"phitem_{phase.id}_{position:02}"  # ids sort in the order of the items that they will replace
        row = SchedulePhaseItem(id=item_id, phase_id=phase.id, price_id=price_id, quantity=quantity, **owner)
        session.add(row)


def release_portal_schedules(session: Session, subscription: Subscription, at: int) -> bool:
    """Release the subscription's active schedules that the portal made. Returns whether there was one."""
    is_planned = (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
        SubscriptionSchedule.origin == "portal",
    )
    schedules = session.scalars(select(SubscriptionSchedule).where(*is_planned)).all()
    if not schedules:
        return False
    with subscription_update(session, subscription, at) as update:
        update.note("schedule", schedules[0].id, None)
        for schedule in schedules:
            schedule.status, schedule.released_at = "released", at
            session.flush()
            emit(session, "subscription_schedule.released", schedule, at)
    return True
