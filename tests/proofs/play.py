"""One customer, a gateway that loses answers, a program that is killed, and a clock: all moves that a test may make.

Every move leaves the ledger true, which `audit` asserts; each is safe to repeat, so one that was killed may be tried again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import event, select, update

from portal_site.billing.billing_run import runner, test_clocks
from portal_site.billing.cancellation import cancellations
from portal_site.billing.changes import pauses, plan_changes
from portal_site.billing.changes.plan_changes import PlanChangeRequest
from portal_site.billing.errors import BillingError, GatewayUnavailable
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import (
    Customer,
    Event,
    Invoice,
    PlanChange,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
)
from portal_site.billing.payments import collection
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel, SubscriptionPause, SubscriptionUpdate
from portal_site.billing.rules.subscriptions import pauses as pause_rules
from portal_site.billing.rules.subscriptions.pauses import PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.subscriptions import due_dates, promotion_codes, schedules, subscription_items
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.proofs import ledger
from tests.world import reading

BACK = "http://127.0.0.1:8000/back"
DAY = 24 * 60 * 60
T = TypeVar("T")


class Killed(BaseException):
    """The process dies here. No `except Exception` may catch it."""


def raise_killed() -> None:
    """Die within the test's own process: what is open is rolled back, as a database does when a program is gone."""
    raise Killed


BEFORE = ("before_cursor_execute", "commit")
AROUND = (*BEFORE, "after_cursor_execute")


@contextmanager
def killing(
    after: int | None, points: tuple[str, ...] = BEFORE, die: Callable[[], None] = raise_killed
) -> Iterator[SimpleNamespace]:
    """Die at the point with this number, counted from 0; None: only count them."""
    seen = SimpleNamespace(points=0)

    def point(*_given: Any) -> None:
        seen.points += 1
        if seen.points - 1 == after:
            die()

    for moment in points:
        event.listen(db.engine, moment, point)
    try:
        yield seen
    finally:
        for moment in points:
            event.remove(db.engine, moment, point)


@dataclass
class FlakyGateway:
    """The sandbox behind a bad line: a call may not arrive, and an answer may not come back."""

    inner: Any
    dice: random.Random
    losses: float = 0.0
    name: str = "sandbox"

    def _call(self, action: Callable[..., T], *given: Any) -> T:
        if self.dice.random() < self.losses:
            raise GatewayUnavailable("The line is bad.")
        answer = action(*given)
        if self.dice.random() < self.losses:
            raise GatewayUnavailable("The line is bad.")
        return answer

    def charge(self, *given: Any) -> Any:
        """Collect."""
        return self._call(self.inner.charge, *given)

    def find_charge(self, *given: Any) -> Any:
        """Look a charge up."""
        return self._call(self.inner.find_charge, *given)

    def cancel_charge(self, *given: Any) -> Any:
        """Give a charge up."""
        return self._call(self.inner.cancel_charge, *given)


@dataclass
class Play:
    """The state of one game. `now` is the customer's time, by a test clock of its own."""

    dice: random.Random
    features: SubscriptionUpdate
    account_id: str
    ids: tuple[str, str]  # the customer's and the subscription's
    item_id: str
    prices: dict[str, str]
    clock_id: str
    now: int
    gateway: Any = None
    gateways: Any = None
    code_id: str | None = None
    other_id: str | None = None  # a second item
    told: list[str] = field(default_factory=list)
    changes: int = 0

    @classmethod
    def begin(cls, app: Flask, dice: random.Random, dunning: dict[str, Any] | None = None, **options: Any) -> "Play":
        """A customer of a new shop, with one promotion code that may be redeemed twice."""
        shop = world.shop(**options)
        clock = test_clocks.create(world.START, world.START, shop.customer.account_id)
        test_clocks.attach(clock.id, shop.customer.id)
        with transaction() as session:
            made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
            made.account.dunning = dunning or {}
            coupon = made.coupon("Quarter", percent_off="25", duration="once")
            code = made.promotion_code("QUARTER", coupon, max_redemptions=2)
        gateway = FlakyGateway(app.extensions["gateways"].default, dice)
        prices = {name: price.id for name, price in shop.prices.items()}
        ids = shop.customer.id, shop.subscription.id
        known = (dice, shop.features, shop.customer.account_id, ids, shop.item_id, prices, clock.id)
        with reading() as reader:
            of_it = SubscriptionItem.subscription_id == ids[1], SubscriptionItem.id != shop.item_id
            owned = SubscriptionItem.account_id == shop.customer.account_id
            other_id = reader.scalar(select(SubscriptionItem.id).where(*of_it, owned))
        return cls(
            *known,
            now=world.START + 3600,
            gateway=gateway,
            gateways=Gateways(gateway),
            code_id=code.id,
            other_id=other_id,
        )

    def audit(self) -> None:
        """The writer are true."""
        ledger.audit(self.account_id)
        if (self.features.proration_behavior, self.features.billing_cycle_anchor) != ("none", "now"):
            ledger.no_time_is_billed_twice(self.account_id)

    # --- moves --------------------------------------------------------------------------------------------------------

    def wait(self, seconds: int) -> None:
        """Time passes, and nothing runs."""
        self.now += seconds

    def run(self) -> None:
        """The worker's minute."""
        runner.run(self.gateways, self.now, lambda _id: BACK, self.clock_id)

    def change(self, price: str, quantity: int, with_code: bool, hesitates: int, dies: int | None) -> None:
        """The customer looks at a quote, thinks about it, and confirms, twice when nothing came back the first time.

        A second item's quantity follows that of the first, to which it is an extra.
        """
        wanted: dict[str, tuple[str | None, int | None]] = {self.item_id: (self.prices[price], quantity)}
        if self.other_id and quantity != 2:
            wanted[self.other_id] = (None, quantity)
        order = PlanChangeRequest(wanted, self.code_id if with_code else None)
        try:
            quote = self._quote(order)
        except BillingError as refusal:
            self.told.append(f"refused: {refusal.code}")
            return
        confirmation = Confirmation(self.now, quote_fingerprint(quote), self._key())
        self.now += hesitates
        first = self._try(lambda: self._confirm(order, confirmation), dies)
        again = self._try(lambda: self._confirm(order, confirmation), None)
        if isinstance(first, PlanChange):
            assert isinstance(again, PlanChange)
            assert again.id == first.id, "a second confirm made a second change"
        if isinstance(again, PlanChange):
            self._as_quoted(again, quote)
            self.told.append(f"change to {quantity} {price}: {again.outcome}")

    def _quote(self, order: PlanChangeRequest) -> Quote:
        found = plan_changes.options(*self.ids, self.features, self.now)
        return plan_changes.preview(found, self.features, self.ids[0], order, self.now)

    def _confirm(self, order: PlanChangeRequest, confirmation: Confirmation) -> PlanChange:
        change = plan_changes.change_plan(*self.ids, self.features, order, confirmation, self.now)
        if change.outcome == "pending":
            collection.collect(self.gateways, self.ids[0], change.invoice_id or "", self.now, BACK)
        return change

    def _try(self, action: Callable[[], T], dies: int | None) -> T | BillingError | None:
        """Its result, what it was refused with, or None when the program died on the way."""
        try:
            with killing(dies):
                return action()
        except Killed:
            self.told.append("killed")
            return None
        except BillingError as refusal:
            self.told.append(f"refused: {refusal.code}")
            return refusal

    def _as_quoted(self, change: PlanChange, quote: Quote) -> None:
        """Quote = charge, to the cent and line by line."""
        db.session.remove()
        with reading() as reader:
            mine = Invoice.customer_id == self.ids[0], Invoice.id == change.invoice_id
            invoice = reader.execute(select(Invoice.__table__).where(*mine)).first()
        assert (invoice is not None) == (quote.invoiced and not quote.deferred)
        if invoice is not None:
            assert (invoice.amount_due, invoice.total) == (quote.invoice.amount_due, quote.invoice.total)

    def pay(self, dies: int | None, card: str | None) -> None:
        """The customer pays the oldest open invoice, perhaps with another card."""
        if card:
            self.take_card(card)
        with reading() as reader:
            mine = Invoice.customer_id == self.ids[0], Invoice.status == "open"
            found = reader.scalar(select(Invoice.id).where(*mine).order_by(Invoice.created, Invoice.number).limit(1))
        if found:
            self._try(lambda: collection.collect(self.gateways, self.ids[0], found, self.now, BACK), dies)

    def come_back(self) -> None:
        """The bank's page sends the customer back, with or without having confirmed; sometimes twice."""
        with reading() as reader:
            mine = Invoice.customer_id == self.ids[0], Invoice.status == "open"
            for invoice_id in list(reader.scalars(select(Invoice.id).where(*mine))):
                for _ in range(2):
                    collection.resolve_payment(self.gateways, self.ids[0], invoice_id, self.now, BACK)

    def confirm_at_bank(self) -> None:
        """The customer says yes on the bank's page."""
        with transaction() as session:
            waiting = update(SandboxCharge).where(SandboxCharge.status == "requires_action")
            session.execute(waiting.values(status="succeeded"))

    def bank_answers(self, decline_code: str | None) -> None:
        """The bank says what became of the debits that it was carrying out."""
        with transaction() as session:
            answer = {"status": "declined" if decline_code else "succeeded", "decline_code": decline_code}
            session.execute(update(SandboxCharge).where(SandboxCharge.status == "processing").values(**answer))

    def withdraw(self, dies: int | None) -> None:
        """The customer gives up a change that waits."""
        collection.cancel_awaiting_payments(self.gateways, *self.ids, self.now, BACK)
        self._try(lambda: plan_changes.withdraw(*self.ids, self.now), dies)

    def undo(self) -> None:
        """The customer takes a planned change back."""
        self._try(lambda: schedules.undo_planned_change(*self.ids, self.now), None)

    def find_code(self, typed: str) -> None:
        """The customer types a promotion code."""
        self._try(lambda: promotion_codes.find(self.ids[0], typed, self.now), None)

    def take_card(self, number: str) -> None:
        """A new card becomes the default one."""
        with transaction() as session:
            made = world.Merchant(session, self.now, session.get(world.Account, self.account_id))
            customer = session.scalars(select(Customer).where(Customer.id == self.ids[0])).one()
            customer.default_payment_method_id = None
            made.method(customer, number)

    def cancel(self, mode: str, proration: str, dies: int | None) -> None:
        """The customer cancels, and clicks once more."""
        features = SubscriptionCancel(mode=mode, proration_behavior=proration)
        found = cancellations.preview(*self.ids, features, self.now)
        if found.ending is None:
            return
        confirmation = Confirmation(self.now, cancellations.cancellation_fingerprint(found.ending), self._key())
        if found.ending.immediate or found.ending.drops:
            collection.cancel_awaiting_payments(self.gateways, *self.ids, self.now, BACK)
        for point in (dies, None):
            self._try(lambda: cancellations.cancel(*self.ids, features, confirmation, self.now), point)

    def keep(self) -> None:
        """And does not want to go after all."""
        self._try(lambda: cancellations.keep(*self.ids, self.now), None)

    def pause(self, interval: str | None, dies: int | None) -> None:
        """The customer pauses, for so long or until further notice, and clicks once more."""
        options = ({"interval": interval, "interval_count": 1},)
        kind = "interval_options" if interval else "indefinite"
        features = SubscriptionPause(enabled=True, duration_type=kind, interval_options=options)
        found = pauses.preview(*self.ids, self.now)
        if found.refusal is not None:
            return
        wanted = pause_rules.pause(found.snapshot, PauseLength(interval), self.now)
        confirmation = Confirmation(self.now, pauses.pause_fingerprint(wanted), self._key())
        for point in (dies, None):
            self._try(lambda: pauses.pause(*self.ids, features, PauseLength(interval), confirmation, self.now), point)

    def resume(self, dies: int | None) -> None:
        """And goes on, at the price shown."""
        try:
            quote = pauses.resumption(*self.ids, self.now)
        except BillingError:
            return
        confirmation = Confirmation(self.now, quote_fingerprint(quote), self._key())
        for point in (dies, None):
            change = self._try(lambda: self._go_on(confirmation), point)
            if isinstance(change, PlanChange):
                self._as_quoted(change, quote)

    def _go_on(self, confirmation: Confirmation) -> PlanChange:
        change = pauses.resume(*self.ids, confirmation, self.now)
        if change.outcome == "pending":
            collection.collect(self.gateways, self.ids[0], change.invoice_id or "", self.now, BACK)
        return change

    def _key(self) -> str:
        self.changes += 1
        return f"{self.ids[0]}:{self.changes}"

    def is_given_notice(self, seconds: int | None) -> None:
        """The merchant sets the day on which the subscription ends, or takes it back."""
        with transaction() as session:
            mine = Subscription.customer_id == self.ids[0], Subscription.id == self.ids[1]
            subscription = session.scalars(select(Subscription).where(*mine)).one()
            if subscription.ended_at is None:
                subscription.cancel_at = seconds and self.now + seconds
                items = subscription_items.load_items(session, subscription)
                due_dates.recompute_due_at(session, subscription, items, self.now)

    def is_planned_for(
        self, seconds: int, price: str, quantity: int, proration: str, lasts: int | None, behavior: str
    ) -> None:
        """The merchant arranges another plan, which takes the place of all that there is; perhaps for a time only."""
        with reading() as reader:
            mine = SubscriptionItem.subscription_id == self.ids[1], SubscriptionItem.account_id == self.account_id
            items = reader.execute(select(SubscriptionItem.price_id, SubscriptionItem.quantity).where(*mine)).all()
            of_it = SubscriptionSchedule.subscription_id == self.ids[1], SubscriptionSchedule.status == "active"
            planned = reader.scalar(select(SubscriptionSchedule.id).where(*of_it).limit(1))
            over = reader.scalar(select(Subscription.ended_at).where(Subscription.id == self.ids[1]))
        if planned is None and over is None:
            begins, now = self.now + seconds, {row.price_id: row.quantity for row in items}
            end = lasts and begins + lasts
            phases = [(self.now, now), (begins, {self.prices[price]: quantity})]
            world.plan(*self.ids, phases, end, proration, end_behavior=behavior)

    def die_in_a_run(self, point: int) -> None:
        """The worker is killed, and another comes."""
        self._try(self.run, point)
        self.run()

    def end(self) -> None:
        """Everything that hangs is settled: the line is good again, the bank answers, and the worker runs on for two days."""
        self.gateway.losses = 0
        for pause in (90, 1200, 3600, 6 * 3600, DAY, DAY):
            self.bank_answers(self.dice.choice((None, "insufficient_funds")))
            self.now += pause
            self.run()
        self.audit()
        ledger.settled(self.account_id, self.now)

    @property
    def moves(self) -> set[tuple[str, str]]:
        """From which state to which the subscription went, as its events tell."""
        db.session.remove()
        with reading() as reader:
            told = select(Event.data).where(
                Event.account_id == self.account_id, Event.type.like("customer.subscription.%")
            )
            changed = [data for data in reader.scalars(told) if "status" in data.get("previous_attributes", {})]
        return {(data["previous_attributes"]["status"], data["object"]["status"]) for data in changed}
