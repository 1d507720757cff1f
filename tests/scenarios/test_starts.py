"""Subscriptions that the merchant's people start: what is written, and that the next invoices are those of the quote."""

import random
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.changes import starts
from portal_site.billing.changes.starts import StartPreview, StartRequest
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.loading.confirmations import Confirmation
from portal_site.billing.models import (
    CatalogTaxRate,
    Customer,
    Discount,
    Event,
    Invoice,
    PaymentAttempt,
    PlanChange,
    PromotionCode,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.payments import collection
from portal_site.billing.rules.amounts.periods import DAY
from portal_site.billing.rules.subscriptions.starts import WantedPrice, WantedTrial
from portal_site.billing.subscriptions import trials
from portal_site.db import db
from portal_site.db.transactions import transaction
from portal_site.ids import new_id
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import BACK, History
from tests.world import reading

NAMES = iter(range(10**6))
VAT = {"display_name": "VAT", "percentage": "20", "inclusive": False}


@dataclass
class Started:
    """A subscription that was just started, with its quote."""

    history: History
    id: str
    preview: StartPreview
    change: PlanChange

    @property
    def row(self) -> Any:
        """The subscription as it is stored."""
        return _one(self.history, Subscription, Subscription.id == self.id)

    @property
    def invoices(self) -> list[Any]:
        """Its invoices, oldest first."""
        mine = self.history._owned(Invoice), Invoice.subscription_id == self.id
        return _all(select(Invoice.__table__).where(*mine).order_by(Invoice.created, Invoice.number))


def _all(query: Any) -> list[Any]:
    db.session.remove()
    with reading() as reader:
        return list(reader.execute(query).all())


def _one(history: History, kind: Any, *conditions: Any) -> Any:
    return _all(select(kind.__table__).where(history._owned(kind), *conditions))[0]


def _request(history: History, *wanted: str, **terms: Any) -> StartRequest:
    """A request for prices of the shop; `solo*3` is three of them."""
    pairs = [name.partition("*") for name in wanted or ("solo",)]
    prices = [WantedPrice(history.shop.prices[name].id, int(count or 1)) for name, _, count in pairs]
    return StartRequest(prices, **terms)


def _start(history: History, request: StartRequest, *, later: int = 0, collects: bool = True) -> Started:
    """Start on the terms of a quote, `later` seconds after it."""
    name, customer_id = new_id("sub"), history.shop.customer.id
    preview = starts.preview(customer_id, name, request, history.now)
    confirmation = Confirmation(history.now, preview.fingerprint, f"key-{next(NAMES)}")
    with acting_as(ActorType.USER, "user_ada"):
        change = starts.start(customer_id, name, request, confirmation, history.now + later)
        if change.outcome == "pending" and collects:
            with history.gateways() as gateways:
                collection.collect(
                    gateways, customer_id, change.invoice_id or "", history.now + later, BACK, off_session=True
                )
    return Started(history, name, preview, change)


def _is_as_quoted(started: Started) -> None:
    """The first invoice is the quote's, and the billing run makes the next one that it promised."""
    quote, history = started.preview.quote, started.history
    first = [invoice.amount_due for invoice in started.invoices]
    assert first == ([quote.invoice.amount_due] if quote.invoiced else [])
    assert quote.next_invoice is not None
    history.advance_to_instant(quote.next_invoice.date)
    newest = started.invoices[-1]
    assert len(started.invoices) == len(first) + 1
    promised = (quote.next_invoice.date, quote.next_invoice.amount_due, quote.next_invoice.tax)
    tax = sum(part["amount"] for part in newest.total_taxes)
    assert (newest.cycle_at, newest.amount_due, tax) == promised
    ledger.audit(history.shop.customer.account_id, history.first_balance)


@pytest.mark.both_databases
def test_a_subscription_starts_and_is_charged_as_quoted(app: Flask) -> None:
    history = History.start(app, customer={"balance": -300})
    started = _start(history.advance_to("2026-04-11"), _request(history, "solo*3", "year"), later=600)
    row = started.row
    assert (row.status, row.created, row.billing_cycle_anchor) == ("active", history.now + 600, history.now)
    assert _one(history, PlanChange).outcome == "applied"
    (first,) = started.invoices
    assert (first.billing_reason, first.status, first.total, first.amount_due) == (
        "subscription_create", "paid", 11200, 10900,
    )  # fmt: skip
    items = _all(
        select(SubscriptionItem.__table__)
        .where(
            SubscriptionItem.account_id == history.shop.customer.account_id, SubscriptionItem.subscription_id == row.id
        )
        .order_by(SubscriptionItem.id)
    )
    assert [(item.quantity, item.current_period_end) for item in items] == [
        (3, at("2026-05-11")),
        (1, at("2027-04-11")),
    ]
    events = _all(select(Event.type, Event.actor_type, Event.actor_id).where(history._owned(Event)))
    assert ("customer.subscription.created", "user", "user_ada") in events
    _is_as_quoted(started)


@pytest.mark.both_databases
def test_a_code_a_tax_rate_and_a_trial(app: Flask) -> None:
    history = History.start(app)
    code_id = history.create_code(percent_off="50", duration="once")
    request = _request(history, "team*2", trial=WantedTrial(days=14), code=" code ", tax_rate_ids=[_tax_rate(history)])
    started = _start(history, request)
    row = started.row
    end = history.now + 14 * DAY
    assert (row.status, row.trial_start, row.trial_end, row.billing_cycle_anchor) == ("trialing", history.now, end, end)
    assert (row.cancel_at, row.default_tax_rates[0]["percentage"]) == (None, "20")
    assert started.change.outcome == "applied"
    next_invoice = started.preview.quote.next_invoice
    assert next_invoice is not None
    assert (next_invoice.subtotal, next_invoice.discount, next_invoice.tax) == (2000, 1000, 200)
    _is_as_quoted(started)
    assert started.row.status == "active"
    assert _one(history, Discount, Discount.promotion_code_id == code_id).end == end
    with pytest.raises(BillingError, match="already used this code"):
        _start(history, request)


@pytest.mark.parametrize("behavior", ["create_invoice", "cancel"])
def test_a_trial_without_a_payment_method(app: Flask, behavior: str) -> None:
    history = History.start(app, card=None)
    trial = WantedTrial(until=at("2026-04-20"), missing_payment_method=behavior)
    started = _start(history, _request(history, trial=trial))
    assert (started.row.status, started.change.outcome) == ("trialing", "applied")
    if behavior == "create_invoice":
        _is_as_quoted(started)
        assert started.row.status == "past_due"
        return
    assert started.preview.quote.next_invoice is None
    assert started.preview.ends_without_method == started.row.cancel_at == at("2026-04-20")
    history.advance_to("2026-04-21")
    assert (started.row.status, started.invoices) == ("canceled", [])


def test_a_trial_goes_on_once_there_is_a_payment_method(app: Flask) -> None:
    history = History.start(app, card=None)
    trial = WantedTrial(days=10, missing_payment_method="cancel")
    started = _start(history, _request(history, trial=trial))
    assert started.row.cancel_at == started.row.trial_end
    with transaction() as session:
        made = history.shop.merchant
        made.session = session
        customer = session.get(Customer, history.shop.customer.id)
        assert customer is not None
        made.method(customer, world.VISA)
        session.flush()
        trials.follow_payment_method(session, customer, history.now)
    assert started.row.cancel_at is None


def test_a_trial_before_invoices_needs_no_payment_method(app: Flask) -> None:
    history = History.start(app, card=None)
    trial = WantedTrial(days=14, missing_payment_method="cancel")
    request = _request(history, trial=trial, collection_method="send_invoice", days_until_due=7)
    started = _start(history, request)
    assert (started.row.cancel_at, started.row.trial_settings) == (None, None)
    _is_as_quoted(started)
    assert (started.row.status, started.invoices[0].status) == ("active", "open")


def test_who_pays_by_invoice_begins_at_once(app: Flask) -> None:
    history = History.start(app, card=None)
    request = _request(history, collection_method="send_invoice", days_until_due=14)
    started = _start(history, request)
    (first,) = started.invoices
    assert (started.row.status, started.row.days_until_due, started.change.outcome) == ("active", 14, "applied")
    assert (first.status, first.due_date, first.next_payment_attempt) == ("open", history.now + 14 * DAY, None)
    _is_as_quoted(started)


@pytest.mark.both_databases
def test_who_cannot_be_charged_is_refused_and_nothing_is_written(app: Flask) -> None:
    history = History.start(app, card=None)
    before = _all(select(func.count()).select_from(Event))
    with pytest.raises(BillingError, match="no payment method to charge") as refused:
        _start(history, _request(history))
    assert refused.value.param == "collection_method"
    assert _all(select(func.count()).select_from(Event)) == before
    assert len(_all(select(Subscription.id).where(history._owned(Subscription)))) == 1


@pytest.mark.parametrize(("card", "outcome"), [(world.FAILS, "declined"), (world.ASKS, "requires_action")])
def test_what_is_not_paid_expires_and_gives_the_code_back(app: Flask, card: str, outcome: str) -> None:
    history = History.start(app, card=card, customer={"balance": -100})
    code_id = history.create_code(percent_off="50", duration="forever")
    started = _start(history, _request(history, code="CODE"))
    assert (started.row.status, started.invoices[0].status, started.invoices[0].amount_due) == (
        "incomplete",
        "open",
        100,
    )
    assert _one(history, PlanChange).outcome == "pending"
    assert _one(history, PaymentAttempt).status == outcome
    history.advance_to("2026-04-03")
    assert (started.row.status, started.invoices[0].status) == ("incomplete_expired", "void")
    code = _all(
        select(PromotionCode.times_redeemed).where(PromotionCode.account_id == history.shop.customer.account_id)
    )
    assert code[0].times_redeemed == 0
    again = _start(history, _request(history, code="CODE"), collects=False)
    assert again.preview.quote.code is not None
    assert _one(history, Discount, Discount.promotion_code_id == code_id).subscription_id == again.id
    ledger.audit(history.shop.customer.account_id, history.first_balance)


def _tax_rate(history: History) -> str:
    with transaction() as session:
        account = session.get(world.Account, history.shop.customer.account_id)
        return str(world.Merchant(session, history.now, account).row(CatalogTaxRate, "txr", **VAT).id)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_started_is_billed_as_quoted(app: Flask, seed: int) -> None:
    """Prices, quantities, trials, codes, taxes, credit and debt as the dice have them, beside the subscription of before."""
    dice = random.Random(seed)
    history = History.start(
        app, at("2026-01-31 10:00:00"), add_ons=True, customer={"balance": dice.choice((0, -700, 300))}
    )
    names = dice.sample(["team", "year", "solo", "storage", "support"], dice.randint(1, 3))
    terms: dict[str, Any] = {"tax_rate_ids": [_tax_rate(history)] if dice.random() < 0.5 else []}
    if dice.random() < 0.5:
        terms["trial"] = WantedTrial(days=dice.randint(1, 40))
    if dice.random() < 0.6:
        duration = dice.choice(("once", "forever"))
        history.create_code(percent_off=dice.choice(("10", "33.33", "100")), duration=duration)
        terms["code"] = "CODE"
    if dice.random() < 0.3:
        terms |= {"collection_method": "send_invoice", "days_until_due": dice.randint(0, 30)}
    request = _request(history, *(f"{name}*{dice.randint(1, 9)}" for name in names), **terms)
    _is_as_quoted(_start(history, request, later=dice.randint(0, 1800)))


def test_a_second_click_starts_nothing(app: Flask) -> None:
    history = History.start(app)
    request, name = _request(history), new_id("sub")
    preview = starts.preview(history.shop.customer.id, name, request, history.now)
    yes = Confirmation(history.now, preview.fingerprint, "once")
    first, second = (starts.start(history.shop.customer.id, name, request, yes, history.now) for _ in range(2))
    assert first.id == second.id
    assert len(_all(select(Subscription.id).where(history._owned(Subscription)))) == 2


def test_what_has_changed_since_the_quote_is_refused(app: Flask) -> None:
    history = History.start(app, customer={"balance": -100})
    request, name = _request(history), new_id("sub")
    quoted = starts.preview(history.shop.customer.id, name, request, history.now)
    yes = Confirmation(history.now, quoted.fingerprint, "key")
    whose = (history.shop.customer.id, name)
    for other in (
        _request(history, "solo*2"), _request(history, trial=WantedTrial(days=1)),
        _request(history, collection_method="send_invoice", days_until_due=3),
    ):  # fmt: skip
        with pytest.raises(StateChanged) as refused:
            starts.start(*whose, other, yes, history.now)
        assert refused.value.code == "quote_changed"
    with pytest.raises(StateChanged) as late:
        starts.start(*whose, request, yes, history.now + 1801)
    assert late.value.code == "quote_expired"
    with transaction() as session:
        customer = session.get(Customer, history.shop.customer.id)
        assert customer is not None
        customer.balance = 0
    with pytest.raises(StateChanged):
        starts.start(*whose, request, yes, history.now)
    assert len(_all(select(Subscription.id).where(history._owned(Subscription)))) == 1


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({"code": "NONE"}, "promotion_code"),
        ({"code": "a\0b"}, "promotion_code"),
        ({"coupon_id": "NONE\0"}, "coupon"),
        ({"code": "NONE", "coupon_id": "NONE"}, "promotion_code"),
        ({"tax_rate_ids": ["txr_none\0"]}, "default_tax_rates"),
        ({"collection_method": "send_invoice"}, "days_until_due"),
        ({"prices": [WantedPrice("price_\0", 1)]}, "items[0][price]"),
    ],
)
@pytest.mark.both_databases
def test_what_is_not_there_is_refused_at_its_parameter(app: Flask, terms: dict[str, Any], param: str) -> None:
    history = History.start(app)
    request = StartRequest(**{"prices": _request(history).prices, **terms})
    with pytest.raises(BillingError) as refused:
        _start(history, request)
    assert refused.value.param == param
