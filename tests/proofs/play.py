"""A simulated customer with a test clock and an unreliable gateway, and the operations that a test may perform on it.

`audit` asserts that the ledger is consistent, which must hold after every operation, even one that was killed halfway. Every
operation can be repeated.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.billing_run import runner, test_clocks
from portal_site.billing.cancellation import cancellations
from portal_site.billing.changes import pauses, plan_changes
from portal_site.billing.errors import BillingError
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import (
    Customer,
    Discount,
    Event,
    Invoice,
    PaymentAttempt,
    PlanChange,
    SubscriptionItem,
    TestClock,
)
from portal_site.billing.payments import collection, refunds
from portal_site.billing.payments.refunds import RefundTerms
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel, SubscriptionPause, SubscriptionUpdate
from portal_site.billing.rules.subscriptions import pauses as pause_rules
from portal_site.billing.rules.subscriptions.pauses import PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.billing.subscriptions import promotion_codes, schedules
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.proofs import forecasts, ledger
from tests.proofs.flaky import FlakyGateway
from tests.proofs.kills import Killed, killing
from tests.proofs.merchant_moves import MerchantMoves
from tests.stripe.faults import Faults
from tests.world import reading

BACK = "http://127.0.0.1:8000/back"
DAY = 24 * 60 * 60
# Codes for one invoice, for some months, for good, and one that is worth less than most of what it would replace.
CODES: dict[str, dict[str, Any]] = {
    "QUARTER": {"percent_off": "25", "duration": "once"},
    "MONTHS": {"percent_off": "50", "duration": "repeating", "duration_in_months": 2},
    "ALWAYS": {"percent_off": "100", "duration": "forever"},
    "CENT": {"percent_off": "1", "duration": "forever"},
}
T = TypeVar("T")


@dataclass
class Play(MerchantMoves):
    """The state of one simulation. `now` is the time of the customer's test clock."""

    dice: random.Random
    features: SubscriptionUpdate
    account_id: str
    ids: tuple[str, str]  # of the customer and of the subscription
    item_id: str
    prices: dict[str, str]
    clock_id: str
    now: int
    gateway: Any = None
    gateways: Any = None
    codes: dict[str, str] = field(default_factory=dict)  # their ids by name
    tried_codes: Counter[str] = field(default_factory=Counter)  # what came of the codes that were entered alone
    other_id: str | None = None  # a second item
    add_ons: dict[str, tuple[str, ...]] = field(default_factory=dict)  # their price ids by product id
    first_balance: int = 0
    log: list[str] = field(default_factory=list)
    line: Faults | None = None  # to a provider outside of the database
    changes: int = 0
    expected: forecasts.Forecasts = field(
        default_factory=forecasts.Forecasts
    )  # what the portal said after the last move

    @classmethod
    def begin(cls, app: Flask, dice: random.Random, dunning: dict[str, Any] | None = None, **options: Any) -> "Play":
        """A customer of a new shop, which has a few promotion codes."""
        second, discount = options.pop("second", None), options.pop("discount", None)
        shop = world.shop(**options)
        clock = test_clocks.create(world.START, world.START, shop.customer.account_id)
        test_clocks.attach(clock.id, shop.customer.id)
        with transaction() as session:
            made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
            made.account.dunning = dunning or {}
            codes = {
                name: made.promotion_code(name, made.coupon(name, **coupon), max_redemptions=2).id
                for name, coupon in CODES.items()
            }
            if discount:
                made.discount(shop.subscription, made.coupon("Own", **discount), world.START + 80 * DAY)
        if second:
            world.second_subscription(shop, **second)
        gateway = FlakyGateway(app.extensions["gateways"].shared("sandbox"), dice)
        prices = {name: price.id for name, price in shop.prices.items()}
        ids = shop.customer.id, shop.subscription.id
        members = (dice, shop.features, shop.customer.account_id, ids, shop.item_id, prices, clock.id)
        with reading() as reader:
            others = SubscriptionItem.subscription_id == ids[1], SubscriptionItem.id != shop.item_id
            owned = SubscriptionItem.account_id == shop.customer.account_id
            other_id = reader.scalar(select(SubscriptionItem.id).where(*others, owned))
        balance = options.get("customer", {}).get("balance", 0)
        return cls(
            *members,
            now=world.START + 3600,
            gateway=gateway,
            gateways=Gateways(gateway),
            codes=codes,
            other_id=other_id,
            add_ons={offered["product"]: tuple(offered["prices"]) for offered in shop.features.add_ons},
            first_balance=balance,
        )

    def audit(self) -> None:
        """The ledger is consistent, and the portal can say what comes next."""
        ledger.audit(self.account_id, self.first_balance)
        self.expected = forecasts.shown(self.ids[0], self.now)
        if (self.features.proration_behavior, self.features.billing_cycle_anchor) != ("none", "now"):
            ledger.no_time_is_billed_twice(self.account_id)

    # --- operations ---------------------------------------------------------------------------------------------------

    def wait(self, seconds: int) -> None:
        """Let time pass without a billing run. The customer's clock moves before anything happens at the new instant."""
        self.now += seconds
        with transaction() as session:
            mine = TestClock.id == self.clock_id, TestClock.account_id == self.account_id
            session.execute(update(TestClock).where(*mine).values(frozen_time=self.now))

    def run(self) -> None:
        """The worker's minute. It bills what the portal had said, after the last move and just before."""
        before = forecasts.numbers(self.ids[0])
        promised = (self.expected, forecasts.shown(self.ids[0], self.now))
        self.expected = forecasts.Forecasts()  # a run that is killed has billed some of it
        runner.run(self.gateways, self.now, lambda _id: BACK, self.clock_id)
        for expected in promised:
            forecasts.check(self.ids[0], expected, before)

    def change_add_ons(self, counts: tuple[int | None, ...], hesitates: int, dies: int | None) -> None:
        """The customer sets how many there are of each add-on (None: as it is), at its first or second price by turns."""
        chosen = {
            product_id: (prices[self.changes % len(prices)] if count else None, count)
            for (product_id, prices), count in zip(self.add_ons.items(), counts, strict=False)
        }
        self._change(PlanChangeRequest(add_ons=chosen), f"add-ons {counts}", hesitates, dies)

    def change(self, price: str, quantity: int, with_code: bool, hesitates: int, dies: int | None) -> None:
        """The customer gets a quote, waits for `hesitates` seconds, and confirms it twice.

        The process is killed at point `dies` of the first confirmation, unless that is None. The quantity of a second item is
        set to that of the first, except for a quantity of 2.
        """
        changes: dict[str, tuple[str | None, int | None]] = {self.item_id: (self.prices[price], quantity)}
        if self.other_id and quantity != 2:
            changes[self.other_id] = (None, quantity)
        order = PlanChangeRequest(changes, self.codes["QUARTER"] if with_code else None)
        self._change(order, f"{quantity} {price}", hesitates, dies)

    def redeem(self, name: str, hesitates: int, dies: int | None) -> None:
        """The customer enters a code without another change. One that brings nothing is refused, and stays unused."""
        before = self._discounts()
        self.find_code(f" {name.lower()} ")
        order = PlanChangeRequest(code_id=self.codes[name])
        try:
            quote = self._quote(order)
        except BillingError as refusal:
            self.log.append(f"refused: {refusal.message}")
            self.tried_codes["brings nothing" if refusal.message == plan_changes.NO_SAVING else "refused"] += 1
            assert self._discounts() == before, "a code that was refused was used"
            return
        assert quote.code is not None
        assert not quote.changes_items
        self._change(order, name, hesitates, dies)
        if self._discounts() != before:
            replaced = quote.code.replaces & before
            self.tried_codes["replaces" if replaced else "is added"] += 1
            assert not (quote.code.replaces & self._discounts()), "what a code replaces is still in force"

    def _discounts(self) -> set[str]:
        """The ids of the subscription's discounts that are in force."""
        db.session.remove()
        with reading() as reader:
            mine = Discount.customer_id == self.ids[0], Discount.subscription_id == self.ids[1]
            running = Discount.end.is_(None) | (Discount.end > self.now)
            return set(reader.scalars(select(Discount.id).where(*mine, running)))

    def is_refunded(self, amount: int | None, dies: int | None, to_balance: bool) -> None:
        """The merchant gives back a part of the newest payment, or (None) all that is left of it, and clicks a second time.

        It goes to where the payment came from, or to the balance.
        """
        with reading() as reader:
            paid = PaymentAttempt.customer_id == self.ids[0], PaymentAttempt.status == "succeeded"
            newest = select(PaymentAttempt.id, PaymentAttempt.invoice_id).where(*paid)
            found = reader.execute(newest.order_by(PaymentAttempt.created.desc(), PaymentAttempt.id).limit(1)).first()
        if found:
            attempt_id, invoice_id = found
            when = self.now, self._key(), RefundTerms(amount)
            for point in (dies, None):
                if to_balance:
                    self._try(lambda: refunds.credit_balance(self.ids[0], invoice_id, *when), point)
                else:
                    self._try(lambda: refunds.refund(self.gateways, self.ids[0], attempt_id, *when), point)

    def _change(self, order: PlanChangeRequest, name: str, hesitates: int, dies: int | None) -> None:
        try:
            quote = self._quote(order)
        except BillingError as refusal:
            self.log.append(f"refused: {refusal.code}")
            return
        confirmation = Confirmation(self.now, quote_fingerprint(quote), self._key())
        self.wait(hesitates)
        first = self._try(lambda: self._confirm(order, confirmation), dies)
        again = self._try(lambda: self._confirm(order, confirmation), None)
        if isinstance(first, PlanChange):
            assert isinstance(again, PlanChange)
            assert again.id == first.id, "a second confirm made a second change"
        if isinstance(again, PlanChange):
            self._as_quoted(again, quote)
            self.log.append(f"change to {name}: {again.outcome}")

    def _quote(self, order: PlanChangeRequest) -> Quote:
        options = plan_changes.options(*self.ids, self.features, self.now)
        return plan_changes.preview(options, self.ids[0], order, self.now)

    def _confirm(self, order: PlanChangeRequest, confirmation: Confirmation) -> PlanChange:
        change = plan_changes.change_plan(*self.ids, self.features, order, confirmation, self.now)
        if change.outcome == "pending":
            collection.collect(self.gateways, self.ids[0], change.invoice_id or "", self.now, BACK)
        return change

    def _try(self, action: Callable[[], T], dies: int | None) -> T | BillingError | None:
        """The result of the action, the error that refused it, or None if the process was killed."""
        try:
            with killing(dies, line=self.line):
                return action()
        except Killed:
            self.log.append("killed")
            return None
        except BillingError as refusal:
            self.log.append(f"refused: {refusal.code}")
            return refusal

    def _as_quoted(self, change: PlanChange, quote: Quote) -> None:
        """Assert that the change's invoice has the total and the amount due of the quote."""
        db.session.remove()
        with reading() as reader:
            owned = Invoice.customer_id == self.ids[0], Invoice.id == change.invoice_id
            invoice = reader.execute(select(Invoice.__table__).where(*owned)).first()
        assert (invoice is not None) == (quote.invoiced and not quote.deferred)
        if invoice is not None:
            assert (invoice.amount_due, invoice.total) == (quote.invoice.amount_due, quote.invoice.total)

    def pay(self, dies: int | None, card: str | None) -> None:
        """The customer pays the oldest open invoice, with a new card if one is given."""
        if card:
            self.take_card(card)
        with reading() as reader:
            mine = Invoice.customer_id == self.ids[0], Invoice.status == "open"
            found = reader.scalar(select(Invoice.id).where(*mine).order_by(Invoice.created, Invoice.number).limit(1))
        if found:
            self._try(lambda: collection.collect(self.gateways, self.ids[0], found, self.now, BACK), dies)

    def come_back(self) -> None:
        """The customer returns twice from the authentication page (3-D Secure), whether or not it was completed."""
        with reading() as reader:
            is_open = Invoice.customer_id == self.ids[0], Invoice.status == "open"
            for invoice_id in list(reader.scalars(select(Invoice.id).where(*is_open))):
                for _ in range(2):
                    collection.resolve_payment(self.gateways, self.ids[0], invoice_id, self.now, BACK)

    def confirm_at_bank(self) -> None:
        """The customer completes the authentication (3-D Secure) of a payment."""
        with transaction() as session:
            requires_action = update(SandboxCharge).where(SandboxCharge.status == "requires_action")
            session.execute(requires_action.values(status="succeeded"))

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
        """The customer undoes a scheduled change."""
        self._try(lambda: schedules.undo_planned_change(*self.ids, self.now), None)

    def find_code(self, typed: str) -> None:
        """The customer enters a promotion code."""
        self._try(lambda: promotion_codes.find(self.ids[0], typed, self.now), None)

    def take_card(self, number: str) -> None:
        """A new card becomes the default one."""
        with transaction() as session:
            made = world.Merchant(session, self.now, session.get(world.Account, self.account_id))
            customer = session.scalars(select(Customer).where(Customer.id == self.ids[0])).one()
            customer.default_payment_method_id = None
            made.method(customer, number)

    def cancel(self, mode: str, proration: str, dies: int | None) -> None:
        """The customer cancels, and clicks a second time."""
        features = SubscriptionCancel(mode=mode, proration_behavior=proration)
        preview = cancellations.preview(*self.ids, features, self.now)
        if preview.ending is None:
            return
        confirmation = Confirmation(self.now, cancellations.cancellation_fingerprint(preview.ending), self._key())
        if preview.ending.immediate or preview.ending.drops:
            collection.cancel_awaiting_payments(self.gateways, *self.ids, self.now, BACK)
        for point in (dies, None):
            self._try(lambda: cancellations.cancel(*self.ids, features, confirmation, self.now), point)

    def keep(self) -> None:
        """The customer undoes a scheduled cancellation."""
        self._try(lambda: cancellations.keep(*self.ids, self.now), None)

    def pause(self, interval: str | None, dies: int | None) -> None:
        """The customer pauses for an interval, or indefinitely, and clicks a second time."""
        options = ({"interval": interval, "interval_count": 1},)
        kind = "interval_options" if interval else "indefinite"
        features = SubscriptionPause(enabled=True, duration_type=kind, interval_options=options)
        preview = pauses.preview(*self.ids, self.now)
        if preview.refusal is not None:
            return
        quote = pause_rules.pause(preview.snapshot, PauseLength(interval), self.now)
        confirmation = Confirmation(self.now, pauses.pause_fingerprint(quote), self._key())
        for point in (dies, None):
            self._try(lambda: pauses.pause(*self.ids, features, PauseLength(interval), confirmation, self.now), point)

    def resume(self, dies: int | None) -> None:
        """The customer resumes on the quoted terms, and clicks a second time."""
        try:
            quote = pauses.resumption(*self.ids, self.now)
        except BillingError:
            return
        confirmation = Confirmation(self.now, quote_fingerprint(quote), self._key())
        for point in (dies, None):
            change = self._try(lambda: self._resume(confirmation), point)
            if isinstance(change, PlanChange):
                self._as_quoted(change, quote)

    def _resume(self, confirmation: Confirmation) -> PlanChange:
        change = pauses.resume(*self.ids, confirmation, self.now)
        if change.outcome == "pending":
            collection.collect(self.gateways, self.ids[0], change.invoice_id or "", self.now, BACK)
        return change

    def _key(self) -> str:
        self.changes += 1
        return f"{self.ids[0]}:{self.changes}"

    def die_in_a_run(self, point: int) -> None:
        """The worker is killed during a billing run, and another worker does the next run."""
        self._try(self.run, point)
        self.run()

    def end(self) -> None:
        """Everything that hangs is settled: the line is good again, the bank answers, and the worker runs on for two days."""
        self.gateway.losses = 0
        for pause in (90, 1200, 3600, 6 * 3600, DAY, DAY):
            self.bank_answers(self.dice.choice((None, "insufficient_funds")))
            self.wait(pause)
            self.run()
        self.wait(60)  # the last answer of the bank may have let a step follow, which is the next minute's
        self.run()
        self.audit()
        ledger.settled(self.account_id, self.now)

    @property
    def moves(self) -> set[tuple[str, str]]:
        """The subscription's status transitions (from, to), according to its events."""
        db.session.remove()
        with reading() as reader:
            query = select(Event.data).where(
                Event.account_id == self.account_id, Event.type.like("customer.subscription.%")
            )
            changed = [data for data in reader.scalars(query) if "status" in data.get("previous_attributes", {})]
        return {(data["previous_attributes"]["status"], data["object"]["status"]) for data in changed}
