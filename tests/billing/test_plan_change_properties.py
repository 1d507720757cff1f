"""Properties of any sequence of plan changes: time is paid for, sums add up, credit is limited to what was paid."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal_site.billing.rules.amounts.taxes import TaxRate, on_top
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions.item_changes import proration_credits
from tests.billing.quotes import END, LATER, NOW, PATHS, START, quote_change, team, to_plan
from tests.billing.terms import INCLUDED, VAT, after, off, offer, snapshot

RUNNING = st.lists(
    st.one_of(
        st.decimals("0", "100", places=2).map(lambda p: off(str(p), id="di_p")),
        st.integers(1, 3000).map(lambda a: off(amount=a, id="di_a")),
    ),
    max_size=2,
    unique_by=lambda d: d.id,
)


@pytest.mark.case("D9")
@settings(max_examples=300)
@given(PATHS, st.booleans())
def test_any_sequence_of_changes_pays_for_its_time(path: list[tuple[int, int, int]], at_once: bool) -> None:
    """What was paid in a period is the price of each stretch of it, to a unit for each line."""
    policy = NOW if at_once else LATER
    now = team(2)
    paid, spent, price, since = Fraction(2000), Fraction(0), 2000, START
    lines = 1
    for offset, unit, quantity in sorted(path):
        when = START + offset
        wish = to_plan(offer(unit), quantity)
        if (now.items[0].offer, now.items[0].quantity) == (wish["si_0"].offer, quantity):
            continue
        found = quote_change(now, wish, policy, when)
        new = found.invoice.lines if at_once else found.deferred_lines
        paid += sum(line.total for line in new)
        lines += len(new)
        spent += Fraction(price * (when - since), END - START)
        price, since, now = unit * quantity, when, after(now, found)
    spent += Fraction(price * (END - since), END - START)
    assert abs(paid - spent) <= Fraction(lines, 2)


@pytest.mark.case("D16", "D20")
@settings(max_examples=300)
@given(PATHS, RUNNING, st.sampled_from([(), (VAT,), (INCLUDED,)]), st.integers(-5000, 5000))
def test_totals_add_up_for_any_sequence_of_changes(
    path: list[tuple[int, int, int]], running: Any, rates: Any, balance: int
) -> None:
    """Lines add up to totals, no credit exceeds its debit, nothing is credited twice, quote and balance agree."""
    now = team(2, discounts=tuple(running), tax_rates=rates, balance=balance)
    credited: set[str] = set()
    for offset, unit, quantity in sorted(path):
        wish = to_plan(offer(unit), quantity)
        if (now.items[0].offer, now.items[0].quantity) == (wish["si_0"].offer, quantity):
            continue
        debits = {line.id: line for line in now.creditable_lines}
        found = quote_change(now, wish, NOW, START + offset)
        bill = found.invoice
        assert bill.total == sum(line.total for line in bill.lines) == bill.subtotal - bill.discount + bill.tax
        assert bill.amount_due + bill.ending_balance == bill.total + bill.starting_balance
        assert bill.amount_due == 0 or bill.amount_due >= 50
        for line in bill.lines:
            _check_line(line, debits, credited)
        now = after(now, found)


def _check_line(line: InvoiceLine, debits: dict[str | None, InvoiceLine], credited: set[str]) -> None:
    assert 0 <= line.discount <= max(0, line.amount)
    if line.credits:
        assert line.credits not in credited
        credited.add(line.credits)
        assert 0 <= -line.total <= debits[line.credits].total


@settings(max_examples=300)
@given(st.integers(1, 10**6), st.lists(st.sampled_from([VAT, INCLUDED]), max_size=3), st.data())
def test_credit_is_limited_to_what_was_paid_and_not_refunded(unit: int, rates: list[TaxRate], data: Any) -> None:
    now = snapshot((offer(unit), 1), start=START, tax_rates=tuple(rates))
    (line,) = now.creditable_lines
    given_back = data.draw(st.integers(0, line.total))
    reduced = replace(line, given_back=given_back)
    net, taxes = reduced.charged()
    assert net + on_top(taxes) == line.total - given_back
    assert 0 <= net <= line.amount
    assert all(0 <= tax.amount <= before.amount for tax, before in zip(taxes, line.taxes, strict=True))
    moment = data.draw(st.integers(START, END - 1))
    for mode in ("flexible", "classic"):
        before = replace(now, creditable_lines=(reduced,), billing_mode=mode)
        credited = -sum(credit.total for credit in proration_credits(before, ["si_0"], moment))
        assert 0 <= credited <= line.total - given_back
