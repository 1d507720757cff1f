"""Plan changes in a period whose discount is used up or over."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from tests.billing.quotes import HALF, NOW, PATHS, START, quote_change, team, to_plan
from tests.billing.terms import after, off, offer

FREE, HALF_OFF = off("100", duration="once"), off("50", duration="once")
FIVE_OFF = off(amount=500, duration="once")


def _spent(quantity: int, *carried: DiscountTerms, **members: Any) -> SubscriptionSnapshot:
    """A team that paid its period with discounts that are used up since."""
    paid = team(quantity, discounts=carried, **members)
    return replace(paid, discounts=(), past_discounts=carried)


@pytest.mark.parametrize(
    ("before", "carried", "wanted", "total"),
    [
        (1, FREE, 2, 1000),
        (1, HALF_OFF, 2, 1000),
        (1, FIVE_OFF, 2, 1000),
        (2, FREE, 1, 0),
        (2, HALF_OFF, 1, -500),
        (2, FIVE_OFF, 1, -1000),
        (1, FIVE_OFF, 9, 8000),
    ],
)
@pytest.mark.parametrize("when", [START, HALF])
def test_unchanged_quantity_keeps_the_discount_of_its_period(
    before: int, carried: DiscountTerms, wanted: int, total: int, when: int
) -> None:
    share = 1 if when == START else 2
    found = quote_change(_spent(before, carried), to_plan(offer(1000), wanted), NOW, when)
    assert found.invoice.total == total // share
    without_terms = replace(_spent(before, carried), past_discounts=())  # an import may not know the coupon
    if carried is not FIVE_OFF or wanted > before:
        assert quote_change(without_terms, to_plan(offer(1000), wanted), NOW, when).invoice.total == total // share


def test_a_new_cycle_keeps_the_discount_of_the_period_that_it_replaces() -> None:
    policy = replace(NOW, billing_cycle_anchor="now")
    assert quote_change(_spent(1, FREE), to_plan(offer(1000), 2), policy, START).invoice.total == 1000
    assert quote_change(_spent(2, FREE), to_plan(offer(1000), 1), policy, HALF).invoice.total == 0


def test_added_quantity_gets_the_discounts_in_force() -> None:
    now = replace(_spent(1, FREE), discounts=(off("10"),))
    assert quote_change(now, to_plan(offer(1000), 2), NOW, START).invoice.total == 900


def test_a_discount_moves_once_however_often_the_plan_changes() -> None:
    now = _spent(1, FREE)
    for quantity, total in ((2, 1000), (1, -1000), (3, 2000), (1, -2000)):
        found = quote_change(now, to_plan(offer(1000), quantity), NOW, START)
        assert found.invoice.total == total
        now = replace(after(now, found), balance=0)


@settings(max_examples=300)
@given(PATHS, st.decimals("0", "100", places=2), st.integers(1, 9))
def test_a_downgrade_never_costs_money(path: list[tuple[int, int, int]], percent: Any, quantity: int) -> None:
    now = _spent(quantity, off(str(percent), duration="once"))
    for offset, unit, wanted in sorted(path):
        (item,) = now.items
        if (item.offer.terms.unit_amount, item.quantity) == (unit, wanted):
            continue
        found = quote_change(now, to_plan(offer(unit), wanted), NOW, START + offset)
        if unit * wanted <= item.amount:
            assert found.invoice.total <= 0
        assert all(line.discount <= max(0, line.amount) for line in found.invoice.lines)
        now = replace(after(now, found), balance=0)
