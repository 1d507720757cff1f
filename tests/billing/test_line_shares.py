"""What a credited amount takes off the lines of an invoice: all of it, no more than there is, with its part of each tax."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.taxes import Tax, TaxRate
from portal_site.billing.rules.invoicing.line_shares import LineShare, shares

VAT = TaxRate("txr_vat", "VAT", Decimal(19), False)
CITY = TaxRate("txr_city", "City", Decimal("2.5"), False)
IN_PRICE = TaxRate("txr_in", "MwSt.", Decimal(7), True)


def test_a_part_has_its_part_of_the_tax() -> None:
    line = LineShare("il_1", 1000, (Tax(VAT, 190, 1000),))
    (half,) = shares(595, [line])
    assert (half.net, half.total, half.taxes) == (500, 595, (Tax(VAT, 95, 500),))


def test_an_included_tax_is_part_of_the_amount() -> None:
    line = LineShare("il_1", 1070, (Tax(IN_PRICE, 70, 1000),))
    (part,) = shares(107, [line])
    assert (part.net, part.total, part.taxes) == (107, 107, (Tax(IN_PRICE, 7, 100),))


def test_lines_share_by_what_is_left_of_them_and_those_without_a_share_are_left_out() -> None:
    parts = list(shares(30, [LineShare("a", 20), LineShare("b", 0), LineShare("c", 40)]))
    assert [(part.line_id, part.total) for part in parts] == [("a", 10), ("c", 20)]


def test_an_invoice_without_lines_has_none() -> None:
    assert list(shares(30, [])) == []


taxed = st.tuples(st.integers(0, 9000), st.integers(0, 900), st.integers(0, 90), st.integers(0, 300))


def _line(number: int, amounts: tuple[int, int, int, int]) -> LineShare:
    net, vat, city, included = amounts
    taxes = Tax(VAT, vat, net), Tax(CITY, city, net), Tax(IN_PRICE, min(included, net), net)
    return LineShare(f"il_{number}", net, taxes)


@settings(max_examples=2000, deadline=None)
@given(st.lists(taxed, min_size=1, max_size=5), st.lists(st.floats(0, 1), max_size=6))
def test_parts_taken_one_after_another_add_up_to_the_lines(
    amounts: list[tuple[int, int, int, int]], steps: list[float]
) -> None:
    """Whatever is credited first, the last cent of each line and of each tax is credited with the last part."""
    whole = [_line(number, each) for number, each in enumerate(amounts)]
    left, credited = whole, 0
    total = sum(line.total for line in whole)
    for amount in [*(int(step * total / 3) for step in steps), total]:
        wanted = min(amount, total - credited)
        parts = {part.line_id: part for part in shares(wanted, left)}
        assert sum(part.total for part in parts.values()) == wanted
        for part in parts.values():
            assert min(part.net, *(tax.amount for tax in part.taxes)) >= 0
        left = [
            line.less(parts[line.line_id].net, {tax.rate.id: tax.amount for tax in parts[line.line_id].taxes})
            if line.line_id in parts
            else line
            for line in left
        ]
        credited += wanted
        assert sum(line.total for line in left) == total - credited, "more was credited of a line than it had"
    assert all(line.net == 0 and all(tax.amount == 0 for tax in line.taxes if not tax.rate.inclusive) for line in left)
