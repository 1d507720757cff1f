"""Retention offers: whom they match, their effect, and the hold-out group."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.periods import DAY
from portal_site.billing.rules.portal.portal_features import Retention, RetentionOffer, read
from portal_site.billing.rules.retention import experiment, offer_rules
from portal_site.billing.rules.retention.experiment import Comparison, Group
from portal_site.billing.rules.retention.offer_rules import CancellingCustomer
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from tests.billing.terms import at, off, offer, snapshot

NOW = at("2026-04-16")
TALK = {"type": "contact"}


def _leaver(reason: str | None = None, *items: tuple[PricedPlan, int]) -> CancellingCustomer:
    return CancellingCustomer(snapshot(*(items or ((offer(1000), 2),))), NOW - 100 * DAY, reason)


def _retention(*rules: dict[str, Any], **members: Any) -> Retention:
    return Retention.of({"enabled": True, "rules": list(rules), **members})


def _first(found: Retention, leaver: CancellingCustomer) -> RetentionOffer | None:
    return next(offer_rules.fitting(found, leaver, NOW), None)


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({}, True),
        ({"reasons": ["too_expensive", "fo_cat"]}, True),
        ({"reasons": ["unused"]}, False),
        ({"products": ["prod_team", "prod_solo"]}, True),
        ({"products": ["prod_solo"]}, False),
        ({"prices": ["price_team_1000_month_1"]}, True),
        ({"prices": ["price_team_10000_year_1"]}, False),
        ({"minimum_age_days": 100}, True),
        ({"minimum_age_days": 101}, False),
        ({"maximum_age_days": 100}, True),
        ({"maximum_age_days": 99}, False),
        ({"minimum_monthly_amount": 2000, "currency": "eur"}, True),
        ({"minimum_monthly_amount": 2001, "currency": "eur"}, False),
        ({"maximum_monthly_amount": 1999, "currency": "eur"}, False),
        ({"minimum_monthly_amount": 1, "currency": "usd"}, False),
        ({"reasons": ["too_expensive"], "minimum_age_days": 365}, False),
    ],
)
def test_each_part_of_a_condition_narrows_it(when: dict[str, Any], fits: bool) -> None:
    found = _first(_retention({"offer": TALK, "when": when}), _leaver("too_expensive"))
    assert (found is not None) is fits


def test_the_first_that_fits_is_made_and_the_coupon_is_for_everybody_else() -> None:
    found = _retention(
        {"offer": {"type": "pause"}, "when": {"reasons": ["unused"]}},
        {"offer": TALK, "when": {"reasons": ["unused", "too_complex"]}},
        coupon="STAY",
    )
    kinds = [_first(found, _leaver(reason)) for reason in ("unused", "too_complex", "other", None)]
    assert [kind and kind.type for kind in kinds] == ["pause", "contact", "coupon", "coupon"]
    assert _first(replace(found, enabled=False), _leaver("unused")) is None


def test_a_year_costs_a_twelfth_a_month() -> None:
    yearly, weekly = (offer(12000, "year"), 1), (offer(700, "week"), 1)
    assert _leaver(None, yearly).monthly_amount() == 1000
    assert _leaver(None, yearly, weekly).monthly_amount() == 1000 + 3043


@pytest.mark.parametrize(
    "wrong",
    [
        {"rules": [{"offer": {"type": "cash"}}]},
        {"rules": [{"offer": {"type": "coupon"}}]},
        {"rules": [{"offer": {"type": "price"}}]},
        {"rules": [{"offer": {"type": "trial", "days": 0}}]},
        {"rules": [{"offer": {"type": "trial", "days": 731}}]},
        {"rules": [{"offer": {"type": "trial", "days": "7"}}]},
        {"rules": [{"offer": {"type": "contact", "url": "javascript:alert(1)"}}]},
        {"rules": [{"offer": {"type": "contact", "message": "x" * 501}}]},
        {"rules": [{"offer": {"type": "contact", "percent": 3}}]},
        {"rules": [{"offer": TALK, "when": {"minimum_monthly_amount": 1}}]},
        {"rules": [{"offer": TALK, "when": {"weather": "rain"}}]},
        {"rules": [{"when": {}}]},
        {"months_between": 0},
        {"months_between": 121},
        {"months_between": True},
        {"enabled": "no"},
        {"rules": "x"},
        {"rules": ["x"]},
        {"rules": [{"offer": TALK, "when": {"reasons": "unused"}}]},
        {"rules": [{"offer": TALK, "when": {"minimum_age_days": "5"}}]},
        {"rules": [{"offer": {"type": "trial", "days": True}}]},
        {"holdout_percent": 101},
        {"holdout_percent": -1},
    ],
)
def test_a_rule_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read({"subscription_cancel": {"retention": wrong}})


def test_rules_are_stored_and_read_as_they_are() -> None:
    rule = {"offer": {"type": "trial", "days": 7}, "when": {"reasons": ["unused"], "maximum_age_days": 30}}
    features = read({"subscription_cancel": {"retention": {"enabled": True, "rules": [rule]}}})
    assert read(features.as_document()) == features
    assert features.subscription_cancel.retention.rules[0].offer.days == 7


# --- what they bring ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 10**6))
def test_a_coupon_is_offered_only_where_it_takes_something_off(percent: int, of_all: int, amount: int) -> None:
    mine = snapshot((offer(amount), 1), discounts=(off(str(of_all), id="di_old", subscription_id=None),))
    found = offer_rules.reduced(mine, off(str(percent), id="di_new"))
    if found is not None:
        usual, cheaper = found
        assert cheaper.subtotal - cheaper.discount < usual.subtotal - usual.discount
    else:
        assert percent <= of_all or amount * (percent - of_all) < 200


def test_a_trial_is_made_longer_only_while_it_runs() -> None:
    trial = snapshot((offer(1000), 1), status=SubscriptionStatus.TRIALING, trial_end=NOW + DAY)
    assert offer_rules.longer_trial(trial, 7, NOW) == NOW + 8 * DAY
    assert offer_rules.longer_trial(trial, 7, NOW + DAY) is None
    assert offer_rules.longer_trial(snapshot((offer(1000), 1)), 7, NOW) is None


def test_cheaper_is_cheaper_for_the_same_time() -> None:
    mine = snapshot((offer(1000), 3)).items[0]
    assert offer_rules.is_cheaper(mine, offer(11000, "year"))
    assert not offer_rules.is_cheaper(mine, offer(12000, "year"))
    assert not offer_rules.is_cheaper(mine, offer(1000))


@pytest.mark.parametrize(
    ("discounts", "costs"),
    [
        ((), (360000, 30000, False)),
        ((off("20"),), (288000, 24000, True)),
        ((off("20", duration="once"),), (360000, 30000, False)),
        ((off(amount=5000),), (355000, 25000, True)),
    ],
)
def test_a_cheaper_plan_is_compared_with_the_discounts_that_last(
    discounts: tuple[DiscountTerms, ...], costs: tuple[int, int, bool]
) -> None:
    mine = replace(snapshot((offer(12000, "year"), 30)), discounts=discounts)
    found = offer_rules.compare(mine, mine.items[0], offer(1000))
    assert (found.current, found.offered, found.is_discounted) == costs


def test_an_amount_off_is_shared_with_the_other_items() -> None:
    mine = snapshot((offer(1000), 3), (offer(500), 2))
    reduced = replace(mine, discounts=(off(amount=400),))
    found = offer_rules.compare(reduced, mine.items[0], offer(100))
    assert (found.current, found.offered) == (3000 - 300, 300 - round(400 * 300 / 1300))


# --- who is left alone, and what can be said of it ------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [0, 1, 5, 10, 50, 99, 100])
def test_the_hold_out_is_stable_and_within_its_share(percent: int) -> None:
    dice = random.Random(7)
    customers = [f"cus_{dice.getrandbits(120):x}" for _ in range(10_000)]
    held = {customer for customer in customers if experiment.is_held_out(customer, percent)}
    assert held == {customer for customer in customers if experiment.is_held_out(customer, percent)}
    # Four standard deviations of a fair draw: chance alone goes beyond once in sixteen thousand times.
    deviation = (10_000 * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(len(held) - 100 * percent) <= 4 * deviation


def test_a_growing_share_keeps_those_it_had() -> None:
    customers = [f"cus_{number}" for number in range(2_000)]
    for smaller, larger in ((5, 10), (10, 50), (50, 100)):
        held = {customer for customer in customers if experiment.is_held_out(customer, smaller)}
        assert held <= {customer for customer in customers if experiment.is_held_out(customer, larger)}


def _group(paid: list[int], stayed: int) -> Group:
    return Group(len(paid), stayed, sum(paid), sum(amount * amount for amount in paid))


def test_small_groups_have_no_result() -> None:
    many, few = _group([1000] * 500, 250), _group([1000] * 29, 10)
    assert Comparison(many, few).stayed is None
    assert Comparison(few, many).paid is None


def test_confidence_bounds_match_published_examples() -> None:
    # Newcombe's own example: 56 of 70 against 48 of 80 differ by 0.0524 to 0.3339.
    found = Comparison(_group([0] * 70, 56), _group([0] * 80, 48)).stayed
    assert found
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)
    assert found.is_clear


def test_confidence_bounds_cover_as_often_as_stated() -> None:
    dice = random.Random(11)
    held = 0
    for _ in range(400):
        offered = [dice.choice((0, 0, 2000, 4000)) for _ in range(120)]  # 1500 on average
        alone = [dice.choice((0, 0, 0, 4000)) for _ in range(80)]  # 1000
        found = Comparison(_group(offered, 0), _group(alone, 0)).paid
        assert found
        held += found.low <= 500 <= found.high
    assert held / 400 >= 0.92
