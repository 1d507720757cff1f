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
from tests.scenarios.life import Life, day
from tests.world import reading


def _another_interval(life: Life, item_id: str, every: str) -> Price:
    """A price of the same product for another interval, which customers may choose."""
    account_id = life.shop.customer.account_id
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
    life.shop.features = replace(life.shop.features, products=(*life.shop.features.products, offered))
    return new


def _row(item_id: str) -> Any:
    db.session.remove()
    with reading() as reader:
        return reader.execute(select(SubscriptionItem.__table__).where(SubscriptionItem.id == item_id)).one()


def _ends(life: Life, item_id: str, times: int) -> list[str]:
    """The days on which its next periods begin."""
    found = []
    for _ in range(times):
        found.append(day(_row(item_id).current_period_end))
        life.goes_at(_row(item_id).current_period_end)
    return found


@pytest.mark.case("D11")
@pytest.mark.parametrize("proration", ["none", "create_prorations", "always_invoice"])
def test_an_item_that_leaves_the_others_keeps_its_own_day(app: Flask, proration: str) -> None:
    life = Life.begins(app, policy={"proration_behavior": proration})
    extra = life.gets_item(100, "week")
    monthly = _another_interval(life, extra, "month")
    # A week ends on the 30th of December. Without proration it runs on to then; with it a month begins where the week did.
    life.goes_to("2026-12-28" if proration == "none" else "2027-01-01")
    life.orders(PlanChangeRequest({extra: (monthly.id, 1)}))
    days = ["2026-12-30"] if proration == "none" else []
    days += ["2027-01-30", "2027-02-28", "2027-03-30", "2027-04-30", "2027-05-30"]
    assert _ends(life, extra, len(days)) == days
    assert life.period == ("2027-05-01", "2027-06-01")
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.case("D11")
@pytest.mark.both_databases
def test_weeks_and_months_go_back_to_the_day_they_came_from(app: Flask) -> None:
    life = Life.begins(app, at("2028-01-31"), status="trialing", trial_start=at("2028-01-30"), trial_end=at("2028-01-31"),
                       billing_cycle_anchor=at("2028-01-31"))  # fmt: skip
    life.shop.prices["week"] = _another_interval(life, life.shop.item_id, "week")
    life.goes_to("2028-03-01")
    life.changes("week")
    life.changes("team")
    assert life.period == ("2028-02-29", "2028-03-31")


def _cut_and_kept(app: Flask) -> Life:
    """A last month that is billed until the 16th only, because the subscription was to end then; and is not."""
    life = Life.begins(app).goes_to("2027-02-20")
    life.has(cancel_at=at("2027-03-16"), cancellation_details={"reason": "cancellation_requested"})
    life.goes_to("2027-03-02")
    life.keeps()
    return life


@pytest.mark.both_databases
def test_a_period_that_was_cut_short_is_billed_to_its_end_when_the_subscription_goes_on(app: Flask) -> None:
    life = _cut_and_kept(app).goes_to("2027-05-02")
    assert life.bills()[-4:] == [
        "2027-03-01 paid: Remaining time on Team after 01 Mar 2027 4.84 = 4.84",
        "2027-03-16 paid: Remaining time on Team after 16 Mar 2027 5.16 = 5.16",
        "2027-04-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00",
        "2027-05-01 paid: 1 seats × Team (at €10.00 / month) 10.00 = 10.00",
    ]
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.parametrize("date", ["2027-03-06", "2027-03-21"])
def test_a_change_in_a_part_of_a_period_costs_its_part(app: Flask, date: str) -> None:
    """Before the cut or behind it: five, or twenty, of 31 days at 10.00 and the others at 20.00."""
    life = _cut_and_kept(app).goes_to(date)
    life.changes(quantity=2)
    life.goes_to("2027-04-02")
    of_march = [bill for bill in life.bills() if bill.startswith("2027-03")]
    cost = sum(round(100 * float(bill.rpartition(" = ")[2])) for bill in of_march)
    days = int(date[-2:]) - 1
    assert abs(cost - (1000 * days + 2000 * (31 - days)) / 31) <= 1.5
    assert life.bills()[-1] == "2027-04-01 paid: 2 seats × Team (at €10.00 / month) 20.00 = 20.00"
    ledger.audit(life.shop.customer.account_id)


@pytest.mark.both_databases
def test_an_end_that_is_taken_back_twice_changes_nothing(app: Flask) -> None:
    life = _cut_and_kept(app)
    for _ in range(2):
        life.cancels()
        life.keeps()
    life.cancels()
    life.goes_to("2027-05-02")
    assert [bill[:10] for bill in life.bills()][-1] == "2027-03-01"
    assert day(life.subscription.ended_at) == "2027-03-16"


@pytest.mark.parametrize(
    ("first", "then", "bills"),
    [
        # Half of a month that is paid is left; the other price is one for a year, of which the month's rest is a part.
        ("year", 2, ["-5.00", "+8.22"]),
        ("team", 2, ["-5.00", "+10.00"]),
    ],
)
def test_a_price_for_a_longer_time_is_charged_for_the_time_that_is_left(
    app: Flask, first: str, then: int, bills: list[str]
) -> None:
    life = Life.begins(app, policy={"proration_behavior": "none"}).goes_to("2026-04-11")
    if first == "year":
        life.changes("year")
    life.shop.features = replace(life.shop.features, proration_behavior="always_invoice")
    life.goes_to("2026-04-16")
    quote = life.quote(quantity=then)
    assert [f"{line.total / 100:+.2f}" for line in quote.invoice.lines] == bills


def test_a_price_for_a_shorter_time_begins_its_own_period_with_the_next_proration(app: Flask) -> None:
    life = Life.begins(app, policy={"proration_behavior": "always_invoice"})
    life.changes("year")
    life.shop.features = replace(life.shop.features, proration_behavior="none")
    life.goes_to("2026-07-16")
    life.changes("team")
    assert life.period == ("2026-04-01", "2027-04-01")  # paid, and not given back
    life.shop.features = replace(life.shop.features, proration_behavior="always_invoice")
    life.goes_to("2026-10-16")
    life.changes(quantity=2)
    assert life.period == ("2026-10-01", "2026-11-01")
    assert life.bills()[-1].endswith("Remaining time on 2 × Team after 16 Oct 2026 10.32 = -35.43, due 0.00")
    ledger.audit(life.shop.customer.account_id)


def test_of_a_free_trial_nothing_is_credited(app: Flask) -> None:
    end = at("2026-05-01")
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": end, "billing_cycle_anchor": end}
    life = Life.begins(app, **trial, billing_mode="classic").goes_to("2026-04-16")
    life.cancels(mode="immediately", proration_behavior="always_invoice")
    assert (life.bills(0), life.balance) == ([], 0)
