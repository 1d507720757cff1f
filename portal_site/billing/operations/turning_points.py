"""What happens to a subscription at an instant that was set before: a phase begins, a pause or the subscription itself ends.

Not verbs: a billing run takes these steps, inside its own transaction, before it renews what goes on.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from portal_site.billing.models import (
    Customer,
    Event,
    Invoice,
    PlanChange,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.operations import agreements, lookups, pending_updates
from portal_site.billing.operations.books import Books
from portal_site.billing.rules import pauses, periods, plan_change
from portal_site.billing.rules.lifecycle import ChangeOutcome, InvoiceStatus, SubscriptionStatus
from portal_site.billing.rules.plan_change import PENDING_LIFE, Policy, Wish
from portal_site.db import new_id

PATIENCE = 60  # seconds until a change that is being paid at this moment is looked at again


def is_special(row: Any) -> bool:
    """Whether any of these steps may be due for a subscription's row; most only ever renew."""
    leaving = row.cancel_at is not None or row.cancel_at_period_end
    paused = row.pause_collection or row.status == SubscriptionStatus.PAUSED
    beginning = row.status == SubscriptionStatus.INCOMPLETE
    return bool(row.pending_update or paused or leaving or beginning or row.schedule_id)


def pass_by(session: Session, customer: Customer, subscription_id: str, at: int) -> bool:
    """Take the steps of one subscription that are due at `at`. False: it has to be looked at later, nothing is billed yet."""
    subscription = lookups.own(session, Subscription, customer.id, subscription_id, lock=True)
    moment = subscription.due_at or at
    if subscription.status == SubscriptionStatus.INCOMPLETE:
        return _give_up_beginning(session, customer, subscription, moment, at)
    waiting = subscription.pending_update
    if waiting:
        if lookups.payment_under_way(session, customer.id, waiting.get("invoice")):
            subscription.due_at = at + PATIENCE
            return False
        if waiting.get("expires_at", 0) <= at or _period_end(session, subscription) <= moment:
            pending_updates.drop(session, customer, subscription, at, expired=True)
    resumes_at = pauses.resumes_at(subscription.status_details, subscription.pause_collection)
    if resumes_at is not None and resumes_at <= moment:
        _end_pause(session, subscription, resumes_at, at)
    if subscription.status != SubscriptionStatus.PAUSED:
        _advance_schedules(session, subscription, moment, at)
    if _ends(session, subscription, moment):
        end(session, subscription, moment, at)
    session.flush()
    return True


def _give_up_beginning(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> bool:
    """A subscription whose first payment never came is over before it began, unless that is being paid at this moment."""
    if subscription.created + PENDING_LIFE > moment:
        return True
    mine = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    unpaid = session.scalars(select(Invoice).where(*mine, Invoice.status == InvoiceStatus.OPEN)).all()
    if any(lookups.payment_under_way(session, customer.id, invoice.id) for invoice in unpaid):
        subscription.due_at = at + PATIENCE
        return False
    expire(session, customer, subscription, moment, at)
    return True


def expire(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> None:
    """End a subscription that waits for its first payment: it never began, and nothing of it is owed."""
    mine = Invoice.customer_id == customer.id, Invoice.subscription_id == subscription.id
    for invoice in session.scalars(select(Invoice).where(*mine, Invoice.status == InvoiceStatus.OPEN)).all():
        pending_updates.void(session, customer, invoice, at)
    previous = {"status": subscription.status}
    subscription.status = SubscriptionStatus.INCOMPLETE.become(SubscriptionStatus.INCOMPLETE_EXPIRED)
    subscription.ended_at = moment
    changes = PlanChange.customer_id == customer.id, PlanChange.subscription_id == subscription.id
    session.execute(update(PlanChange).where(*changes).values(outcome=ChangeOutcome.EXPIRED))
    session.flush()
    session.add(Event.of("customer.subscription.updated", subscription, at, previous))


def _end_pause(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """A pause is over. One in which nothing was delivered is followed by periods from now on; the run bills the first."""
    if subscription.status != SubscriptionStatus.PAUSED:
        told = {"pause_collection": subscription.pause_collection}
        subscription.pause_collection = None
        session.flush()
        session.add(Event.of("customer.subscription.updated", subscription, at, told))
        return
    items = pending_updates.items_of(session, subscription)
    subscription.billing_cycle_anchor = moment
    begin_anew(items, moment)
    offers = agreements.offers(session, subscription.account_id, [item.price_id for item in items])
    lengths = [(offer.interval, offer.interval_count) for offer in offers.values()]
    first_end = min(periods.period_after(moment, interval, count, moment)[1] for interval, count in lengths)
    pending_updates.go_on(session, subscription, first_end, at)


def begin_anew(items: Sequence[SubscriptionItem], moment: int) -> None:
    """Nothing counts of these items' periods: the next ones begin at `moment`, and a billing run bills them."""
    for item in items:
        item.current_period_start = item.current_period_end = moment


def _period_end(session: Session, subscription: Subscription) -> int:
    return min(item.current_period_end for item in pending_updates.items_of(session, subscription))


def _ends(session: Session, subscription: Subscription, moment: int) -> bool:
    if SubscriptionStatus(subscription.status).ended:
        return False
    if subscription.cancel_at is not None:
        return subscription.cancel_at <= moment
    return subscription.cancel_at_period_end and _period_end(session, subscription) <= moment


def end(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    """End the subscription: nothing renews any more."""
    previous = {"status": subscription.status}
    subscription.status = SubscriptionStatus(subscription.status).become(SubscriptionStatus.CANCELED)
    subscription.ended_at = moment
    subscription.canceled_at = subscription.canceled_at or moment
    session.flush()
    _cancel_schedules(session, subscription, at)
    _stop_collecting(session, subscription, at)
    items = pending_updates.item_list(pending_updates.items_of(session, subscription))
    session.add(Event.of("customer.subscription.deleted", subscription, at, previous, items=items))


def _cancel_schedules(session: Session, subscription: Subscription, at: int) -> None:
    """What was planned for a subscription that is over will not come."""
    for schedule in session.scalars(select(SubscriptionSchedule).where(*_running(subscription))).all():
        schedule.status, schedule.canceled_at = "canceled", at
        session.flush()
        session.add(Event.of("subscription_schedule.canceled", schedule, at))


def _stop_collecting(session: Session, subscription: Subscription, at: int) -> None:
    """What is open stays owed, and can be paid; nobody's card is tried for it any more."""
    still_open = (
        Invoice.customer_id == subscription.customer_id,
        Invoice.subscription_id == subscription.id,
        Invoice.status == InvoiceStatus.OPEN,
        Invoice.created < at,
    )
    for invoice in session.scalars(select(Invoice).where(*still_open)).all():
        invoice.next_payment_attempt = None


def _running(subscription: Subscription) -> tuple[ColumnElement[bool], ...]:
    return (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
    )


def _advance_schedules(session: Session, subscription: Subscription, moment: int, at: int) -> None:
    for schedule in session.scalars(select(SubscriptionSchedule).where(*_running(subscription))).all():
        of_it = SchedulePhase.schedule_id == schedule.id, SchedulePhase.account_id == schedule.account_id
        phases = session.scalars(select(SchedulePhase).where(*of_it).order_by(SchedulePhase.start_date)).all()
        begun = [phase for phase in phases if phase.start_date <= moment]
        if begun and _begin_phase(session, subscription, begun[-1], moment, at):
            phase, before = begun[-1].as_phase(), begun[-2].as_phase() if len(begun) > 1 else None
            told = Event.of(
                "subscription_schedule.updated", schedule, at, {"current_phase": before}, current_phase=phase
            )
            session.add(told)
        last = phases[-1] if phases else None
        if last is None or (begun and begun[-1] is last and (last.end_date is None or last.end_date <= moment)):
            _finish(session, subscription, schedule, last, moment, at)


def _finish(
    session: Session,
    subscription: Subscription,
    schedule: SubscriptionSchedule,
    last: SchedulePhase | None,
    moment: int,
    at: int,
) -> None:
    """The schedule has nothing more to do: it lets go of the subscription, or ends it."""
    if last is not None and last.end_date is not None and schedule.end_behavior == "cancel":
        schedule.status, schedule.completed_at = "completed", at
        session.flush()
        session.add(Event.of("subscription_schedule.completed", schedule, at))
        end(session, subscription, moment, at)
        return
    schedule.status, schedule.released_at = "released", at
    session.flush()
    session.add(Event.of("subscription_schedule.released", schedule, at))


def _begin_phase(session: Session, subscription: Subscription, phase: SchedulePhase, moment: int, at: int) -> bool:
    """Give the subscription the phase's prices and quantities; whether that changed anything."""
    of_it = SchedulePhaseItem.phase_id == phase.id, SchedulePhaseItem.account_id == phase.account_id
    wanted = session.scalars(select(SchedulePhaseItem).where(*of_it).order_by(SchedulePhaseItem.id)).all()
    items = pending_updates.items_of(session, subscription)
    pairs = _matched(items, list(wanted))
    if all(item and (item.price_id, item.quantity) == (new.price_id, new.quantity) for item, new in pairs):
        return False
    previous = pending_updates.item_list(items)
    if phase.proration_behavior != "none" and all(item for item, _ in pairs):
        _prorate(session, subscription, [(item.id, new) for item, new in pairs if item], moment)
    for item, new in pairs:
        if item is not None:
            item.price_id, item.quantity = new.price_id, new.quantity
        else:
            session.add(_fresh(subscription, new, moment))
    kept = {item.id for item, _ in pairs if item}
    for item in items:
        if item.id not in kept:
            session.delete(item)
    session.flush()
    now = pending_updates.item_list(pending_updates.items_of(session, subscription))
    session.add(Event.of("customer.subscription.updated", subscription, at, {"items": previous}, items=now))
    return True


def _matched(
    items: list[SubscriptionItem], wanted: list[SchedulePhaseItem]
) -> list[tuple[SubscriptionItem | None, SchedulePhaseItem]]:
    """Each wanted item with the one that it replaces: that of the same price, else the next that is free."""
    free = list(items)
    pairs: list[tuple[SubscriptionItem | None, SchedulePhaseItem]] = []
    for new in wanted:
        same = next((item for item in free if item.price_id == new.price_id), None)
        if same is not None:
            free.remove(same)
        pairs.append((same, new))
    return [(item or (free.pop(0) if free else None), new) for item, new in pairs]


def _fresh(subscription: Subscription, new: SchedulePhaseItem, moment: int) -> SubscriptionItem:
    """An item that a phase adds: its first period begins, and is billed, with the phase."""
    return SubscriptionItem(
        id=new_id("si"), account_id=subscription.account_id, subscription_id=subscription.id, price_id=new.price_id,
        quantity=new.quantity, created=moment, current_period_start=moment, current_period_end=moment,
    )  # fmt: skip


def _prorate(
    session: Session,
    subscription: Subscription,
    pairs: list[tuple[str, SchedulePhaseItem]],
    moment: int,
) -> None:
    """Credit and charge for a phase that begins inside a period; the next invoice takes it."""
    customer = lookups.locked_customer(session, subscription.customer_id)
    loaded = agreements.load(session, [subscription], {customer.id: customer}, moment)[subscription.id]
    agreement = agreements.with_debits(session, loaded, moment)
    if agreement.period_end <= moment:
        return
    offers = agreements.offers(session, subscription.account_id, [new.price_id for _, new in pairs])
    wishes = {item_id: Wish(offers[new.price_id], new.quantity or 0) for item_id, new in pairs}
    quote = plan_change.quote(agreement, wishes, Policy("create_prorations"), moment)
    books = Books(session)
    books.pending(subscription, [line for line in (*quote.bill.lines, *quote.waiting) if line.id is None], moment)
    books.write()
