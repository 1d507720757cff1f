"""Billing cycle anchors: an item keeps its day of the month, even after changes on the 29th to the 31st."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Account, Price, Product, SubscriptionItem
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.db import db
from portal_site.db.transactions import transaction
from tests import world
from tests.billing.terms import at
from tests.proofs import ledger
from tests.scenarios.history import History
from tests.scenarios.history_state import day
from tests.world import reading


def _another_interval(history: History, item_id: str, every: str) -> Price:
    """A price of the same product for another interval, which customers may choose."""
    account_id = history.shop.customer.account_id
    with transaction() as session:
        mine = SubscriptionItem.id == item_id, SubscriptionItem.account_id == account_id
        both = select(Product, Price).join(Price, Price.product_id == Product.id)
        product, now = session.execute(
            both.join(SubscriptionItem, SubscriptionItem.price_id == Price.id).where(
                *mine, Product.account_id == account_id
            )
        ).one()
        made = world.Merchant(session, world.START, session.get(Account, account_id))
        new = made.price(product, 400, "eur", every)
    offered = {"product": new.product_id, "prices": [now.id, new.id]}
    history.shop.features = replace(history.shop.features, products=(*history.shop.features.products, offered))
    return new


def _row(item_id: str) -> Any:
    db.session.remove()
    with reading() as reader:
        return reader.execute(select(SubscriptionItem.__table__).where(SubscriptionItem.id == item_id)).one()


def _ends(history: History, item_id: str, times: int) -> list[str]:
    """The days on which its next periods begin."""
    found = []
    for _ in range(times):
        found.append(day(_row(item_id).current_period_end))
        history.advance_to_instant(_row(item_id).current_period_end)
    return found


@pytest.mark.case("D11")
@pytest.mark.parametrize("proration", ["none", "create_prorations", "always_invoice"])
def test_an_item_with_another_interval_keeps_its_own_billing_day(app: Flask, proration: str) -> None:
    history = History.start(app, policy={"proration_behavior": proration})
    extra = history.add_item(100, "week")
    monthly = _another_interval(history, extra, "month")
    # A week ends on the 30th of December. Without proration it runs on to then; with it a month begins where the week did.
    history.advance_to("2026-12-28" if proration == "none" else "2027-01-01")
    history.change_items(PlanChangeRequest({extra: (monthly.id, 1)}))
    days = ["2026-12-30"] if proration == "none" else []
    days += ["2027-01-30", "2027-02-28", "2027-03-30", "2027-04-30", "2027-05-30"]
    assert _ends(history, extra, len(days)) == days
    assert history.period == ("2027-05-01", "2027-06-01")
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.case("D11")
@pytest.mark.both_databases
def test_changing_between_weeks_and_months_restores_the_billing_day(app: Flask) -> None:
    history = History.start(app, at("2028-01-31"), status="trialing", trial_start=at("2028-01-30"), trial_end=at("2028-01-31"),
                       billing_cycle_anchor=at("2028-01-31"))  # fmt: skip
    history.shop.prices["week"] = _another_interval(history, history.shop.item_id, "week")
    history.advance_to("2028-03-01")
    history.change_plan("week")
    history.change_plan("team")
    assert history.period == ("2028-02-29", "2028-03-31")


def _cut_and_kept(app: Flask) -> History:
    """A last month that is billed until the 16th only, because the subscription was to end then; and is not."""
    history = History.start(app).advance_to("2027-02-20")
    history.set_members(cancel_at=at("2027-03-16"), cancellation_details={"reason": "cancellation_requested"})
    history.advance_to("2027-03-02")
    history.undo_cancellation()
    return history


@pytest.mark.both_databases
def test_a_shortened_period_is_billed_to_its_end_when_the_cancellation_is_undone(app: Flask) -> None:
    history = _cut_and_kept(app).advance_to("2027-05-02")
    assert history.invoices()[-4:] == [
        "2027-03-01 paid: Remaining time on Team after 01 Mar 2027 4.84 = 4.84",
        "2027-03-16 paid: Remaining time on Team after 16 Mar 2027 5.16 = 5.16",
        "2027-04-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00",
        "2027-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00",
    ]
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.parametrize("date", ["2027-03-06", "2027-03-21"])
def test_a_change_in_a_shortened_period_is_prorated_by_the_full_period(app: Flask, date: str) -> None:
    """Before the cut or behind it: five, or twenty, of 31 days at 10.00 and the others at 20.00."""
    history = _cut_and_kept(app).advance_to(date)
    history.change_plan(quantity=2)
    history.advance_to("2027-04-02")
    of_march = [bill for bill in history.invoices() if bill.startswith("2027-03")]
    cost = sum(round(100 * float(bill.rpartition(" = ")[2])) for bill in of_march)
    days = int(date[-2:]) - 1
    assert abs(cost - (1000 * days + 2000 * (31 - days)) / 31) <= 1.5
    assert history.invoices()[-1] == "2027-04-01 paid: 2 seats × Team (at €10.00 / month) 20.00 = 20.00"
    ledger.audit(history.shop.customer.account_id)


@pytest.mark.both_databases
def test_undoing_a_cancellation_twice_changes_nothing(app: Flask) -> None:
    history = _cut_and_kept(app)
    for _ in range(2):
        history.cancel()
        history.undo_cancellation()
    history.cancel()
    history.advance_to("2027-05-02")
    assert [bill[:10] for bill in history.invoices()][-1] == "2027-03-01"
    assert day(history.subscription.ended_at) == "2027-03-16"


@pytest.mark.parametrize(
    ("first", "then", "bills"),
    [
        # Half of a month that is paid is left; the other price is one for a year, of which the month's rest is a part.
        ("year", 2, ["-5.00", "+8.22"]),
        ("team", 2, ["-5.00", "+10.00"]),
    ],
)
def test_a_price_with_a_longer_interval_is_charged_for_the_remaining_time(
    app: Flask, first: str, then: int, bills: list[str]
) -> None:
    history = History.start(app, policy={"proration_behavior": "none"}).advance_to("2026-04-11")
    if first == "year":
        history.change_plan("year")
    history.shop.features = replace(history.shop.features, proration_behavior="always_invoice")
    history.advance_to("2026-04-16")
    quote = history.quote(quantity=then)
    assert [f"{line.total / 100:+.2f}" for line in quote.invoice.lines] == bills


def test_a_price_with_a_shorter_interval_starts_its_own_period(app: Flask) -> None:
    history = History.start(app, policy={"proration_behavior": "always_invoice"})
    history.change_plan("year")
    history.shop.features = replace(history.shop.features, proration_behavior="none")
    history.advance_to("2026-07-16")
    history.change_plan("team")
    assert history.period == ("2026-04-01", "2027-04-01")  # paid, and not given back
    history.shop.features = replace(history.shop.features, proration_behavior="always_invoice")
    history.advance_to("2026-10-16")
    history.change_plan(quantity=2)
    assert history.period == ("2026-10-01", "2026-11-01")
    assert history.invoices()[-1].endswith("Remaining time on 2 × Team after 16 Oct 2026 10.32 = -35.43, due 0.00")
    ledger.audit(history.shop.customer.account_id)


def test_a_free_trial_is_not_credited(app: Flask) -> None:
    end = at("2026-05-01")
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": end, "billing_cycle_anchor": end}
    history = History.start(app, **trial, billing_mode="classic").advance_to("2026-04-16")
    history.cancel(mode="immediately", proration_behavior="always_invoice")
    assert (history.invoices(0), history.balance) == ([], 0)
