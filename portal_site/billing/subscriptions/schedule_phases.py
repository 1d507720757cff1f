"""Applies subscription schedules: when a phase begins, and when the last one is over.

These are steps of a billing run, inside its transaction. A phase changes prices and quantities, which are billed like any
others: a period that begins by its renewal, and the rest of a running period by the quote that a customer would get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from portal_site.billing.events.emission import emit
from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.models import (
    Customer,
    Discount,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.resources.subscriptions import current_phase
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.plan_change import ItemChange, ProrationPolicy
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot, match_phase_items
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts, pending_updates, subscription_items
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.ids import new_id


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
    phases = step.session.scalars(select(SchedulePhase).where(*of_schedule).order_by(SchedulePhase.start_date)).all()
    begun = [phase for phase in phases if phase.start_date <= step.moment]
    end = phases[-1].end_date if phases else None
    cancels = end is not None and schedule.end_behavior == "cancel"
    over = len(begun) == len(phases) and (end is None or end <= step.moment)
    if len(begun) == len(phases) and end is not None and cancels and not over:
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
        """Give the subscription the phase's prices and quantities. Returns whether anything changed."""
        session, subscription = self.session, self.subscription
        of_phase = SchedulePhaseItem.phase_id == phase.id, SchedulePhaseItem.account_id == phase.account_id
        phase_items = session.scalars(select(SchedulePhaseItem).where(*of_phase).order_by(SchedulePhaseItem.id)).all()
        items = subscription_items.load_items(session, subscription)
        pairs = _matched(items, list(phase_items))
        removed = [item for item in items if not any(item is kept for kept, _ in pairs)]
        if not removed and all(item and _is_same(item, new) for item, new in pairs):
            return False
        if subscription.pending_update:  # it was confirmed for the items that are replaced now
            pending_updates.discard(session, self.customer, subscription, self.at, expired=True)
        prorated = phase.proration_behavior != "none" and self._can_be_prorated()
        inside = {item.id: new for item, new in pairs if item and prorated and self._is_inside_period(item, new)}
        with subscription_update(session, subscription, self.at):
            self._credit(removed if prorated else ())
            for item, new in pairs:
                if item is None:
                    session.add(_new_item(subscription, new, self.moment))
                elif item.id not in inside:
                    item.price_id, item.quantity = new.price_id, new.quantity
            self._remove(removed)
            if inside:
                self._change_inside_period(inside, phase.proration_behavior)
            elif removed and prorated and phase.proration_behavior == "always_invoice":
                self._bill_pending_lines()
        return True

    def set_cancel_at(self, moment: int) -> None:
        """Set `cancel_at` to the schedule's end unless it is earlier, so that pages show it and nothing is billed beyond it."""
        if self.subscription.cancel_at is not None and self.subscription.cancel_at <= moment:
            return
        with subscription_update(self.session, self.subscription, self.at):
            self.subscription.cancel_at = moment

    def _can_be_prorated(self) -> bool:
        """Whether changes are prorated: not if the subscription is paused or has unpaid invoices, as its time is not paid for."""
        subscription = self.subscription
        if not SubscriptionStatus(subscription.status).renews or subscription.pause_collection:
            return False
        snapshot = self._snapshot()
        return not (snapshot.has_open_invoice or snapshot.has_uncollected_invoice)

    def _snapshot(self) -> SubscriptionSnapshot:
        return snapshots.load_for_quote(self.session, self.subscription, self.customer, self.moment)

    def _is_inside_period(self, item: SubscriptionItem, new: SchedulePhaseItem) -> bool:
        """Whether the change takes effect inside the item's current period."""
        return item.current_period_end > self.moment and not _is_same(item, new)

    def _credit(self, removed: Sequence[SubscriptionItem]) -> None:
        """Credit the paid, unused time of removed items as pending lines."""
        if removed:
            writer = InvoiceWriter(self.session)
            lines = plan_change.proration_credits(self._snapshot(), {item.id for item in removed}, self.moment)
            writer.add_pending(self.subscription, lines, self.at)
            writer.write()

    def _bill_pending_lines(self) -> None:
        """Invoice the pending lines now, unless they are a credit that the balance, in another currency, cannot take."""
        snapshot = self._snapshot()
        bill = snapshot.invoice_for(snapshot.pending_lines)
        if bill.lines and not (bill.total < 0 and snapshot.balance_in_other_currency):
            writer = InvoiceWriter(self.session)
            add_open_invoice(writer, self.customer, self.subscription, bill, self.at)
            writer.write()

    def _remove(self, removed: Sequence[SubscriptionItem]) -> None:
        """Remove items, and end their discounts. The rows of the discounts stay, because invoices refer to them."""
        item_ids = [item.id for item in removed]
        on_items = Discount.customer_id == self.customer.id, Discount.subscription_item_id.in_(item_ids)
        discounts = self.session.scalars(select(Discount).where(*on_items)).all() if item_ids else ()
        applied_discounts.end_discounts(
            self.session, self.subscription, [discount.id for discount in discounts], self.moment
        )
        for discount in discounts:
            discount.subscription_item_id = None
        self.session.flush()
        for item in removed:
            self.session.delete(item)
        self.session.flush()

    def _change_inside_period(self, inside: Mapping[str, SchedulePhaseItem], proration_behavior: str) -> None:
        """Change items inside their period, with proration. No customer confirms it, so it applies before it is paid."""
        session, subscription = self.session, self.subscription
        offers = plans.load_plans(session, subscription.account_id, [new.price_id for new in inside.values()])
        changes = {item_id: ItemChange(offers[new.price_id], new.quantity) for item_id, new in inside.items()}
        policy = ProrationPolicy(proration_behavior, trial_update_behavior="continue_trial")
        snapshot = self._snapshot()
        quote = plan_change.quote(snapshot, changes, policy, self.moment)
        if quote.invoice.total < 0 and snapshot.balance_in_other_currency:
            # The balance cannot take the credit, so it stays pending.
            new_lines = tuple(line for line in quote.invoice.lines if line.id is None)
            quote = replace(quote, invoice=snapshot.invoice_for(()), deferred_lines=new_lines)
        invoice_id = pending_updates.bill_change(session, self.customer, subscription, quote, self.at)
        applied_discounts.end_discounts(session, subscription, sorted(quote.consumed_discounts), self.moment)
        update = pending_updates.to_pending_update(quote, None, invoice_id, self.at)
        items = subscription_items.load_items(session, subscription)
        pending_updates.make_change(session, subscription, items, update, self.at)


def _is_same(item: SubscriptionItem, new: SchedulePhaseItem) -> bool:
    return (item.price_id, item.quantity) == (new.price_id, new.quantity)


def _matched(
    items: list[SubscriptionItem], phase_items: list[SchedulePhaseItem]
) -> list[tuple[SubscriptionItem | None, SchedulePhaseItem]]:
    replaced = match_phase_items([item.price_id for item in items], [new.price_id for new in phase_items])
    return [(None if index is None else items[index], new) for index, new in zip(replaced, phase_items, strict=True)]


def _new_item(subscription: Subscription, new: SchedulePhaseItem, moment: int) -> SubscriptionItem:
    """An item that a phase adds. Its first period starts and is billed with the phase; in a trial it is free until the end."""
    first_end = subscription.trial_end if subscription.status == SubscriptionStatus.TRIALING else moment
    return SubscriptionItem(
        id=new_id("si"), account_id=subscription.account_id, subscription_id=subscription.id, price_id=new.price_id,
        quantity=new.quantity, created=moment, current_period_start=moment, current_period_end=first_end,
    )  # fmt: skip
