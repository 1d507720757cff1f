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
from tests.scenarios.history import History
from tests.scenarios.history_state import day
from tests.world import reading

PRORATION = {"none": "none", "wait": "create_prorations", "at once": "always_invoice"}
ANCHOR = {"stays": "unchanged", "restarts": "now"}
WISHES: dict[str, dict[str, Any]] = {"three": {"quantity": 3}, "solo": {"price": "solo"}, "year": {"price": "year"}}
FALLING, SHORTER = "decreasing_item_amount", "shortening_interval"


def _policy(proration: str, anchor: str, **more: Any) -> dict[str, Any]:
    return {"proration_behavior": PRORATION[proration], "billing_cycle_anchor": ANCHOR[anchor], **more}


def _bills(history: History, first: int = 1) -> list[str]:
    """The bills of a history, in few words."""
    words = {"Unused time on ": "-", "Remaining time on ": "+", " after 16 Apr 2026": "", "seats ": ""}
    return [re.sub(r" \(at [^)]*\)|2026-| paid", "", _replaced(bill, words)) for bill in history.invoices(first)]


def _replaced(text: str, words: dict[str, str]) -> str:
    for long, short in words.items():
        text = text.replace(long, short)
    return text


def _lived(app: Flask, wish: dict[str, Any], policy: dict[str, Any], **members: Any) -> History:
    history = History.start(app, policy=policy, **members).advance_to("2026-04-16")
    history.change_plan(**wish)
    return history.advance_to("2026-06-02")


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
def test_trial_behavior_with_each_other_option(
    lite_app: Flask, trial: str, bills: list[str], proration: str, anchor: str
) -> None:
    free = {"status": "trialing", "trial_start": world.START, "trial_end": at("2026-05-01")}
    policy = _policy(proration, anchor, trial_update_behavior=trial)
    history = _lived(lite_app, WISHES["three"], policy, **free, billing_cycle_anchor=at("2026-05-01"))
    assert _bills(history, 0) == bills


@pytest.mark.parametrize(("proration", "anchor"), EACH)
@pytest.mark.parametrize("wish", ["solo", "year"])
def test_downgrades_wait_for_the_period_end_with_each_other_option(
    lite_app: Flask, wish: str, proration: str, anchor: str
) -> None:
    """A year costs less a month than twelve months do, so it waits as well."""
    history = _lived(lite_app, WISHES[wish], _policy(proration, anchor, schedule_at_period_end=(FALLING,)))
    assert _bills(history) == (SOLO if wish == "solo" else ["05-01: 1 × Team 100.00 = 100.00"])


@pytest.mark.parametrize(("proration", "anchor"), EACH)
def test_only_a_shorter_interval_waits_if_only_that_is_configured(lite_app: Flask, proration: str, anchor: str) -> None:
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
    history = History.start(lite_app, policy=_policy(proration, anchor)).advance_to("2026-04-16")
    history.change_plan(quantity=3, code=history.create_code(percent_off="50", duration=duration))
    assert _bills(history.advance_to("2026-06-02")) == bills


def test_a_code_with_a_deferred_downgrade(lite_app: Flask) -> None:
    policy = _policy("at once", "stays", schedule_at_period_end=(FALLING,))
    history = History.start(lite_app, policy=policy).advance_to("2026-04-16")
    history.change_plan("solo", code=history.create_code(percent_off="50", duration="once"))
    assert _bills(history.advance_to("2026-06-02")) == ["05-01: 1 × Solo 4.00, discount -2.00 = 2.00", SOLO[1]]


FREE = {"status": "trialing", "trial_start": world.START, "trial_end": world.END, "billing_cycle_anchor": world.END}


@pytest.mark.parametrize(
    ("trial", "bills"),
    [("continue_trial", SOLO), ("end_trial", ["04-16: 1 × Solo 4.00 = 4.00", "05-16: 1 × Solo 4.00 = 4.00"])],
)
def test_a_downgrade_in_a_trial_takes_effect_at_its_end_or_now(lite_app: Flask, trial: str, bills: list[str]) -> None:
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
    history = History.start(lite_app, policy=policy, **FREE).advance_to("2026-04-16")
    history.change_plan(quantity=3, code=history.create_code(percent_off="50", duration=duration))
    assert _bills(history.advance_to("2026-06-02"), 0) == bills


@pytest.mark.parametrize(("proration", "anchor"), EACH)
def test_a_shorter_interval_waits_for_the_year_end_with_each_other_option(
    lite_app: Flask, proration: str, anchor: str
) -> None:
    history = History.start(lite_app, policy=_policy("at once", "stays"))
    history.change_plan("year")
    policy = _policy(proration, anchor, schedule_at_period_end=(SHORTER,))
    history.shop.features = replace(history.shop.features, **policy)
    history.advance_to("2026-07-16")
    assert history.change_plan("team").outcome == "scheduled"
    assert _bills(history.advance_to("2027-05-02"))[1:] == [
        "2027-04-01: 1 × Team 10.00 = 10.00",
        "2027-05-01: 1 × Team 10.00 = 10.00",
    ]


def test_the_downgraded_item_decides_when_a_change_takes_effect(lite_app: Flask) -> None:
    """The month's item goes down at the month's end, though a year's stands beside it, and the other way round."""
    history = History.start(lite_app, policy=_policy("at once", "stays", schedule_at_period_end=(FALLING,)))
    extra = history.add_item(12000, "year", quantity=2)
    product = _product(history, extra)
    adjustable = {"product": product[0], "prices": [product[1]]}
    history.shop.features = replace(history.shop.features, products=(*history.shop.features.products, adjustable))
    history.advance_to("2026-04-16")
    month = history.quote_of(PlanChangeRequest({history.shop.item_id: (history.shop.prices["solo"].id, 1)}))
    year = history.quote_of(PlanChangeRequest({extra: (None, 1)}))
    both = history.quote_of(
        PlanChangeRequest({history.shop.item_id: (history.shop.prices["solo"].id, 1), extra: (None, 1)})
    )
    ends = [day(quote.effective_at) for quote in (month, year, both)]
    assert ends == ["2026-05-01", "2027-04-01", "2027-04-01"]


def _product(history: History, item_id: str) -> tuple[str, str]:
    with reading() as reader:
        query = select(Price.product_id, Price.id).join(SubscriptionItem, SubscriptionItem.price_id == Price.id)
        found = reader.execute(query.where(SubscriptionItem.id == item_id)).one()
    return found[0], found[1]


def test_a_planned_change_is_replaced_by_another(lite_app: Flask) -> None:
    history = History.start(lite_app, quantity=9, policy=_policy("at once", "stays", schedule_at_period_end=(FALLING,)))
    history.advance_to("2026-04-16")
    for quantity in (5, 2):
        assert history.change_plan(quantity=quantity).outcome == "scheduled"
    assert _bills(history.advance_to("2026-05-02")) == ["05-01: 2 × Team 20.00 = 20.00"]
    assert (
        history.events.count("subscription_schedule.released") == 2
    )  # the one that gave way, and the one that is done


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
def test_tax_on_deferred_lines(lite_app: Flask, inclusive: bool, bills: list[str]) -> None:
    vat = [{"id": "txr", "display_name": "VAT", "percentage": "20", "inclusive": inclusive}]
    assert _bills(_lived(lite_app, WISHES["three"], _policy("wait", "stays"), tax=vat)) == bills
