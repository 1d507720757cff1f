"""The lines and totals of an invoice: parts of a period, discounts, taxes, and what is due in the end."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax, TaxRate
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals, LineKind
from portal_site.billing.rules.invoicing.reductions import OwedInvoice, Reduction
from tests.billing.terms import INCLUDED, VAT, at, off, offer

START, END = at("2026-04-01"), at("2026-05-01")
TENTH = at("2026-04-11")  # a third of the period is over
CITY = TaxRate("txr_city", "City", Decimal(5), inclusive=False)


def _line(amount: int = 1000, *discounts: tuple[str, int], rates: tuple[TaxRate, ...] = ()) -> InvoiceLine:
    """The line of April, taxed."""
    unapplied = tuple(Tax(rate, 0, 0) for rate in rates)
    line = InvoiceLine(LineKind.CYCLE, offer(amount), "si_0", 1, START, END, amount, discounts, unapplied, id="il_0")
    return invoices.with_tax(line)


def _item(
    number: int = 0, unit: int = 3000, start: int = START, end: int = END, rates: tuple[TaxRate, ...] = ()
) -> Item:
    return Item(f"si_{number}", offer(unit, product=f"p{number}"), 1, start, end, rates)


# --- what is left of a period -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "end", "seconds"),
    [
        (START, None, END - START),
        (TENTH, None, END - TENTH),
        (END, None, 0),
        (END + 1, None, 0),
        (START - 1, None, END - START),
        (START, TENTH, TENTH - START),
        (TENTH, TENTH, 0),
        (TENTH, TENTH + 1, 1),
        (START, END + 1, END - START),
    ],
)
def test_what_is_left_of_a_line(moment: int, end: int | None, seconds: int) -> None:
    assert _line().factor_after(moment, end) == ProrationFactor(seconds, END - START)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_of_a_period_without_length_nothing_is_left(length: int) -> None:
    line = replace(_line(), period_end=START + length)
    assert line.factor_after(START) == ProrationFactor(length, max(1, length))
    assert line.factor_after(START + length).of(1000) == 0


def test_a_prorated_line_says_which_part_of_what_it_is() -> None:
    whole = _line(3000, ("di_a", 301), ("di_b", 100), rates=(VAT,))
    part = invoices.prorate_line(whole, TENTH, END)
    two_thirds = ProrationFactor(END - TENTH, END - START)
    assert part == InvoiceLine(
        LineKind.REMAINING, whole.offer, "si_0", 1, TENTH, END, 2000, (("di_a", 200), ("di_b", 67)), whole.taxes,
        proration=two_thirds, full_amount=3000, id="il_0",
    )  # fmt: skip


@given(
    st.integers(0, 10**9),
    st.lists(st.floats(0, 1), max_size=4),
    st.integers(START, END),
    st.integers(START, END),
)
def test_prorated_discounts_never_exceed_the_prorated_line(amount: int, shares: list[float], a: int, b: int) -> None:
    rest, taken = amount, []
    for number, share in enumerate(shares):
        taken.append((f"di_{number}", int(rest * share)))
        rest -= taken[-1][1]
    start, end = min(a, b), max(a, b)
    part = invoices.prorate_line(_line(amount, *taken), start, end)
    assert 0 <= part.discount <= part.amount
    assert [name for name, _ in part.discounts] == [name for name, _ in taken]
    exact = Fraction((amount - rest) * (end - start), END - START)
    assert abs(part.discount - exact) <= Fraction(1, 2)


# --- discounts and tax ------------------------------------------------------------------------------------------------


def test_a_lines_total_is_its_amount_less_discounts_plus_the_tax_on_top() -> None:
    line = _line(1190, ("di_a", 400), ("di_b", 195), rates=(INCLUDED, VAT))
    assert (line.discount, line.total) == (595, 595 + 100)
    assert line.taxes == (Tax(INCLUDED, 95, 500), Tax(VAT, 100, 500))


def test_discounts_come_after_those_that_a_line_has_already() -> None:
    lines = [_line(1000, ("di_before", 200), rates=(VAT,)), replace(_line(1000), item_id="si_1")]
    whole, plain = invoices.with_discounts_and_tax(
        lines, [off("50", item_id="si_0"), off(amount=300, id="di_300")], "eur"
    )
    # Half of the 800 that are left, then 3.00 shared by 4.00 and 10.00.
    assert whole.discounts == (("di_before", 200), ("di_50", 400), ("di_300", 86))
    assert plain.discounts == (("di_300", 214),)
    assert [tax.taxable for tax in whole.taxes] == [1000 - 686]
    assert plain.taxes == ()


def test_a_discount_for_a_product_reduces_no_line_of_another() -> None:
    lines = [_line(1000), replace(_line(1000), offer=offer(1000, product="storage"))]
    team, storage = invoices.with_discounts_and_tax(lines, [off("10", products=frozenset({"prod_storage"}))], "eur")
    assert (team.discounts, storage.discounts) == ((), (("di_10", 100),))


def test_a_discount_in_another_currency_leaves_no_mark_on_a_line() -> None:
    (line,) = invoices.with_discounts_and_tax([_line()], [off(amount=300)], "usd")
    assert line.discounts == ()


def test_a_discount_for_one_invoice_is_spent_by_the_line_that_it_reduces() -> None:
    running = [off("10", id="di_once", duration="once"), off("10", id="di_idle", duration="once"), off("5", id="di_on")]
    lines = [_line(1000, ("di_on", 50)), _line(1000, ("di_once", 100))]
    assert invoices.consumed_discounts(lines, running) == {"di_once"}


def test_taxes_are_summed_by_rate() -> None:
    lines = [_line(1000, rates=(VAT, CITY)), _line(500, rates=(CITY,)), _line(-300, rates=(VAT,)), _line(7)]
    assert invoices.summed_taxes(lines) == [Tax(VAT, 140, 700), Tax(CITY, 75, 1500)]
    assert invoices.summed_taxes([]) == []


# --- what is given back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "given_back", "charged"),
    [
        ((VAT,), 0, (1000, [(200, 1000)])),
        ((VAT,), 600, (500, [(100, 500)])),
        ((VAT,), 1, (999, [(200, 999)])),
        ((VAT,), 1200, (0, [(0, 0)])),
        ((VAT,), 1300, (0, [(0, 0)])),
        ((INCLUDED,), 500, (500, [(80, 420)])),
        ((VAT, CITY), 625, (500, [(100, 500), (25, 500)])),
        ((INCLUDED, VAT, CITY), 605, (500, [(80, 420), (84, 420), (21, 420)])),
        ((), 400, (600, [])),
    ],
)
def test_what_a_credit_note_gave_back_was_not_charged(
    rates: tuple[TaxRate, ...], given_back: int, charged: tuple[int, list[tuple[int, int]]]
) -> None:
    net, taxes = replace(_line(rates=rates), given_back=given_back).charged()
    assert (net, [(tax.amount, tax.taxable) for tax in taxes]) == charged
    assert tuple(tax.rate for tax in taxes) == rates


def test_what_was_charged_is_after_discounts() -> None:
    line = _line(1000, ("di_a", 250), rates=(VAT,))
    assert line.charged() == (750, (Tax(VAT, 150, 750),))
    assert replace(line, given_back=300).charged() == (500, (Tax(VAT, 100, 500),))


def test_a_reduction_is_first_of_what_is_owed() -> None:
    credits = [_line(-400, rates=(VAT,)), _line(0), _line(-100)]
    owed = OwedInvoice("in_1", "A-1", 300, ())
    found = Reduction.of(owed, credits)
    assert found == Reduction("in_1", "A-1", (credits[0], credits[2]), owed_less=300, to_balance=280)
    assert found is not None
    assert found.amount == 580
    assert Reduction.of(replace(owed, remaining=900), credits) == replace(found, owed_less=580, to_balance=0)
    assert Reduction.of(owed, [_line(-1)]) == Reduction("in_1", "A-1", (_line(-1),), owed_less=1, to_balance=0)
    assert Reduction.of(owed, [_line(0)]) is None
    assert Reduction.of(owed, []) is None


# --- totals -----------------------------------------------------------------------------------------------------------


def test_totals_are_the_sums_of_the_lines_and_the_balance_is_used() -> None:
    lines = [
        _line(1000, ("di_a", 100), rates=(VAT,)),
        _line(1190, ("di_a", 0), rates=(INCLUDED,)),
        _line(-500, rates=(CITY,)),
    ]
    found = invoices.total_up(lines, -300, "eur")
    tax = 180 - 25
    total = 1690 - 100 + tax
    assert found == InvoiceTotals("eur", tuple(lines), 1690, 100, tax, total, -300, 0, total - 300)
    assert total == sum(line.total for line in lines)
    assert found.balance_used == 300


def test_the_limits_of_a_currency_hold_unless_an_amount_has_to_be_exact() -> None:
    tiny = invoices.total_up([_line(49)], 0, "eur")
    assert (tiny.amount_due, tiny.ending_balance) == (0, 49)
    exact = invoices.total_up([_line(49)], 0, "eur", exact=True)
    assert (exact.amount_due, exact.ending_balance) == (49, 0)
    assert invoices.settled(1234, 0, "kwd") == (1230, 4)
    assert invoices.settled(1234, 0, "kwd", exact=True) == (1234, 0)
    assert invoices.settled(1234, -34, "isk") == (1200, 0)
    assert invoices.settled(150, 0, "isk") == (100, 50)


def test_a_negative_minimum_is_none() -> None:
    assert invoices.settle(-5, 0, minimum=-10) == (0, -5)
    assert invoices.settle(1, 0) == (1, 0)


# --- renewals ---------------------------------------------------------------------------------------------------------

MAY, JUNE = END, at("2026-06-01")


def test_a_renewal_bills_the_period_that_follows() -> None:
    (line,) = invoices.renewal_lines([_item()], START, [off("10")], [VAT], "eur")
    assert line == InvoiceLine(
        LineKind.CYCLE, _item().offer, "si_0", 1, MAY, JUNE, 3000, (("di_10", 300),), (Tax(VAT, 540, 2700),)
    )


def test_an_items_own_rates_come_before_those_of_its_subscription() -> None:
    own, other = invoices.renewal_lines([_item(rates=(CITY,)), _item(1)], START, [], [VAT], "eur")
    assert (own.taxes, other.taxes) == ((Tax(CITY, 150, 3000),), (Tax(VAT, 600, 3000),))


@pytest.mark.parametrize("until", [JUNE, JUNE + 1, None])
def test_a_period_that_ends_in_time_is_billed_in_full(until: int | None) -> None:
    (line,) = invoices.renewal_lines([_item()], START, [], [], "eur", until=until)
    assert (line.kind, line.amount, line.proration) == (LineKind.CYCLE, 3000, None)


def test_a_subscription_that_ends_inside_the_period_pays_for_the_part() -> None:
    """A lasting discount is for the part as well, one for a single invoice is taken off in full, and the tax is last."""
    weekly = Item("si_1", offer(100, "week"), 1, MAY - 7 * 86_400, MAY)
    running = [off("10", id="di_on"), off(amount=300, id="di_once", duration="once", item_id="si_0")]
    until = at("2026-05-11")
    part, week = invoices.renewal_lines([_item(unit=3100), weekly], START, running, [VAT], "eur", until=until)
    tenth = ProrationFactor(until - MAY, JUNE - MAY)
    assert part == InvoiceLine(
        LineKind.REMAINING, _item(unit=3100).offer, "si_0", 1, MAY, until, 1000, (("di_on", 100), ("di_once", 300)),
        (Tax(VAT, 120, 600),), proration=tenth, full_amount=3100,
    )  # fmt: skip
    assert week == InvoiceLine(
        LineKind.CYCLE, weekly.offer, "si_1", 1, MAY, MAY + 7 * 86_400, 100, (("di_on", 10),), (Tax(VAT, 18, 90),)
    )


def test_an_amount_off_that_lasts_is_for_the_part_too() -> None:
    until = at("2026-05-11")
    (line,) = invoices.renewal_lines([_item(unit=3100)], START, [off(amount=310)], [], "eur", until=until)
    assert (line.amount, line.discounts) == (1000, (("di_310", 100),))


def test_the_rest_of_a_period_that_was_cut_short_is_billed_when_it_goes_on() -> None:
    short = _item(end=TENTH)
    (line,) = invoices.renewal_lines([short], START, [], [], "eur")
    assert (line.period_start, line.period_end, line.amount) == (TENTH, END, 2000)
    assert (line.kind, line.full_amount) == (LineKind.REMAINING, 3000)
    whole = invoices.full_period_line(short, START, [CITY])
    assert whole == InvoiceLine(LineKind.CYCLE, short.offer, "si_0", 1, START, END, 3000, (), (Tax(CITY, 0, 0),))
