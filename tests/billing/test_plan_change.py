"""Quotes of plan changes: Stripe's own figures, every option, and properties of any sequence of changes."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import ItemSpec, PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import TaxRate, on_top
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.item_changes import ProrationPolicy, proration_credits
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from tests.billing.terms import INCLUDED, VAT, after, at, off, offer, snapshot

NOW = ProrationPolicy(proration_behavior="always_invoice")
LATER = ProrationPolicy(proration_behavior="create_prorations")
START, HALF, END = at("2026-04-01"), at("2026-04-16"), at("2026-05-01")


def _to(what: PricedPlan, quantity: int = 1, item: str = "si_0") -> dict[str, ItemSpec]:
    return {item: ItemSpec(what, quantity, item)}


def _quote(
    now: SubscriptionSnapshot,
    wanted: dict[str, ItemSpec],
    policy: ProrationPolicy,
    when: int,
    code: DiscountTerms | None = None,
) -> Quote:
    """The quote for changing some items, while the others stay as they are."""
    target = [wanted.get(item.id, item.spec) for item in now.items]
    return plan_change.quote(now, target, policy, when, code and NewDiscount(code))


def _amounts(quote: Quote) -> list[int]:
    return [line.amount for line in quote.invoice.lines]


def _team(quantity: int = 1, unit: int = 1000, **members: Any) -> SubscriptionSnapshot:
    return snapshot((offer(unit), quantity), start=START, **members)


# --- Stripe's own figures ---------------------------------------------------------------------------------------------


def test_month_to_year_four_seconds_after_the_start() -> None:
    """As recorded: −25.00 and +250.00, the period begins where it began and ends a year later."""
    start = 1_762_799_407
    found = _quote(snapshot((offer(2500), 1), start=start), _to(offer(25000, "year")), NOW, start + 4)
    assert _amounts(found) == [-2500, 25000]
    assert (found.invoice.total, found.invoice.amount_due) == (22500, 22500)
    assert (found.items[0].period_start, found.items[0].period_end) == (start, 1_794_335_407)
    assert found.anchor == start


def test_ten_to_twenty_at_half_time() -> None:
    found = _quote(_team(), _to(offer(2000)), NOW, HALF)
    assert _amounts(found) == [-500, 1000]
    assert found.next_invoice is not None
    assert (found.next_invoice.date, found.next_invoice.amount_due) == (END, 2000)


def test_ten_per_cent_off_is_2250() -> None:
    found = _quote(
        snapshot((offer(1000), 1), start=START, status=SubscriptionStatus.TRIALING, creditable_lines=(), discounts=(off("10"),)),
        _to(offer(2500)), NOW, HALF,
    )  # fmt: skip
    assert (found.invoice.subtotal, found.invoice.discount, found.invoice.total) == (2500, 250, 2250)


@pytest.mark.parametrize(("mode", "total"), [("classic", -334), ("flexible", 0)])
def test_up_without_proration_then_down_with_it(mode: str, total: int) -> None:
    """Ten to twenty on the 11th for nothing, back to ten on the 21st: classic credits what was never paid."""
    first = _team(billing_mode=mode)
    up = _quote(first, _to(offer(2000)), ProrationPolicy(), at("2026-04-11"))
    assert up.invoice.lines == up.deferred_lines == ()
    down = _quote(after(first, up), _to(offer(1000)), NOW, at("2026-04-21"))
    assert down.invoice.total == total


# --- the options ------------------------------------------------------------------------------------------------------


def test_without_proration_the_new_price_counts_from_the_next_period() -> None:
    found = _quote(_team(), _to(offer(2000), 3), ProrationPolicy(), HALF)
    assert not found.invoiced
    assert found.invoice.amount_due == 0
    assert (found.items[0].quantity, found.items[0].period_end) == (3, END)
    assert found.next_invoice is not None
    assert found.next_invoice.amount_due == 6000


def test_prorations_can_wait_for_the_next_invoice() -> None:
    found = _quote(_team(), _to(offer(2000)), LATER, HALF)
    assert [line.amount for line in found.deferred_lines] == [-500, 1000]
    assert found.invoice.amount_due == 0
    assert found.next_invoice is not None
    assert (found.next_invoice.subtotal, found.next_invoice.amount_due) == (2500, 2500)


def test_a_new_interval_is_billed_at_once_even_so() -> None:
    found = _quote(_team(), _to(offer(12000, "year")), LATER, HALF)
    year = at("2027-04-01") - START
    assert _amounts(found) == [-500, ProrationFactor(at("2027-04-01") - HALF, year).of(12000)]


def test_an_invoice_now_takes_pending_lines() -> None:
    first = _team()
    waiting = after(first, _quote(first, _to(offer(2000)), LATER, HALF))
    found = _quote(waiting, _to(offer(3000)), NOW, at("2026-04-21"))
    assert _amounts(found) == [-500, 1000, -667, 1000]
    assert found.invoice.amount_due == 833


def test_the_billing_date_can_restart_today() -> None:
    policy = replace(NOW, billing_cycle_anchor="now")
    found = _quote(_team(), _to(offer(2000)), policy, HALF)
    assert _amounts(found) == [-500, 2000]
    assert (found.anchor, found.items[0].period_start, found.items[0].period_end) == (HALF, HALF, at("2026-05-16"))
    without = _quote(_team(), _to(offer(2000)), replace(policy, proration_behavior="none"), HALF)
    assert _amounts(without) == [2000]


def test_a_change_ends_or_continues_a_trial() -> None:
    trial = _team(status=SubscriptionStatus.TRIALING, trial_end=END, creditable_lines=())
    ended = _quote(trial, _to(offer(2000)), ProrationPolicy(), HALF)
    assert (_amounts(ended), ended.trial_end, ended.anchor) == ([2000], HALF, HALF)
    assert ended.items[0].period_end == at("2026-05-16")
    going_on = _quote(trial, _to(offer(2000)), ProrationPolicy(trial_update_behavior="continue_trial"), HALF)
    assert (going_on.invoiced, going_on.trial_end, going_on.items[0].period_end) == (False, END, END)
    assert going_on.next_invoice is not None
    assert (going_on.next_invoice.date, going_on.next_invoice.amount_due) == (END, 2000)


@pytest.mark.parametrize(
    ("condition", "what", "quantity", "deferred"),
    [
        ("decreasing_item_amount", offer(900), 3, True),
        ("decreasing_item_amount", offer(1000), 2, True),
        ("decreasing_item_amount", offer(1000), 4, False),
        ("decreasing_item_amount", offer(10000, "year"), 3, True),  # a longer interval that is cheaper by the month
        ("decreasing_item_amount", offer(12500, "year"), 3, False),
        ("decreasing_item_amount", offer(500, "week"), 3, False),
        ("shortening_interval", offer(500, "week"), 3, True),
        ("shortening_interval", offer(500), 3, False),
        ("decreasing_item_amount", offer(900, product="other"), 3, True),
    ],
)
def test_a_downgrade_waits_for_the_end_of_the_period(
    condition: str, what: PricedPlan, quantity: int, deferred: bool
) -> None:
    policy = replace(NOW, schedule_at_period_end=(condition,))
    found = _quote(_team(3), _to(what, quantity), policy, HALF)
    assert found.deferred == deferred
    if deferred:
        assert (found.effective_at, found.invoice.amount_due, found.deferred_lines) == (END, 0, ())
        assert found.next_invoice is not None
        assert (found.next_invoice.date, found.next_invoice.amount_due) == (END, what.amount(quantity))


def test_several_items_in_one_change() -> None:
    two = snapshot((offer(1000), 2), (offer(300, product="storage"), 10), start=START)
    wishes = _to(offer(2000), 2) | _to(offer(300, product="storage"), 4, "si_1")
    found = _quote(two, wishes, NOW, HALF)
    assert _amounts(found) == [-1000, -1500, 2000, 600]
    assert found.invoice.amount_due == 100


def test_an_unchanged_item_is_not_billed() -> None:
    two = snapshot((offer(1000), 2), (offer(300, product="storage"), 10), start=START)
    found = _quote(two, _to(offer(1000), 3) | _to(offer(300, product="storage"), 10, "si_1"), NOW, HALF)
    assert {line.item_id for line in found.invoice.lines} == {"si_0"}


# --- discounts, tax, balance ------------------------------------------------------------------------------------------


def test_credit_is_net_of_discounts_and_a_lasting_coupon_continues() -> None:
    found = _quote(_team(discounts=(off("10"),)), _to(offer(2000)), NOW, HALF)
    assert [(line.amount, line.discount) for line in found.invoice.lines] == [(-450, 0), (1000, 100)]
    assert found.invoice.amount_due == 450


def test_an_amount_off_is_shared_by_the_items_and_by_the_time() -> None:
    two = snapshot((offer(1000), 1), (offer(1000, product="storage"), 1), start=START, discounts=(off(amount=400),))
    found = _quote(two, _to(offer(3000)), NOW, HALF)
    # Of 4.00 off, 3/4 belong to what now costs three quarters, and half of the time is left.
    assert [(line.amount, line.discount) for line in found.invoice.lines] == [(-400, 0), (1500, 150)]


def test_a_single_use_code_applies_in_full_and_is_consumed() -> None:
    code = off(amount=300, id="di_code", duration="once")
    found = _quote(_team(), _to(offer(2000)), NOW, HALF, code)
    assert (found.invoice.discount, found.invoice.amount_due, found.consumed_discounts) == (300, 200, {"di_code"})
    assert found.next_invoice is not None
    assert found.next_invoice.discount == 0
    waiting = _quote(_team(), _to(offer(2000)), LATER, HALF, code)
    assert waiting.consumed_discounts == frozenset()
    assert waiting.next_invoice is not None
    assert waiting.next_invoice.discount == 300


def test_a_code_alone_changes_nothing_today() -> None:
    found = _quote(_team(), {}, NOW, HALF, off("25", id="di_code"))
    assert (found.invoiced, found.next_invoice and found.next_invoice.amount_due) == (False, 750)


@pytest.mark.case("D16")
@pytest.mark.parametrize(("rate", "totals"), [(VAT, (-600, 1200)), (INCLUDED, (-500, 1000))])
def test_a_credit_includes_its_tax(rate: Any, totals: tuple[int, int]) -> None:
    found = _quote(_team(tax_rates=(rate,)), _to(offer(2000)), NOW, HALF)
    assert tuple(line.total for line in found.invoice.lines) == totals
    assert found.invoice.total == sum(line.total for line in found.invoice.lines)


@pytest.mark.case("D10")
def test_more_credit_than_charge_goes_to_the_balance() -> None:
    found = _quote(_team(unit=9000), _to(offer(1000)), NOW, HALF)
    assert (found.invoice.total, found.invoice.amount_due, found.invoice.ending_balance) == (-4000, 0, -4000)
    assert found.next_invoice is not None
    assert (found.next_invoice.balance_used, found.next_invoice.amount_due) == (1000, 0)


@pytest.mark.parametrize("currency", ["jpy", "kwd"])
@pytest.mark.case("D15")
def test_yen_and_dinar_are_whole_units_too(currency: str) -> None:
    first = snapshot((offer(1001, currency=currency), 1), start=START)
    found = _quote(first, _to(offer(2001, currency=currency)), NOW, at("2026-04-11"))
    assert _amounts(found) == [-667, 1334]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_quote_without_a_change_is_refused() -> None:
    with pytest.raises(BillingError, match="already have this"):
        _quote(_team(2), _to(offer(1000), 2), NOW, HALF)


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"status": SubscriptionStatus.CANCELED}, "ended"),
        ({"managed_by_merchant_schedule": True}, "arranged"),
        ({"cancel_at": END}, "set to end"),
        ({"pause_collection": "void"}, "paused"),
        ({"status": SubscriptionStatus.PAUSED}, "paused"),
        ({"status": SubscriptionStatus.PAST_DUE, "has_open_invoice": True}, "unpaid"),
        ({"status": SubscriptionStatus.UNPAID}, "unpaid"),
        ({"collection_method": "send_invoice"}, "by invoice"),
    ],
)
def test_a_subscription_that_cannot_be_changed_says_why(members: dict[str, Any], word: str) -> None:
    refusal = plan_change.why_not_changeable(_team(**members), HALF)
    assert refusal is not None
    assert word in refusal.message


def test_metered_items_and_due_renewals_are_refused_with_a_reason() -> None:
    metered = snapshot((offer("2", terms=replace(offer(2).terms, metered=True)), None), start=START)
    assert "use" in str(plan_change.why_not_changeable(metered, HALF))
    assert "processed" in str(plan_change.why_not_changeable(_team(), END))
    assert "processed" in str(plan_change.why_not_changeable(_team(due_at=HALF), HALF))  # a merchant's new price, say
    assert plan_change.why_not_changeable(_team(), HALF) is None


@pytest.mark.case("D8")
def test_prices_in_another_currency_or_taxed_in_another_way_do_not_fit() -> None:
    item = _team().items[0]
    assert plan_change.incompatibility([item], offer(2000, currency="usd"), "eur") is not None
    taxed = replace(item, offer=offer(1000, tax_behavior="inclusive"))
    assert plan_change.incompatibility([taxed], offer(2000, tax_behavior="exclusive"), "eur") is not None
    assert plan_change.incompatibility([taxed], offer(2000), "eur") is None


# --- properties -------------------------------------------------------------------------------------------------------

PATHS = st.lists(
    st.tuples(st.integers(0, END - START - 1), st.integers(0, 5000), st.integers(1, 9)), min_size=1, max_size=8
)
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
    now = _team(2)
    paid, spent, price, since = Fraction(2000), Fraction(0), 2000, START
    lines = 1
    for offset, unit, quantity in sorted(path):
        when = START + offset
        wish = _to(offer(unit), quantity)
        if (now.items[0].offer, now.items[0].quantity) == (wish["si_0"].offer, quantity):
            continue
        found = _quote(now, wish, policy, when)
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
    now = _team(2, discounts=tuple(running), tax_rates=rates, balance=balance)
    credited: set[str] = set()
    for offset, unit, quantity in sorted(path):
        wish = _to(offer(unit), quantity)
        if (now.items[0].offer, now.items[0].quantity) == (wish["si_0"].offer, quantity):
            continue
        debits = {line.id: line for line in now.creditable_lines}
        found = _quote(now, wish, NOW, START + offset)
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


# --- the discount of a period that is used up or over -----------------------------------------------------------------

FREE, HALF_OFF = off("100", duration="once"), off("50", duration="once")
FIVE_OFF = off(amount=500, duration="once")


def _spent(quantity: int, *carried: DiscountTerms, **members: Any) -> SubscriptionSnapshot:
    """A team that paid its period with discounts that are used up since."""
    paid = _team(quantity, discounts=carried, **members)
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
    found = _quote(_spent(before, carried), _to(offer(1000), wanted), NOW, when)
    assert found.invoice.total == total // share
    without_terms = replace(_spent(before, carried), past_discounts=())  # an import may not know the coupon
    if carried is not FIVE_OFF or wanted > before:
        assert _quote(without_terms, _to(offer(1000), wanted), NOW, when).invoice.total == total // share


def test_a_new_cycle_keeps_the_discount_of_the_period_that_it_replaces() -> None:
    policy = replace(NOW, billing_cycle_anchor="now")
    assert _quote(_spent(1, FREE), _to(offer(1000), 2), policy, START).invoice.total == 1000
    assert _quote(_spent(2, FREE), _to(offer(1000), 1), policy, HALF).invoice.total == 0


def test_added_quantity_gets_the_discounts_in_force() -> None:
    now = replace(_spent(1, FREE), discounts=(off("10"),))
    assert _quote(now, _to(offer(1000), 2), NOW, START).invoice.total == 900


def test_a_discount_moves_once_however_often_the_plan_changes() -> None:
    now = _spent(1, FREE)
    for quantity, total in ((2, 1000), (1, -1000), (3, 2000), (1, -2000)):
        found = _quote(now, _to(offer(1000), quantity), NOW, START)
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
        found = _quote(now, _to(offer(unit), wanted), NOW, START + offset)
        if unit * wanted <= item.amount:
            assert found.invoice.total <= 0
        assert all(line.discount <= max(0, line.amount) for line in found.invoice.lines)
        now = replace(after(now, found), balance=0)


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
