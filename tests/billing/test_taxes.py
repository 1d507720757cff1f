"""Inclusive and exclusive taxes, to the minor unit."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.taxes import Tax, TaxRate, on_top, taxes
from tests.billing.terms import INCLUDED, VAT

QUARTER = TaxRate("txr_quarter", "Tax", Decimal(25), inclusive=False)
STATE, CITY = (
    TaxRate(f"txr_{name}", name, Decimal(rate), inclusive=True) for name, rate in (("a", "7.5"), ("b", "2.5"))
)


@pytest.mark.case("D16")
@pytest.mark.parametrize(
    ("amount", "rates", "found"),
    [
        (1000, [VAT], [(200, 1000)]),
        (1003, [VAT], [(201, 1003)]),
        (1190, [INCLUDED], [(190, 1000)]),
        (999, [INCLUDED], [(160, 839)]),
        (1190, [INCLUDED, VAT], [(190, 1000), (200, 1000)]),
        (2190, [VAT, INCLUDED], [(350, 1840), (368, 1840)]),  # those inside come first
        (0, [VAT], [(0, 0)]),
        (2, [QUARTER], [(1, 2)]),  # a half goes away from zero
        (1, [QUARTER], [(0, 1)]),
        (-2, [QUARTER], [(-1, -2)]),
        (-1190, [INCLUDED], [(-190, -1000)]),
        (-1190, [INCLUDED, VAT], [(-190, -1000), (-200, -1000)]),
        (500, [], []),
    ],
)
def test_a_line_is_taxed(amount: int, rates: list[TaxRate], found: list[tuple[int, int]]) -> None:
    assert [(tax.amount, tax.taxable) for tax in taxes(amount, rates)] == found


RATES = st.lists(
    st.builds(
        TaxRate, st.text(min_size=1, max_size=3), st.just("Tax"), st.decimals("0", "50", places=4), st.booleans()
    ),
    max_size=4,
)


@pytest.mark.case("D16")
@given(st.integers(0, 10**12), RATES)
def test_inclusive_tax_and_net_amount_add_up(amount: int, rates: list[TaxRate]) -> None:
    found = taxes(amount, rates)
    inside = sum(tax.amount for tax in found if tax.rate.inclusive)
    for tax in found:
        assert tax.taxable + inside == amount
        assert tax.amount >= 0
    exact = sum((Decimal(amount - inside) * r.percentage / 100 for r in rates if not r.inclusive), Decimal(0))
    assert abs(on_top(found) - exact) <= len(rates)


@pytest.mark.case("D16")
def test_taxes_inside_a_price_share_what_is_not_net() -> None:
    assert taxes(1100, [STATE, CITY]) == (Tax(STATE, 75, 1000), Tax(CITY, 25, 1000))
    # 1.00 is 0.91 net. Of the 0.09, a fraction of a rate counts: 6.75 and 2.25.
    assert [tax.amount for tax in taxes(100, [STATE, CITY])] == [7, 2]
    assert [tax.amount for tax in taxes(11 * 10**8, [STATE, CITY])] == [75_000_000, 25_000_000]
    fine = TaxRate("txr_fine", "Tax", Decimal("0.0001"), inclusive=True)
    assert [tax.amount for tax in taxes(10**9, [fine, fine])] == [1000, 1000]


def test_only_what_is_not_inside_comes_on_top() -> None:
    assert on_top(taxes(1190, [INCLUDED, VAT, QUARTER])) == 200 + 250
    assert on_top(taxes(1190, [INCLUDED])) == 0
    assert on_top(()) == 0


@pytest.mark.parametrize(
    ("document", "rate"),
    [
        (
            {"id": "txr_1", "display_name": "VAT", "percentage": 19.6, "inclusive": False},
            TaxRate("txr_1", "VAT", Decimal("19.6"), inclusive=False),
        ),
        (
            {"id": "txr_2", "display_name": None, "percentage": "7", "inclusive": True, "country": "DE"},
            TaxRate("txr_2", "", Decimal(7), inclusive=True),
        ),
        ({"id": "txr_3", "percentage": 0, "inclusive": False}, TaxRate("txr_3", "", Decimal(0), inclusive=False)),
    ],
)
def test_a_rate_is_read_from_its_stored_copy(document: dict[str, Any], rate: TaxRate) -> None:
    assert TaxRate.of(document) == rate
