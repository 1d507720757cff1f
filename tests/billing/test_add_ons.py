"""Quotes with items that are added and removed, and what a customer may ask for in the portal."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import ItemSpec, PricedPlan
from portal_site.billing.rules.portal.portal_features import SubscriptionUpdate
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.item_changes import ProrationPolicy
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest, PortalPolicy
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from tests.billing.terms import VAT, after, at, off, offer, snapshot

NOW = ProrationPolicy(proration_behavior="always_invoice")
LATER = ProrationPolicy(proration_behavior="create_prorations")
START, HALF, END = at("2026-04-01"), at("2026-04-16"), at("2026-05-01")
TEAM, STORAGE = offer(1000), offer(300, product="storage")


def _team(*more: tuple[PricedPlan, int], **members: Any) -> SubscriptionSnapshot:
    return snapshot((TEAM, 1), *more, start=START, **members)


def _with(now: SubscriptionSnapshot, *added: tuple[PricedPlan, int], without: str = "") -> list[ItemSpec]:
    """The items as they are, without one of them, and with others."""
    kept = [item.spec for item in now.items if item.id != without]
    return kept + [ItemSpec(plan, quantity) for plan, quantity in added]


def _lines(quote: Quote) -> list[tuple[str, int]]:
    lines = quote.invoice.lines or quote.deferred_lines
    return [(line.offer.product, line.amount) for line in lines]


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_an_added_item_costs_the_rest_of_the_period_and_renews_with_the_others() -> None:
    quote = plan_change.quote(_team(), _with(_team(), (STORAGE, 2)), NOW, HALF)
    assert _lines(quote) == [("Storage", 300)]
    assert quote.items[1].period_end == END
    assert quote.next_invoice is not None
    assert (quote.next_invoice.date, quote.next_invoice.amount_due) == (END, 1600)


def test_a_removed_item_is_credited_and_not_billed_again() -> None:
    now = _team((STORAGE, 2))
    quote = plan_change.quote(now, _with(now, without="si_1"), NOW, HALF)
    assert _lines(quote) == [("Storage", -300)]
    assert [item.id for item in quote.items] == ["si_0"]
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 1000 - 300


def test_plan_and_add_ons_change_with_one_invoice() -> None:
    now = _team((STORAGE, 2))
    target = [ItemSpec(offer(2000), 1, "si_0"), ItemSpec(offer(500, product="support"), 1)]
    quote = plan_change.quote(now, target, NOW, HALF)
    assert _lines(quote) == [("Team", -500), ("Storage", -300), ("Team", 1000), ("Support", 250)]
    assert quote.invoice.amount_due == 450


def test_without_proration_nothing_is_billed_before_the_renewal() -> None:
    quote = plan_change.quote(_team(), _with(_team(), (STORAGE, 1)), ProrationPolicy(), HALF)
    assert (_lines(quote), quote.deferred) == ([], False)
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 1300


def test_prorations_of_an_added_item_go_on_the_next_invoice() -> None:
    quote = plan_change.quote(_team(), _with(_team(), (STORAGE, 1)), LATER, HALF)
    assert (quote.invoiced, [line.amount for line in quote.deferred_lines]) == (False, [150])
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 1000 + 300 + 150


@pytest.mark.parametrize("removed", [True, False])
def test_removing_is_a_downgrade_and_adding_is_none(removed: bool) -> None:
    policy = replace(NOW, schedule_at_period_end=("decreasing_item_amount",))
    now = _team((STORAGE, 2))
    target = _with(now, without="si_1") if removed else _with(now, (offer(500, product="support"), 1))
    assert plan_change.quote(now, target, policy, HALF).deferred == removed


def test_an_item_with_a_longer_interval_follows_the_anchor() -> None:
    """A year from 1 April, bought on the 16th: 350 of 365 days."""
    quote = plan_change.quote(_team(), _with(_team(), (offer(3650, "year", product="storage"), 1)), NOW, HALF)
    assert _lines(quote) == [("Storage", 3500)]
    assert quote.items[1].period_end == at("2027-04-01")


def test_an_added_item_follows_an_item_with_its_own_billing_day() -> None:
    own = replace(_team().items[0], period_start=at("2026-04-10"), period_end=at("2026-05-10"), anchor=at("2026-04-10"))
    now = snapshot(own, start=START)
    (_, added) = plan_change.quote(now, _with(now, (STORAGE, 1)), NOW, at("2026-04-25")).items
    assert (added.period_start, added.period_end, added.anchor) == (own.period_start, own.period_end, own.anchor)


def test_an_item_can_join_before_the_first_whole_period() -> None:
    """The cycle begins on 15 May; until then the period is a shorter one."""
    now = replace(_team(), anchor=at("2026-05-15"))
    (_, added) = plan_change.quote(now, _with(now, (offer(70, "week", product="storage"), 1)), NOW, HALF).items
    assert added.period_start <= HALF < added.period_end <= HALF + 7 * 24 * 60 * 60


def test_in_a_trial_that_continues_an_added_item_is_free_until_its_end() -> None:
    trial = _team(status=SubscriptionStatus.TRIALING, trial_end=END, creditable_lines=())
    quote = plan_change.quote(
        trial, _with(trial, (STORAGE, 1)), replace(NOW, trial_update_behavior="continue_trial"), HALF
    )
    assert (_lines(quote), quote.items[1].period_end) == ([], END)
    assert quote.next_invoice is not None
    assert quote.next_invoice.amount_due == 1300


def test_a_new_cycle_bills_the_whole_of_everything() -> None:
    now = _team((STORAGE, 1))
    quote = plan_change.quote(
        now,
        _with(now, (offer(500, product="support"), 1), without="si_1"),
        replace(NOW, billing_cycle_anchor="now"),
        HALF,
    )
    assert _lines(quote) == [("Team", -500), ("Storage", -150), ("Team", 1000), ("Support", 500)]
    assert {item.period_start for item in quote.items} == {HALF}


def test_discounts_and_tax_cover_what_is_added() -> None:
    now = _team(discounts=(off("50"),), tax_rates=(VAT,))
    quote = plan_change.quote(now, _with(now, (STORAGE, 2)), NOW, HALF)
    assert [(line.amount, line.discount, line.total) for line in quote.invoice.lines] == [(300, 150, 180)]


def test_the_ids_of_added_items_are_the_same_in_each_quote_of_one_instant() -> None:
    target = _with(_team(), (STORAGE, 1), (offer(500, product="support"), 1))
    first, second = (plan_change.quote(_team(), target, NOW, HALF).items for _ in range(2))
    assert [item.id for item in first] == [item.id for item in second] == sorted({item.id for item in first})
    assert plan_change.quote(_team(), target, NOW, HALF + 1).items[1].id != first[1].id


PATHS = st.lists(
    st.tuples(
        st.integers(0, END - START - 1),
        st.lists(st.sampled_from(["team", "storage", "support"]), min_size=1, max_size=3, unique=True),
        st.integers(1, 5000),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300)
@given(PATHS, st.booleans())
def test_any_sequence_of_added_and_removed_items_pays_for_its_time(path: Any, at_once: bool) -> None:
    """What was paid in a period is the price of each stretch of it, to half a unit for each line."""
    policy = NOW if at_once else LATER
    now, paid, used, lines = _team(), Fraction(1000), Fraction(0), 1
    since = START
    for offset, products, unit, quantity in sorted(path):
        when = START + offset
        present = {item.offer.product_id: item for item in now.items}
        target = [
            ItemSpec(offer(unit, product=product), quantity, item.id if item else None)
            for product in products
            for item in [present.get(f"prod_{product}")]
        ]
        try:
            quote = plan_change.quote(now, target, policy, when)
        except BillingError:
            continue
        new = quote.invoice.lines if at_once else quote.deferred_lines
        paid += sum(line.total for line in new)
        lines += len(new)
        used += Fraction(sum(item.amount for item in now.items) * (when - since), END - START)
        since, now = when, after(now, quote)
    used += Fraction(sum(item.amount for item in now.items) * (END - since), END - START)
    assert abs(paid - used) <= Fraction(lines, 2)


# --- what may be asked for --------------------------------------------------------------------------------------------

SUPPORT = offer(500, product="support")
FEATURES = SubscriptionUpdate(
    enabled=True,
    default_allowed_updates=("price", "quantity"),
    products=({"product": "prod_team", "prices": [TEAM.price_id]},),
    add_ons=(
        {
            "product": "prod_storage",
            "prices": [STORAGE.price_id],
            "adjustable_quantity": {"enabled": True, "minimum": 2, "maximum": 5},
        },
        {"product": "prod_support", "prices": [SUPPORT.price_id]},
    ),
)


def _policy(now: SubscriptionSnapshot, *more: PricedPlan, **features: Any) -> PortalPolicy:
    offers = {plan.price_id: plan for plan in (TEAM, STORAGE, SUPPORT, *more)}
    return PortalPolicy(now, replace(FEATURES, **features), offers)


def _target(
    now: SubscriptionSnapshot, **add_ons: tuple[str | None, int | None]
) -> list[tuple[str, int | None, str | None]]:
    request = PlanChangeRequest(add_ons={f"prod_{name}": choice for name, choice in add_ons.items()})
    return [(spec.offer.product, spec.quantity, spec.id) for spec in _policy(now).target(request)]


def test_add_ons_are_added_changed_and_removed_and_the_plan_stays() -> None:
    now = _team((STORAGE, 2))
    assert _target(now) == [("Team", 1, "si_0"), ("Storage", 2, "si_1")]
    assert _target(now, storage=(None, 3)) == [("Team", 1, "si_0"), ("Storage", 3, "si_1")]
    assert _target(now, storage=(None, 0)) == [("Team", 1, "si_0")]
    assert _target(now, support=(None, 1)) == [("Team", 1, "si_0"), ("Storage", 2, "si_1"), ("Support", 1, None)]
    assert _target(_team(), storage=(None, None)) == [("Team", 1, "si_0")]


@pytest.mark.parametrize(
    ("choice", "code", "param"),
    [
        ({"storage": (None, 1)}, "quantity_invalid", "quantity-prod_storage"),
        ({"storage": (None, 6)}, "quantity_invalid", "quantity-prod_storage"),
        ({"storage": (None, -1)}, "quantity_invalid", "quantity-prod_storage"),
        ({"support": (None, 2)}, "quantity_invalid", "quantity-prod_support"),
        ({"storage": (TEAM.price_id, 2)}, "price_not_offered", "price-prod_storage"),
        ({"team": (None, 2)}, "product_not_offered", "add_ons"),
        ({"elsewhere": (None, 1)}, "product_not_offered", "add_ons"),
    ],
)
def test_what_is_beyond_the_limits_is_refused_at_its_field(choice: Any, code: str, param: str) -> None:
    with pytest.raises(BillingError) as refused:
        _target(_team(), **choice)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_what_a_customer_has_beyond_the_limits_can_stay_and_go() -> None:
    now = _team((STORAGE, 50))
    assert _target(now, storage=(None, 50)) == [("Team", 1, "si_0"), ("Storage", 50, "si_1")]
    assert _target(now, storage=(None, 0)) == [("Team", 1, "si_0")]


def test_an_old_price_of_an_add_on_can_be_kept_or_left() -> None:
    old = offer(250, product="storage")
    now = _team((old, 2))
    (storage, _support) = _policy(now).add_ons
    assert [plan.price_id for plan in storage.plans] == [old.price_id, STORAGE.price_id]
    assert _target(now, storage=(STORAGE.price_id, 2))[1] == ("Storage", 2, "si_1")


def test_an_add_on_is_no_plan_and_a_plan_no_add_on() -> None:
    policy = _policy(_team((STORAGE, 2)))
    assert [item.id for item in policy.plan_items] == ["si_0"]
    assert policy.plans_for(policy.snapshot.items[1]) == []
    with pytest.raises(BillingError) as refused:
        policy.target(PlanChangeRequest({"si_1": (TEAM.price_id, 1)}))
    assert refused.value.code == "price_not_offered"


def test_what_does_not_fit_the_subscription_is_not_offered() -> None:
    dollars = replace(STORAGE, terms=replace(STORAGE.terms, currency="usd"))
    year = offer(3000, "year", product="storage")
    both = ({"product": "prod_storage", "prices": [STORAGE.price_id, year.price_id]},)
    assert PortalPolicy(_team(), FEATURES, {STORAGE.price_id: dollars}).add_ons == []
    for mode, count in (("flexible", 2), ("classic", 1)):
        (storage,) = _policy(_team(billing_mode=mode), year, add_ons=both).add_ons
        assert len(storage.plans) == count, mode


def test_the_last_item_cannot_be_removed() -> None:
    now = snapshot((STORAGE, 2), start=START)
    with pytest.raises(BillingError) as refused:
        _target(now, storage=(None, 0))
    assert refused.value.code == "no_items"


@pytest.mark.parametrize("products", [("prod_team",), ("prod_a", "prod_a")])
def test_a_product_is_listed_once(products: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="add-on"):
        replace(FEATURES, add_ons=tuple({"product": product, "prices": []} for product in products))
