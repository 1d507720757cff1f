"""The history of a subscription in dated steps, for scenario tests.

`advance_to` advances a test clock, other methods perform an operation. What came of them is in `HistoryState`: `invoices`, for
one, returns all invoices as text.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.billing_run import runner, test_clocks
from portal_site.billing.cancellation import cancellations, retention
from portal_site.billing.cancellation.cancellations import Reason
from portal_site.billing.changes import pauses, plan_changes
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.loading.confirmations import Confirmation, quote_fingerprint
from portal_site.billing.models import (
    Customer,
    Discount,
    Invoice,
    PaymentAttempt,
    PlanChange,
    Subscription,
    SubscriptionItem,
    TestClock,
)
from portal_site.billing.payments import collection
from portal_site.billing.rules.portal.portal_features import (
    Retention,
    RetentionOffer,
    RetentionRule,
    SubscriptionCancel,
    SubscriptionPause,
)
from portal_site.billing.rules.subscriptions import pauses as pause_rules
from portal_site.billing.rules.subscriptions.pauses import PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.billing.subscriptions import due_dates, schedules, subscription_items
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests import world
from tests.billing.terms import at as instant
from tests.scenarios.history_state import HistoryState
from tests.world import reading

BACK = "http://127.0.0.1:8000/back"


class History(HistoryState):
    """A customer of a shop, attached to a test clock that starts at `world.START` (1 April 2026)."""

    @classmethod
    def start(cls, app: Flask, start: int = world.START, **options: Any) -> "History":
        """A customer on Team (€10 a month) who has just paid the first month. The options are those of `world.shop`."""
        shop = world.shop(**options)
        clock = test_clocks.create(start, start, shop.customer.account_id)
        test_clocks.attach(clock.id, shop.customer.id)
        return cls(app, shop, clock.id, start, options.get("customer", {}).get("balance", 0))

    @contextmanager
    def gateways(self) -> Iterator[Any]:
        """The payment providers, inside a request as the sandbox needs it."""
        with self.app.test_request_context(base_url="http://127.0.0.1:8000"):
            yield self.app.extensions["gateways"]

    # --- operations ---------------------------------------------------------------------------------------------------

    def advance_to(self, date: str) -> "History":
        """Advance the clock to a date. All billing work that is due until then is done."""
        return self.advance_to_instant(instant(date))

    def advance_to_instant(self, moment: int) -> "History":
        """Advance the clock to an instant (seconds since 1970)."""
        self.now = moment
        with self.gateways() as gateway:
            test_clocks.advance(gateway, self.clock_id, self.now, lambda invoice_id: BACK)
        return self

    def run_late(self, date: str) -> "History":
        """Time passes while no worker runs; then one does all that is due, at once."""
        self.now = instant(date)
        owned = TestClock.id == self.clock_id, TestClock.account_id == self.shop.customer.account_id
        with transaction() as session:
            clock = session.scalars(select(TestClock).where(*owned)).one()
            clock.frozen_time = self.now
        with self.gateways() as gateways:
            runner.run(gateways, self.now, lambda invoice_id: BACK, self.clock_id)
        return self

    def _order(self, price: str | None, quantity: int | None, code: str | None) -> PlanChangeRequest:
        price_id = self.shop.prices[price].id if price else None
        return PlanChangeRequest({self.shop.item_id: (price_id, quantity)}, code)

    def quote(self, price: str | None = None, quantity: int | None = None, code: str | None = None) -> Quote:
        """The quote for a change now."""
        return self.quote_of(self._order(price, quantity, code))

    def quote_of(self, order: PlanChangeRequest) -> Quote:
        """The quote for a change of several items now."""
        options = plan_changes.options(self.shop.customer.id, self.shop.subscription.id, self.shop.features, self.now)
        return plan_changes.preview(options, self.shop.customer.id, order, self.now)

    def change_plan(self, price: str | None = None, quantity: int | None = None, code: str | None = None) -> PlanChange:
        """The customer changes the plan on the quoted terms. The amount due is charged."""
        return self.confirm(self.quote(price, quantity, code), price, quantity, code)

    def confirm(
        self, quote: Quote, price: str | None = None, quantity: int | None = None, code: str | None = None
    ) -> PlanChange:
        """The customer confirms a quote from before."""
        return self.change_items(self._order(price, quantity, code), quote)

    def add_on_order(self, **add_ons: int | None) -> PlanChangeRequest:
        """An order of add-ons: quantities by key in the shop's prices, 0 to remove one, `_` in a key standing for a space."""
        prices = {name: self.shop.prices[name.replace("_", " ")] for name in add_ons}
        return PlanChangeRequest(
            add_ons={prices[name].product_id: (prices[name].id if n else None, n) for name, n in add_ons.items()}
        )

    def change_items(self, order: PlanChangeRequest, quote: Quote | None = None) -> PlanChange:
        """The customer changes several items, on the terms of this quote, or else of a new one."""
        quote = quote or self.quote_of(order)
        confirmation = Confirmation(quote.at, quote_fingerprint(quote), secrets.token_hex(8))
        change = plan_changes.change_plan(
            self.shop.customer.id, self.shop.subscription.id, self.shop.features, order, confirmation, self.now
        )
        if change.outcome == "pending":
            with self.gateways() as gateway:
                collection.collect(gateway, self.shop.customer.id, change.invoice_id or "", self.now, BACK)
        return change

    def cancel(self, **options: Any) -> None:
        """The customer cancels on the shown terms. The options are those of portal_features.SubscriptionCancel."""
        features = SubscriptionCancel(**options)
        preview = cancellations.preview(*self._ids, features, self.now)
        if preview.refusal:
            raise preview.refusal
        assert preview.ending
        confirmation = Confirmation(
            self.now, cancellations.cancellation_fingerprint(preview.ending), secrets.token_hex(8)
        )
        if preview.ending.immediate or preview.ending.drops:
            with self.gateways() as gateway:
                collection.cancel_awaiting_payments(gateway, *self._ids, self.now, BACK)
        result = cancellations.cancel(*self._ids, features, confirmation, self.now)
        if result.invoice_id:
            with self.gateways() as gateway:
                collection.collect(gateway, self.shop.customer.id, result.invoice_id, self.now, BACK)

    def accept_offer(self, **offer: Any) -> None:
        """The customer starts to cancel and accepts the offer. `offer` are members of portal_features.RetentionOffer."""
        settings = Retention(enabled=True, rules=(RetentionRule(RetentionOffer(**offer)),))
        features = replace(world.EVERYTHING, subscription_cancel=SubscriptionCancel(retention=settings))
        attempt = cancellations.start_attempt(*self._ids, features, Reason(), self.now)
        proposal = retention.find(*self._ids, attempt.id, features, self.now)
        assert proposal
        confirmation = Confirmation(self.now, proposal.fingerprint, attempt.id)
        retention.accept(*self._ids, attempt.id, features, confirmation, self.now)

    def create_coupon(self, duration: str, **members: Any) -> str:
        """Create a coupon and return its id."""
        with transaction() as session:
            made = world.Merchant(session, self.now, session.get(world.Account, self.shop.customer.account_id))
            return str(made.coupon("Stay", duration, **members).id)

    def pause(self, interval: str | None = None, count: int = 1) -> None:
        """The customer pauses for `count` intervals, or indefinitely."""
        options = ({"interval": interval, "interval_count": count},)
        kind = "interval_options" if interval else "indefinite"
        features = SubscriptionPause(enabled=True, duration_type=kind, interval_options=options)
        preview = pauses.preview(*self._ids, self.now)
        if preview.refusal:
            raise preview.refusal
        span = PauseLength(interval, count) if interval else PauseLength()
        fingerprint = pauses.pause_fingerprint(pause_rules.pause(preview.snapshot, span, self.now))
        confirmation = Confirmation(self.now, fingerprint, secrets.token_hex(8))
        pauses.pause(*self._ids, features, span, confirmation, self.now)

    def resume(self) -> PlanChange:
        """The customer resumes on the quoted terms. The amount due is charged."""
        fingerprint = quote_fingerprint(pauses.resumption(*self._ids, self.now))
        change = pauses.resume(*self._ids, Confirmation(self.now, fingerprint, secrets.token_hex(8)), self.now)
        if change.outcome == "pending":
            with self.gateways() as gateway:
                collection.collect(gateway, self.shop.customer.id, change.invoice_id or "", self.now, BACK)
        return change

    def undo_cancellation(self) -> None:
        """The customer undoes a scheduled cancellation."""
        cancellations.keep(*self._ids, self.now)

    def undo_planned_change(self) -> None:
        """The customer undoes a scheduled change."""
        schedules.undo_planned_change(*self._ids, self.now)

    def add_card(self, number: str = world.VISA) -> None:
        """The customer gets a new default payment method."""
        with transaction() as session:
            made = world.Merchant(session, self.now, session.get(world.Account, self.shop.customer.account_id))
            customer = session.scalars(select(Customer).where(Customer.id == self.shop.customer.id)).one()
            customer.default_payment_method_id = None
            made.method(customer, number)

    def pay(self) -> PaymentAttempt | None:
        """The customer pays the oldest open invoice."""
        with reading() as reader:
            open_invoices = (
                select(Invoice.id).where(Invoice.status == "open", self._owned(Invoice)).order_by(Invoice.created)
            )
            invoice_id = reader.scalar(open_invoices)
        with self.gateways() as gateway:
            return collection.collect(gateway, self.shop.customer.id, str(invoice_id), self.now, BACK)

    def settle_debits(self, decline_code: str | None = None) -> None:
        """The bank says what became of the debits that it was carrying out; the portal does not know it yet."""
        with transaction() as session:
            answer = {"status": "declined" if decline_code else "succeeded", "decline_code": decline_code}
            session.execute(update(SandboxCharge).where(SandboxCharge.status == "processing").values(**answer))

    def set_members(self, **members: Any) -> None:
        """The merchant sets these members of the subscription."""
        with transaction() as session:
            row = session.scalars(select(Subscription).where(self._owned(Subscription))).one()
            for name, value in members.items():
                setattr(row, name, value)

    def add_discount(self, end: int | None = None, **coupon: Any) -> None:
        """A new coupon is applied to the subscription. `coupon` are the coupon's members."""
        with transaction() as session:
            made = world.Merchant(session, self.now, session.get(world.Account, self.shop.customer.account_id))
            made.discount(self.shop.subscription, made.coupon("Offer", **coupon), end)

    def add_discount_on_second_item(self) -> None:
        """A discount of 50 % is applied to the subscription's second item."""
        self.add_discount(percent_off="50")
        with transaction() as session:
            in_subscription = SubscriptionItem.subscription_id == self.shop.subscription.id
            others = select(SubscriptionItem.id).where(in_subscription, SubscriptionItem.id != self.shop.item_id)
            other_id = session.scalars(others.where(SubscriptionItem.account_id == self.shop.customer.account_id)).one()
            session.scalars(select(Discount).where(self._owned(Discount))).one().subscription_item_id = other_id

    def add_item(self, amount: int, every: str = "month", count: int = 1, quantity: int = 1, **price: Any) -> str:
        """Add an item for a new product, whose first period starts with the subscription's. Returns the item's id."""
        with transaction() as session:
            made = world.Merchant(session, world.START, session.get(world.Account, self.shop.customer.account_id))
            row = made.price(made.product("Extra"), amount, "eur", every, interval_count=count, **price)
            subscription = session.scalars(select(Subscription).where(self._owned(Subscription))).one()
            days = {"week": 7, "month": 30 if count == 1 else 91, "year": 365}[every]
            item = SubscriptionItem(
                id=new_id("si"), account_id=subscription.account_id, subscription_id=subscription.id, price_id=row.id,
                quantity=quantity, created=world.START + 2, current_period_start=world.START,
                current_period_end=world.START + days * 24 * 60 * 60, tax_rates=[],
            )  # fmt: skip
            session.add(item)
            session.flush()
            due_dates.recompute_due_at(
                session, subscription, subscription_items.load_items(session, subscription), world.START
            )
        return str(item.id)

    def add_schedule(
        self,
        *phases: tuple[str, dict[str, int]],
        ends: str | None = None,
        proration: str = "create_prorations",
        **members: Any,
    ) -> None:
        """Create a merchant's schedule. A phase is (start date, quantities by key in the shop's prices or by price id)."""
        dated_phases = [
            (
                instant(date),
                {self.shop.prices[name].id if name in self.shop.prices else name: n for name, n in quantities.items()},
            )
            for date, quantities in phases
        ]
        world.plan(*self._ids, dated_phases, ends and instant(ends), proration, **members)

    def create_code(self, **coupon: Any) -> str:
        """Create a promotion code and return its id. `coupon` are the members of its coupon."""
        return self.create_code_named("CODE", **coupon)

    def create_code_named(self, name: str, **coupon: Any) -> str:
        """Create another promotion code."""
        with transaction() as session:
            made = world.Merchant(session, self.now, session.get(world.Account, self.shop.customer.account_id))
            return str(made.promotion_code(name, made.coupon("Code", **coupon)).id)
