"""Quotes of plan changes: Stripe's own figures, every option, discounts and tax, and refusals."""

from dataclasses import replace
from typing import Any

import pytest

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.item_changes import ProrationPolicy
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from tests.billing.quotes import END, HALF, LATER, NOW, START, amounts, quote_change, team, to_plan
from tests.billing.terms import INCLUDED, VAT, after, at, off, offer, snapshot

# --- Stripe's own figures ---------------------------------------------------------------------------------------------


def test_month_to_year_four_seconds_after_the_start() -> None:
    """As recorded: −25.00 and +250.00, the period begins where it began and ends a year later."""
    start = 1_762_799_407
    found = quote_change(snapshot((offer(2500), 1), start=start), to_plan(offer(25000, "year")), NOW, start + 4)
    assert amounts(found) == [-2500, 25000]
    assert (found.invoice.total, found.invoice.amount_due) == (22500, 22500)
    assert (found.items[0].period_start, found.items[0].period_end) == (start, 1_794_335_407)
    assert found.anchor == start


def test_ten_to_twenty_at_half_time() -> None:
    found = quote_change(team(), to_plan(offer(2000)), NOW, HALF)
    assert amounts(found) == [-500, 1000]
    assert found.next_invoice is not None
    assert (found.next_invoice.date, found.next_invoice.amount_due) == (END, 2000)


def test_ten_per_cent_off_is_2250() -> None:
    found = quote_change(
        snapshot((offer(1000), 1), start=START, status=SubscriptionStatus.TRIALING, creditable_lines=(), discounts=(off("10"),)),
        to_plan(offer(2500)), NOW, HALF,
    )  # fmt: skip
    assert (found.invoice.subtotal, found.invoice.discount, found.invoice.total) == (2500, 250, 2250)


@pytest.mark.parametrize(("mode", "total"), [("classic", -334), ("flexible", 0)])
def test_up_without_proration_then_down_with_it(mode: str, total: int) -> None:
    """Ten to twenty on the 11th for nothing, back to ten on the 21st: classic credits what was never paid."""
    first = team(billing_mode=mode)
    up = quote_change(first, to_plan(offer(2000)), ProrationPolicy(), at("2026-04-11"))
    assert up.invoice.lines == up.deferred_lines == ()
    down = quote_change(after(first, up), to_plan(offer(1000)), NOW, at("2026-04-21"))
    assert down.invoice.total == total


# --- the options ------------------------------------------------------------------------------------------------------


def test_without_proration_the_new_price_counts_from_the_next_period() -> None:
    found = quote_change(team(), to_plan(offer(2000), 3), ProrationPolicy(), HALF)
    assert not found.invoiced
    assert found.invoice.amount_due == 0
    assert (found.items[0].quantity, found.items[0].period_end) == (3, END)
    assert found.next_invoice is not None
    assert found.next_invoice.amount_due == 6000


def test_prorations_can_wait_for_the_next_invoice() -> None:
    found = quote_change(team(), to_plan(offer(2000)), LATER, HALF)
    assert [line.amount for line in found.deferred_lines] == [-500, 1000]
    assert found.invoice.amount_due == 0
    assert found.next_invoice is not None
    assert (found.next_invoice.subtotal, found.next_invoice.amount_due) == (2500, 2500)


def test_a_new_interval_is_billed_at_once_even_so() -> None:
    found = quote_change(team(), to_plan(offer(12000, "year")), LATER, HALF)
    year = at("2027-04-01") - START
    assert amounts(found) == [-500, ProrationFactor(at("2027-04-01") - HALF, year).of(12000)]


def test_an_invoice_now_takes_pending_lines() -> None:
    first = team()
    waiting = after(first, quote_change(first, to_plan(offer(2000)), LATER, HALF))
    found = quote_change(waiting, to_plan(offer(3000)), NOW, at("2026-04-21"))
    assert amounts(found) == [-500, 1000, -667, 1000]
    assert found.invoice.amount_due == 833


def test_the_billing_date_can_restart_today() -> None:
    policy = replace(NOW, billing_cycle_anchor="now")
    found = quote_change(team(), to_plan(offer(2000)), policy, HALF)
    assert amounts(found) == [-500, 2000]
    assert (found.anchor, found.items[0].period_start, found.items[0].period_end) == (HALF, HALF, at("2026-05-16"))
    without = quote_change(team(), to_plan(offer(2000)), replace(policy, proration_behavior="none"), HALF)
    assert amounts(without) == [2000]


def test_a_change_ends_or_continues_a_trial() -> None:
    trial = team(status=SubscriptionStatus.TRIALING, trial_end=END, creditable_lines=())
    ended = quote_change(trial, to_plan(offer(2000)), ProrationPolicy(), HALF)
    assert (amounts(ended), ended.trial_end, ended.anchor) == ([2000], HALF, HALF)
    assert ended.items[0].period_end == at("2026-05-16")
    going_on = quote_change(trial, to_plan(offer(2000)), ProrationPolicy(trial_update_behavior="continue_trial"), HALF)
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
    found = quote_change(team(3), to_plan(what, quantity), policy, HALF)
    assert found.deferred == deferred
    if deferred:
        assert (found.effective_at, found.invoice.amount_due, found.deferred_lines) == (END, 0, ())
        assert found.next_invoice is not None
        assert (found.next_invoice.date, found.next_invoice.amount_due) == (END, what.amount(quantity))


def test_several_items_in_one_change() -> None:
    two = snapshot((offer(1000), 2), (offer(300, product="storage"), 10), start=START)
    wishes = to_plan(offer(2000), 2) | to_plan(offer(300, product="storage"), 4, "si_1")
    found = quote_change(two, wishes, NOW, HALF)
    assert amounts(found) == [-1000, -1500, 2000, 600]
    assert found.invoice.amount_due == 100


def test_an_unchanged_item_is_not_billed() -> None:
    two = snapshot((offer(1000), 2), (offer(300, product="storage"), 10), start=START)
    found = quote_change(two, to_plan(offer(1000), 3) | to_plan(offer(300, product="storage"), 10, "si_1"), NOW, HALF)
    assert {line.item_id for line in found.invoice.lines} == {"si_0"}


# --- discounts, tax, balance ------------------------------------------------------------------------------------------


def test_credit_is_net_of_discounts_and_a_lasting_coupon_continues() -> None:
    found = quote_change(team(discounts=(off("10"),)), to_plan(offer(2000)), NOW, HALF)
    assert [(line.amount, line.discount) for line in found.invoice.lines] == [(-450, 0), (1000, 100)]
    assert found.invoice.amount_due == 450


def test_an_amount_off_is_shared_by_the_items_and_by_the_time() -> None:
    two = snapshot((offer(1000), 1), (offer(1000, product="storage"), 1), start=START, discounts=(off(amount=400),))
    found = quote_change(two, to_plan(offer(3000)), NOW, HALF)
    # Of 4.00 off, 3/4 belong to what now costs three quarters, and half of the time is left.
    assert [(line.amount, line.discount) for line in found.invoice.lines] == [(-400, 0), (1500, 150)]


def test_a_single_use_code_applies_in_full_and_is_consumed() -> None:
    code = off(amount=300, id="di_code", duration="once")
    found = quote_change(team(), to_plan(offer(2000)), NOW, HALF, code)
    assert (found.invoice.discount, found.invoice.amount_due, found.consumed_discounts) == (300, 200, {"di_code"})
    assert found.next_invoice is not None
    assert found.next_invoice.discount == 0
    waiting = quote_change(team(), to_plan(offer(2000)), LATER, HALF, code)
    assert waiting.consumed_discounts == frozenset()
    assert waiting.next_invoice is not None
    assert waiting.next_invoice.discount == 300


def test_a_code_alone_changes_nothing_today() -> None:
    found = quote_change(team(), {}, NOW, HALF, off("25", id="di_code"))
    assert (found.invoiced, found.next_invoice and found.next_invoice.amount_due) == (False, 750)


@pytest.mark.case("D16")
@pytest.mark.parametrize(("rate", "totals"), [(VAT, (-600, 1200)), (INCLUDED, (-500, 1000))])
def test_a_credit_includes_its_tax(rate: Any, totals: tuple[int, int]) -> None:
    found = quote_change(team(tax_rates=(rate,)), to_plan(offer(2000)), NOW, HALF)
    assert tuple(line.total for line in found.invoice.lines) == totals
    assert found.invoice.total == sum(line.total for line in found.invoice.lines)


@pytest.mark.case("D10")
def test_more_credit_than_charge_goes_to_the_balance() -> None:
    found = quote_change(team(unit=9000), to_plan(offer(1000)), NOW, HALF)
    assert (found.invoice.total, found.invoice.amount_due, found.invoice.ending_balance) == (-4000, 0, -4000)
    assert found.next_invoice is not None
    assert (found.next_invoice.balance_used, found.next_invoice.amount_due) == (1000, 0)


@pytest.mark.parametrize("currency", ["jpy", "kwd"])
@pytest.mark.case("D15")
def test_yen_and_dinar_are_whole_units_too(currency: str) -> None:
    first = snapshot((offer(1001, currency=currency), 1), start=START)
    found = quote_change(first, to_plan(offer(2001, currency=currency)), NOW, at("2026-04-11"))
    assert amounts(found) == [-667, 1334]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_quote_without_a_change_is_refused() -> None:
    with pytest.raises(BillingError, match="already have this"):
        quote_change(team(2), to_plan(offer(1000), 2), NOW, HALF)


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
    refusal = plan_change.why_not_changeable(team(**members), HALF)
    assert refusal is not None
    assert word in refusal.message


def test_metered_items_and_due_renewals_are_refused_with_a_reason() -> None:
    metered = snapshot((offer("2", terms=replace(offer(2).terms, metered=True)), None), start=START)
    assert "use" in str(plan_change.why_not_changeable(metered, HALF))
    assert "processed" in str(plan_change.why_not_changeable(team(), END))
    assert "processed" in str(plan_change.why_not_changeable(team(due_at=HALF), HALF))  # a merchant's new price, say
    assert plan_change.why_not_changeable(team(), HALF) is None


@pytest.mark.case("D8")
def test_prices_in_another_currency_or_taxed_in_another_way_do_not_fit() -> None:
    item = team().items[0]
    assert plan_change.incompatibility([item], offer(2000, currency="usd"), "eur") is not None
    taxed = replace(item, offer=offer(1000, tax_behavior="inclusive"))
    assert plan_change.incompatibility([taxed], offer(2000, tax_behavior="exclusive"), "eur") is not None
    assert plan_change.incompatibility([taxed], offer(2000), "eur") is None
