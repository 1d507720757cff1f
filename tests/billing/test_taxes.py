"""Inclusive and exclusive taxes, to the minor unit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.taxes import TaxRate, on_top, taxes
from tests.billing.terms import INCLUDED, VAT


@pytest.mark.case("D16")
@pytest.mark.parametrize(
    ("amount", "rates", "found"),
    [
        (1000, [VAT], [(200, 1000)]),
        (1003, [VAT], [(201, 1003)]),
        (1190, [INCLUDED], [(190, 1000)]),
        (999, [INCLUDED], [(160, 839)]),
        (1190, [INCLUDED, VAT], [(190, 1000), (200, 1000)]),
        (0, [VAT], [(0, 0)]),
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
