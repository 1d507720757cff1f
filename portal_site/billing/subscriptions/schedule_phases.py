"""What a schedule makes of its subscription: at the beginning of a phase, and once its last one is over.

Not verbs: steps of a billing run, inside its own transaction. Phases change what is bought; whatever is bought then is billed
as any other: a period that begins by its renewal, the rest of one that runs by the quote that a customer would get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from portal_site.billing.invoicing.invoice_writer import InvoiceWriter, add_open_invoice
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.models import (
    Customer,
    Discount,
    Event,
    SchedulePhase,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.plan_change import ItemChange, ProrationPolicy
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.subscriptions import applied_discounts, pending_updates, subscription_items
from portal_site.billing.subscriptions.subscription_update import subscription_update
from portal_site.ids import new_id


def phase_has_begun(session: Session, subscription: Subscription, since: int, moment: int) -> bool:
    """Whether a phase began in that time, the first instant left out."""
    mine = _active_schedules(subscription)
    query = select(SchedulePhase.id).join(SubscriptionSchedule, SubscriptionSchedule.id == SchedulePhase.schedule_id)
    begun = SchedulePhase.start_date > since, SchedulePhase.start_date <= moment
    return session.scalar(query.where(*mine, *begun).limit(1)) is not None


def apply_due_phases(session: Session, customer: Customer, subscription: Subscription, moment: int, at: int) -> bool:
    """Take the steps of its schedules that are due at `moment`; whether one of them ends the subscription."""
    step = _PhaseTransition(session, customer, subscription, moment, at)
    schedules = session.scalars(select(SubscriptionSchedule).where(*_active_schedules(subscription))).all()
    return any(_apply_schedule(step, schedule) for schedule in schedules)


def _apply_schedule(step: "_PhaseTransition", schedule: SubscriptionSchedule) -> bool:
    if step.subscription.status == SubscriptionStatus.PAUSED and schedule.origin == "portal":
        return False  # what the customer planned waits for the end of the pause
    of_it = SchedulePhase.schedule_id == schedule.id, SchedulePhase.account_id == schedule.account_id
    phases = step.session.scalars(select(SchedulePhase).where(*of_it).order_by(SchedulePhase.start_date)).all()
    begun = [phase for phase in phases if phase.start_date <= step.moment]
    end = phases[-1].end_date if phases else None
    cancels = end is not None and schedule.end_behavior == "cancel"
    over = len(begun) == len(phases) and (end is None or end <= step.moment)
    if len(begun) == len(phases) and end is not None and cancels and not over:
        step.note_end(end)  # before anything is billed
    if begun and not (over and end is not None) and step.begin(begun[-1]):
        phase, before = begun[-1].as_phase(), begun[-2].as_phase() if len(begun) > 1 else None
        previous = {"current_phase": before}
        step.session.add(Event.of("subscription_schedule.updated", schedule, step.at, previous, current_phase=phase))
    if over:
        _finish(step.session, schedule, cancels, step.at)
    return over and cancels


def cancel_schedules(session: Session, subscription: Subscription, at: int) -> None:
    """What was planned for a subscription that is over will not come."""
    for schedule in session.scalars(select(SubscriptionSchedule).where(*_active_schedules(subscription))).all():
        schedule.status, schedule.canceled_at = "canceled", at
        session.flush()
        session.add(Event.of("subscription_schedule.canceled", schedule, at))


def _active_schedules(subscription: Subscription) -> tuple[ColumnElement[bool], ...]:
    return (
        SubscriptionSchedule.customer_id == subscription.customer_id,
        SubscriptionSchedule.subscription_id == subscription.id,
        SubscriptionSchedule.status == "active",
    )


def _finish(session: Session, schedule: SubscriptionSchedule, cancels: bool, at: int) -> None:
    """The schedule has nothing more to do: its subscription ends with it, or it lets go of that."""
    if cancels:
        schedule.status, schedule.completed_at = "completed", at
    else:
        schedule.status, schedule.released_at = "released", at
    session.flush()
    session.add(Event.of(f"subscription_schedule.{schedule.status}", schedule, at))


@dataclass(frozen=True)
class _PhaseTransition:
    """A subscription at an instant that was planned, `moment`; it is `at` by the time somebody comes to it."""

    session: Session
    customer: Customer
    subscription: Subscription
    moment: int
    at: int

    def begin(self, phase: SchedulePhase) -> bool:
        """Give the subscription the phase's prices and quantities; whether that changed anything."""
        session, subscription = self.session, self.subscription
        of_it = SchedulePhaseItem.phase_id == phase.id, SchedulePhaseItem.account_id == phase.account_id
        wanted = session.scalars(select(SchedulePhaseItem).where(*of_it).order_by(SchedulePhaseItem.id)).all()
        items = subscription_items.load_items(session, subscription)
        pairs = _matched(items, list(wanted))
        gone = [item for item in items if not any(item is kept for kept, _ in pairs)]
        if not gone and all(item and _is(item, new) for item, new in pairs):
            return False
        if subscription.pending_update:  # agreed on what is no more
            pending_updates.discard(session, self.customer, subscription, self.at, expired=True)
        prorated = phase.proration_behavior != "none" and self._can_be_prorated()
        inside = {item.id: new for item, new in pairs if item and prorated and self._cuts(item, new)}
        with subscription_update(session, subscription, self.at):
            self._credit(gone if prorated else ())
            for item, new in pairs:
                if item is None:
                    session.add(_fresh(subscription, new, self.moment))
                elif item.id not in inside:
                    item.price_id, item.quantity = new.price_id, new.quantity
            self._take_away(gone)
            if inside:
                self._change(inside, phase.proration_behavior)
            elif gone and prorated and phase.proration_behavior == "always_invoice":
                self._bill_what_waits()
        return True

    def note_end(self, moment: int) -> None:
        """The schedule ends the subscription then, if nothing does before: everybody can see it, and nothing is billed beyond."""
        if self.subscription.cancel_at is not None and self.subscription.cancel_at <= moment:
            return
        with subscription_update(self.session, self.subscription, self.at):
            self.subscription.cancel_at = moment

    def _can_be_prorated(self) -> bool:
        """Whether time is being paid for: of what is paused, or owed still, nothing is given back, and nothing added."""
        subscription = self.subscription
        if not SubscriptionStatus(subscription.status).renews or subscription.pause_collection:
            return False
        snapshot = self._snapshot()
        return not (snapshot.has_open_invoice or snapshot.has_uncollected_invoice)

    def _snapshot(self) -> SubscriptionSnapshot:
        return snapshots.load_for_quote(self.session, self.subscription, self.customer, self.moment)

    def _cuts(self, item: SubscriptionItem, new: SchedulePhaseItem) -> bool:
        """Whether the change comes inside a period of the item."""
        return item.current_period_end > self.moment and not _is(item, new)

    def _credit(self, gone: Sequence[SubscriptionItem]) -> None:
        """What the phase takes away is given back with the next invoice, as far as it was paid and is not used."""
        if gone:
            writer = InvoiceWriter(self.session)
            lines = plan_change.proration_credits(self._snapshot(), {item.id for item in gone}, self.moment)
            writer.add_pending(self.subscription, lines, self.at)
            writer.write()

    def _bill_what_waits(self) -> None:
        snapshot = self._snapshot()
        bill = snapshot.invoice_for(snapshot.pending_lines)
        if bill.lines and not (bill.total < 0 and snapshot.balance_in_other_currency):
            writer = InvoiceWriter(self.session)
            add_open_invoice(writer, self.customer, self.subscription, bill, self.at)
            writer.write()

    def _take_away(self, gone: Sequence[SubscriptionItem]) -> None:
        """Remove items, and end the discounts on them: invoices go on naming those."""
        names = [item.id for item in gone]
        mine = Discount.customer_id == self.customer.id, Discount.subscription_item_id.in_(names)
        discounts = self.session.scalars(select(Discount).where(*mine)).all() if names else ()
        applied_discounts.end_discounts(
            self.session, self.subscription, [discount.id for discount in discounts], self.moment
        )
        for discount in discounts:
            discount.subscription_item_id = None
        self.session.flush()
        for item in gone:
            self.session.delete(item)
        self.session.flush()

    def _change(self, inside: Mapping[str, SchedulePhaseItem], proration_behavior: str) -> None:
        """Change items inside their period, with credit and charge. Nobody is asked, so what that costs is collected after."""
        session, subscription = self.session, self.subscription
        offers = plans.load_plans(session, subscription.account_id, [new.price_id for new in inside.values()])
        wishes = {name: ItemChange(offers[new.price_id], new.quantity) for name, new in inside.items()}
        policy = ProrationPolicy(proration_behavior, trial_update_behavior="continue_trial")
        snapshot = self._snapshot()
        quote = plan_change.quote(snapshot, wishes, policy, self.moment)
        if (
            quote.invoice.total < 0 and snapshot.balance_in_other_currency
        ):  # there is no balance to put that on: it waits
            new = tuple(line for line in quote.invoice.lines if line.id is None)
            quote = replace(quote, invoice=snapshot.invoice_for(()), deferred_lines=new)
        invoice_id = pending_updates.bill_change(session, self.customer, subscription, quote, self.at)
        applied_discounts.end_discounts(session, subscription, sorted(quote.consumed_discounts), self.moment)
        update = pending_updates.to_pending_update(quote, None, invoice_id, self.at)
        items = subscription_items.load_items(session, subscription)
        pending_updates.make_change(session, subscription, items, update, self.at)


def _is(item: SubscriptionItem, new: SchedulePhaseItem) -> bool:
    return (item.price_id, item.quantity) == (new.price_id, new.quantity)


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
    """An item that a phase adds: its first period begins, and is billed, with the phase; in a trial it is free until its end."""
    first_end = subscription.trial_end if subscription.status == SubscriptionStatus.TRIALING else moment
    return SubscriptionItem(
        id=new_id("si"), account_id=subscription.account_id, subscription_id=subscription.id, price_id=new.price_id,
        quantity=new.quantity, created=moment, current_period_start=moment, current_period_end=first_end,
    )  # fmt: skip
