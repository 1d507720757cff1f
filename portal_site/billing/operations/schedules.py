"""Changes that wait for the end of a period: the schedule that the portal makes for one, and taking it back."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from portal_site.billing.errors import StateChanged
from portal_site.billing.models import Event, SchedulePhase, SchedulePhaseItem, Subscription, SubscriptionSchedule
from portal_site.billing.operations import lookups, pending_updates
from portal_site.billing.rules.plan_change import Quote
from portal_site.billing.words import N_
from portal_site.db import new_id, transaction


def undo_planned_change(customer_id: str, subscription_id: str, at: int) -> None:
    """Take back a change that the customer planned for the end of the period. Raises StateChanged when there is none."""
    with transaction() as session:
        lookups.locked_customer(session, customer_id)
        subscription = lookups.own(session, Subscription, customer_id, subscription_id, lock=True)
        if not pending_updates.release(session, subscription, at):
            raise StateChanged(N_("There is no change to take back any more."), "no_schedule")


def plan(session: Session, subscription: Subscription, quote: Quote, at: int) -> None:
    """Schedule the change: today's items until the end of the period, the new ones from then on."""
    schedule = SubscriptionSchedule(
        id=new_id("sub_sched"), account_id=subscription.account_id, customer_id=subscription.customer_id,
        livemode=subscription.livemode, subscription_id=subscription.id, created=at, status="active", origin="portal",
    )  # fmt: skip
    session.add(schedule)
    session.flush()
    items = pending_updates.items_of(session, subscription)
    now = [(item.price_id, item.quantity) for item in items]
    then = [(item.offer.price_id, item.quantity) for item in quote.items]
    _phase(session, schedule, at, quote.effective_at, now)
    _phase(session, schedule, quote.effective_at, None, then)
    pending_updates.reschedule(session, subscription, items, at)
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
