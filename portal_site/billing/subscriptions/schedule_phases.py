"""Applies subscription schedules: when a phase begins, and when the last one is over.

These are steps of a billing run, inside its transaction. A phase changes prices and quantities, which are billed like any
others: a period that begins by its renewal, and the rest of a running period by the quote that a customer would get.
"""

from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.models import (
    Customer,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionSchedule,
)
from portal_site.billing.resources.subscriptions import current_phase
from portal_site.billing.rules.subscriptions import phases, plan_change
from portal_site.billing.rules.subscriptions.item_changes import ItemDifference
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.snapshot import PlannedPhase, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts, pending_updates, subscription_items
from portal_site.billing.subscriptions.subscription_update import subscription_update


def phase_has_begun(session: Session, subscription: Subscription, since: int, moment: int) -> bool:
    """Whether a phase starts after `since` and not after `moment`."""
    active = _active_schedules(subscription)
    query = select(SchedulePhase.id).join(SubscriptionSchedule, SubscriptionSchedule.id == SchedulePhase.schedule_id)
    begun = SchedulePhase.start_date > since, SchedulePhase.start_date <= moment
    return session.scalar(query.where(*active, *begun).limit(1)) is not None


def apply_due_phases(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> bool:
    """Apply the phases that are due at `moment`. Returns whether a schedule ends the subscription."""
    step = _PhaseTransition(session, customer, subscription, moment, at)
    schedules = session.scalars(select(SubscriptionSchedule).where(*_active_schedules(subscription))).all()
    return any(_apply_schedule(step, schedule) for schedule in schedules)


def _apply_schedule(step: "_PhaseTransition", schedule: SubscriptionSchedule) -> bool:
    if step.subscription.status == SubscriptionStatus.PAUSED and schedule.origin == "portal":
        return False  # a change planned by the customer is postponed to the end of the pause
    of_schedule = SchedulePhase.schedule_id == schedule.id, SchedulePhase.account_id == schedule.account_id
    rows = step.session.scalars(select(SchedulePhase).where(*of_schedule).order_by(SchedulePhase.start_date)).all()
    begun = [phase for phase in rows if phase.start_date <= step.moment]
    end = rows[-1].end_date if rows else None
    cancels = end is not None and schedule.end_behavior == "cancel"
    over = len(begun) == len(rows) and (end is None or end <= step.moment)
    if len(begun) == len(rows) and end is not None and cancels and not over:
        step.set_cancel_at(end)  # first, so that nothing is billed beyond it
    if begun and not (over and end is not None) and step.begin(begun[-1]):
        phase, before = current_phase(begun[-1]), current_phase(begun[-2]) if len(begun) > 1 else None
        previous = {"current_phase": before}
        emit(step.session, "subscription_schedule.updated", schedule, step.at, previous=previous, current_phase=phase)
    if over:
        _finish(step.session, schedule, cancels, step.at)
    return over and cancels


def cancel_schedules(session: Session, subscription: Subscription, at: int) -> None:
    """Cancel the schedules of a subscription that has ended."""
    for schedule in session.scalars(select(SubscriptionSchedule).where(*_active_schedules(subscription))).all():
        schedule.status, schedule.canceled_at = "canceled", at
        session.flush()
        emit(session, "subscription_schedule.canceled", schedule, at)


def _active_schedules(subscription: Subscription) -> tuple[ColumnElement[bool], ...]:
    return (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
    )


def _finish(session: Session, schedule: SubscriptionSchedule, cancels: bool, at: int) -> None:
    """Complete a schedule that cancels its subscription, or release one whose subscription continues."""
    if cancels:
        schedule.status, schedule.completed_at = "completed", at
    else:
        schedule.status, schedule.released_at = "released", at
    session.flush()
    emit(session, f"subscription_schedule.{schedule.status}", schedule, at)


@dataclass(frozen=True)
class _PhaseTransition:
    """The transition of a subscription to a phase: planned for `moment`, applied at `at`, which may be later."""

    session: Session
    customer: Customer
    subscription: Subscription
    moment: int
    at: int

    def begin(self, phase: SchedulePhase) -> bool:
        """Give the subscription the phase's items. Returns whether anything changed."""
        session, subscription = self.session, self.subscription
        planned = self._load_phase(phase)
        if not self._difference(planned, self._snapshot()):
            return False
        if subscription.pending_update:  # it was confirmed for the items that are replaced now
            pending_updates.discard(session, self.customer, subscription, self.at, expired=True)
        snapshot = self._snapshot()
        terms = phases.terms(snapshot, phase.proration_behavior)
        quote = self._billable(
            plan_change.quote(terms[0], planned.target(snapshot.items), terms[1], self.moment), snapshot
        )
        with subscription_update(session, subscription, self.at):
            # No customer confirms it, so it applies before it is paid.
            invoice_id = pending_updates.bill_change(session, self.customer, subscription, quote, self.at)
            applied_discounts.end_discounts(session, subscription, quote.consumed_discounts, self.moment)
            update = replace(pending_updates.pending_update(snapshot, quote, None, self.at), invoice_id=invoice_id)
            subscription_items.apply_items(session, subscription, update, self.moment)
            subscription.billing_cycle_anchor = update.billing_cycle_anchor
        return True

    def _load_phase(self, phase: SchedulePhase) -> PlannedPhase:
        """The phase as the rules see it."""
        of_phase = SchedulePhaseItem.phase_id == phase.id, SchedulePhaseItem.account_id == phase.account_id
        rows = self.session.scalars(select(SchedulePhaseItem).where(*of_phase).order_by(SchedulePhaseItem.id)).all()
        plan_of = plans.load_plans(self.session, phase.account_id, [row.price_id for row in rows])
        return PlannedPhase(phase.start_date, tuple((plan_of[row.price_id], row.quantity) for row in rows))

    def _difference(self, planned: PlannedPhase, snapshot: SubscriptionSnapshot) -> ItemDifference:
        return ItemDifference.between(snapshot.items, planned.target(snapshot.items))

    def _snapshot(self) -> SubscriptionSnapshot:
        return snapshots.load_for_quote(self.session, self.subscription, self.customer, self.moment)

    def _billable(self, quote: Quote, snapshot: SubscriptionSnapshot) -> Quote:
        """The quote; with its credit as pending lines if the balance, in another currency, cannot take it."""
        if quote.invoice.total >= 0 or not snapshot.balance_in_other_currency:
            return quote
        new_lines = tuple(line for line in quote.invoice.lines if line.id is None)
        return replace(
            quote, invoice=snapshot.invoice_for(()), deferred_lines=new_lines, consumed_discounts=frozenset()
        )

    def set_cancel_at(self, moment: int) -> None:
        """Set `cancel_at` to the schedule's end unless it is earlier, so that pages show it and nothing is billed beyond it."""
        if self.subscription.cancel_at is not None and self.subscription.cancel_at <= moment:
            return
        with subscription_update(self.session, self.subscription, self.at):
            self.subscription.cancel_at = moment
