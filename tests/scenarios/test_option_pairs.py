"""All pairs of plan change options: the same change on 16 April with each pair, and all invoices until June.

`-Team 5.00` is credit for unused time, `+3 × Team 15.00` the rest of the month, `3 × Team 30.00` a whole period.
"""

import re
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.models import Price, SubscriptionItem
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from tests import world
from tests.billing.terms import at
from tests.scenarios.life import Life, day
from tests.world import reading

PRORATION = {"none": "none", "wait": "create_prorations", "at once": "always_invoice"}
ANCHOR = {"stays": "unchanged", "restarts": "now"}
WISHES: dict[str, dict[str, Any]] = {"three": {"quantity": 3}, "solo": {"price": "solo"}, "year": {"price": "year"}}
FALLING, SHORTER = "decreasing_item_amount", "shortening_interval"


def _policy(proration: str, anchor: str, **more: Any) -> dict[str, Any]:
    return {"proration_behavior": PRORATION[proration], "billing_cycle_anchor": ANCHOR[anchor], **more}


def _bills(life: Life, first: int = 1) -> list[str]:
    """The bills of a life, in few words."""
    words = {"Unused time on ": "-", "Remaining time on ": "+", " after 16 Apr 2026": "", "seats ": ""}
    return [re.sub(r" \(at [^)]*\)|2026-| paid", "", _replaced(bill, words)) for bill in life.bills(first)]


def _replaced(text: str, words: dict[str, str]) -> str:
    for long, short in words.items():
        text = text.replace(long, short)
    return text


def _lived(app: Flask, wish: dict[str, Any], policy: dict[str, Any], **members: Any) -> Life:
    life = Life.begins(app, policy=policy, **members).goes_to("2026-04-16")
    life.changes(**wish)
    return life.goes_to("2026-06-02")


THREE = ["05-01: 3 × Team 30.00 = 30.00", "06-01: 3 × Team 30.00 = 30.00"]
SOLO = ["05-01: 1 × Solo 4.00 = 4.00", "06-01: 1 × Solo 4.00 = 4.00"]


@pytest.mark.parametrize(
    ("wish", "proration", "anchor", "bills"),
    [
        ("three", "none", "stays", THREE),
        ("three", "none", "restarts", ["04-16: 3 × Team 30.00 = 30.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("three", "wait", "stays", ["05-01: -Team -5.00, +3 × Team 15.00, 3 × Team 30.00 = 40.00", THREE[1]]),
        ("three", "wait", "restarts", ["04-16: -Team -5.00, 3 × Team 30.00 = 25.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("three", "at once", "stays", ["04-16: -Team -5.00, +3 × Team 15.00 = 10.00", *THREE]),
        ("three", "at once", "restarts", ["04-16: -Team -5.00, 3 × Team 30.00 = 25.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("solo", "none", "stays", SOLO),
        ("solo", "none", "restarts", ["04-16: 1 × Solo 4.00 = 4.00", "05-16: 1 × Solo 4.00 = 4.00"]),
        ("solo", "wait", "stays", ["05-01: -Team -5.00, +Solo 2.00, 1 × Solo 4.00 = 1.00", SOLO[1]]),
        ("solo", "wait", "restarts",
         ["04-16: -Team -5.00, 1 × Solo 4.00 = -1.00, due 0.00", "05-16: 1 × Solo 4.00 = 4.00, due 3.00"]),
        ("solo", "at once", "stays",
         ["04-16: -Team -5.00, +Solo 2.00 = -3.00, due 0.00", "05-01: 1 × Solo 4.00 = 4.00, due 1.00", SOLO[1]]),
        ("solo", "at once", "restarts",
         ["04-16: -Team -5.00, 1 × Solo 4.00 = -1.00, due 0.00", "05-16: 1 × Solo 4.00 = 4.00, due 3.00"]),
        ("year", "none", "stays", ["05-01: 1 × Team 100.00 = 100.00"]),
        ("year", "none", "restarts", ["04-16: 1 × Team 100.00 = 100.00"]),
        # Another interval is billed at once, as it begins another period: 350 of 365 days.
        ("year", "wait", "stays", ["04-16: -Team -5.00, +Team 95.89 = 90.89"]),
        ("year", "wait", "restarts", ["04-16: -Team -5.00, 1 × Team 100.00 = 95.00"]),
        ("year", "at once", "stays", ["04-16: -Team -5.00, +Team 95.89 = 90.89"]),
        ("year", "at once", "restarts", ["04-16: -Team -5.00, 1 × Team 100.00 = 95.00"]),
    ],
)  # fmt: skip
def test_proration_with_the_billing_date(
    lite_app: Flask, wish: str, proration: str, anchor: str, bills: list[str]
) -> None:
    assert _bills(_lived(lite_app, WISHES[wish], _policy(proration, anchor))) == bills


EACH = [(proration, anchor) for proration in PRORATION for anchor in ANCHOR]


@pytest.mark.parametrize(("proration", "anchor"), EACH)
@pytest.mark.parametrize(
    ("trial", "bills"),
    [
        ("end_trial", ["04-16: 3 × Team 30.00 = 30.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("continue_trial", THREE),
    ],
)
def test_a_trial_ends_or_goes_on_whatever_else_is_chosen(
    lite_app: Flask, trial: str, bills: list[str], proration: str, anchor: str
) -> None:
    free = {"status": "trialing", "trial_start": world.START, "trial_end": at("2026-05-01")}
    policy = _policy(proration, anchor, trial_update_behavior=trial)
    life = _lived(lite_app, WISHES["three"], policy, **free, billing_cycle_anchor=at("2026-05-01"))
    assert _bills(life, 0) == bills


@pytest.mark.parametrize(("proration", "anchor"), EACH)
@pytest.mark.parametrize("wish", ["solo", "year"])
def test_less_waits_for_the_end_of_the_period_whatever_else_is_chosen(
    lite_app: Flask, wish: str, proration: str, anchor: str
) -> None:
    """A year costs less a month than twelve months do, so it waits as well."""
    life = _lived(lite_app, WISHES[wish], _policy(proration, anchor, schedule_at_period_end=(FALLING,)))
    assert _bills(life) == (SOLO if wish == "solo" else ["05-01: 1 × Team 100.00 = 100.00"])


@pytest.mark.parametrize(("proration", "anchor"), EACH)
def test_only_a_shorter_interval_waits_where_only_that_is_configured(
    lite_app: Flask, proration: str, anchor: str
) -> None:
    plain = _bills(_lived(lite_app, WISHES["solo"], _policy(proration, anchor)))
    shorter = _bills(_lived(lite_app, WISHES["solo"], _policy(proration, anchor, schedule_at_period_end=(SHORTER,))))
    assert shorter == plain


HALVED = "05-01: 3 × Team 30.00, discount -15.00 = 15.00"


@pytest.mark.parametrize(
    ("duration", "proration", "anchor", "bills"),
    [
        ("once", "none", "stays", [HALVED, THREE[1]]),
        ("once", "wait", "stays", ["05-01: -Team -5.00, +3 × Team 15.00, 3 × Team 30.00, discount -15.00 = 25.00", THREE[1]]),
        ("once", "at once", "stays", ["04-16: -Team -5.00, +3 × Team 15.00, discount -7.50 = 2.50", *THREE]),
        ("once", "none", "restarts",
         ["04-16: 3 × Team 30.00, discount -15.00 = 15.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("once", "wait", "restarts",
         ["04-16: -Team -5.00, 3 × Team 30.00, discount -15.00 = 10.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("once", "at once", "restarts",
         ["04-16: -Team -5.00, 3 × Team 30.00, discount -15.00 = 10.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("forever", "none", "stays", [HALVED, "06-01: 3 × Team 30.00, discount -15.00 = 15.00"]),
        ("forever", "wait", "stays",
         ["05-01: -Team -5.00, +3 × Team 15.00, 3 × Team 30.00, discount -22.50 = 17.50",
          "06-01: 3 × Team 30.00, discount -15.00 = 15.00"]),
        ("forever", "at once", "stays",
         ["04-16: -Team -5.00, +3 × Team 15.00, discount -7.50 = 2.50", HALVED,
          "06-01: 3 × Team 30.00, discount -15.00 = 15.00"]),
        ("forever", "none", "restarts",
         ["04-16: 3 × Team 30.00, discount -15.00 = 15.00", "05-16: 3 × Team 30.00, discount -15.00 = 15.00"]),
        ("forever", "at once", "restarts",
         ["04-16: -Team -5.00, 3 × Team 30.00, discount -15.00 = 10.00",
          "05-16: 3 × Team 30.00, discount -15.00 = 15.00"]),
        ("forever", "wait", "restarts",
         ["04-16: -Team -5.00, 3 × Team 30.00, discount -15.00 = 10.00",
          "05-16: 3 × Team 30.00, discount -15.00 = 15.00"]),
    ],
)  # fmt: skip
def test_a_code_with_each_proration_and_billing_date(
    lite_app: Flask, duration: str, proration: str, anchor: str, bills: list[str]
) -> None:
    life = Life.begins(lite_app, policy=_policy(proration, anchor)).goes_to("2026-04-16")
    life.changes(quantity=3, code=life.code(percent_off="50", duration=duration))
    assert _bills(life.goes_to("2026-06-02")) == bills


def test_a_code_with_less_that_waits(lite_app: Flask) -> None:
    policy = _policy("at once", "stays", schedule_at_period_end=(FALLING,))
    life = Life.begins(lite_app, policy=policy).goes_to("2026-04-16")
    life.changes("solo", code=life.code(percent_off="50", duration="once"))
    assert _bills(life.goes_to("2026-06-02")) == ["05-01: 1 × Solo 4.00, discount -2.00 = 2.00", SOLO[1]]


FREE = {"status": "trialing", "trial_start": world.START, "trial_end": world.END, "billing_cycle_anchor": world.END}


@pytest.mark.parametrize(
    ("trial", "bills"),
    [("continue_trial", SOLO), ("end_trial", ["04-16: 1 × Solo 4.00 = 4.00", "05-16: 1 × Solo 4.00 = 4.00"])],
)
def test_less_in_a_trial_takes_effect_with_the_trials_end_or_at_once(
    lite_app: Flask, trial: str, bills: list[str]
) -> None:
    policy = _policy("at once", "stays", schedule_at_period_end=(FALLING,), trial_update_behavior=trial)
    assert _bills(_lived(lite_app, WISHES["solo"], policy, **FREE), 0) == bills


@pytest.mark.parametrize(
    ("duration", "trial", "bills"),
    [
        ("once", "continue_trial", [HALVED, THREE[1]]),
        ("once", "end_trial", ["04-16: 3 × Team 30.00, discount -15.00 = 15.00", "05-16: 3 × Team 30.00 = 30.00"]),
        ("forever", "continue_trial", [HALVED, "06-01: 3 × Team 30.00, discount -15.00 = 15.00"]),
        ("forever", "end_trial",
         ["04-16: 3 × Team 30.00, discount -15.00 = 15.00", "05-16: 3 × Team 30.00, discount -15.00 = 15.00"]),
    ],
)  # fmt: skip
def test_a_code_in_a_trial(lite_app: Flask, duration: str, trial: str, bills: list[str]) -> None:
    policy = _policy("at once", "stays", trial_update_behavior=trial)
    life = Life.begins(lite_app, policy=policy, **FREE).goes_to("2026-04-16")
    life.changes(quantity=3, code=life.code(percent_off="50", duration=duration))
    assert _bills(life.goes_to("2026-06-02"), 0) == bills


@pytest.mark.parametrize(("proration", "anchor"), EACH)
def test_a_shorter_interval_waits_for_the_years_end_whatever_else_is_chosen(
    lite_app: Flask, proration: str, anchor: str
) -> None:
    life = Life.begins(lite_app, policy=_policy("at once", "stays"))
    life.changes("year")
    policy = _policy(proration, anchor, schedule_at_period_end=(SHORTER,))
    life.shop.features = replace(life.shop.features, **policy)
    life.goes_to("2026-07-16")
    assert life.changes("team").outcome == "scheduled"
    assert _bills(life.goes_to("2027-05-02"))[1:] == [
        "2027-04-01: 1 × Team 10.00 = 10.00",
        "2027-05-01: 1 × Team 10.00 = 10.00",
    ]


def test_only_the_item_that_gets_less_decides_how_long_the_change_waits(lite_app: Flask) -> None:
    """The month's item goes down at the month's end, though a year's stands beside it, and the other way round."""
    life = Life.begins(lite_app, policy=_policy("at once", "stays", schedule_at_period_end=(FALLING,)))
    extra = life.gets_item(12000, "year", quantity=2)
    product = _product(life, extra)
    adjustable = {"product": product[0], "prices": [product[1]]}
    life.shop.features = replace(life.shop.features, products=(*life.shop.features.products, adjustable))
    life.goes_to("2026-04-16")
    month = life.quote_of(PlanChangeRequest({life.shop.item_id: (life.shop.prices["solo"].id, 1)}))
    year = life.quote_of(PlanChangeRequest({extra: (None, 1)}))
    both = life.quote_of(PlanChangeRequest({life.shop.item_id: (life.shop.prices["solo"].id, 1), extra: (None, 1)}))
    ends = [day(quote.effective_at) for quote in (month, year, both)]
    assert ends == ["2026-05-01", "2027-04-01", "2027-04-01"]


def _product(life: Life, item_id: str) -> tuple[str, str]:
    with reading() as reader:
        query = select(Price.product_id, Price.id).join(SubscriptionItem, SubscriptionItem.price_id == Price.id)
        found = reader.execute(query.where(SubscriptionItem.id == item_id)).one()
    return found[0], found[1]


def test_a_planned_change_gives_way_to_another_planned_one(lite_app: Flask) -> None:
    life = Life.begins(lite_app, quantity=9, policy=_policy("at once", "stays", schedule_at_period_end=(FALLING,)))
    life.goes_to("2026-04-16")
    for quantity in (5, 2):
        assert life.changes(quantity=quantity).outcome == "scheduled"
    assert _bills(life.goes_to("2026-05-02")) == ["05-01: 2 × Team 20.00 = 20.00"]
    assert life.events.count("subscription_schedule.released") == 2  # the one that gave way, and the one that is done


@pytest.mark.parametrize(
    ("inclusive", "bills"),
    [
        (False, ["05-01: -Team -5.00, +3 × Team 15.00, 3 × Team 30.00, tax 8.00 = 48.00",
                 "06-01: 3 × Team 30.00, tax 6.00 = 36.00"]),
        # Half of the 1.67 that was in the first 10.00 is given back.
        (True, ["05-01: -Team -5.00, +3 × Team 15.00, 3 × Team 30.00 (tax 6.66) = 40.00",
                "06-01: 3 × Team 30.00 (tax 5.00) = 30.00"]),
    ],
)  # fmt: skip
def test_tax_on_lines_that_wait(lite_app: Flask, inclusive: bool, bills: list[str]) -> None:
    vat = [{"id": "txr", "display_name": "VAT", "percentage": "20", "inclusive": inclusive}]
    assert _bills(_lived(lite_app, WISHES["three"], _policy("wait", "stays"), tax=vat)) == bills
