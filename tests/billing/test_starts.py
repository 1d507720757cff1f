"""Rules for starting a subscription: what is refused, and that the quote is the first invoice."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import Item
from portal_site.billing.rules.amounts.periods import DAY, boundary
from portal_site.billing.rules.subscriptions import starts
from portal_site.billing.rules.subscriptions.forecast import CustomerState, renew
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.starts import SoldPrice, WantedPrice, WantedTrial
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from tests.billing.terms import INCLUDED, VAT, at, off, offer, price

NOW = at("2026-04-16 12:00:00")
TEAM, YEAR, STORAGE = offer(1000), offer(10000, "year"), offer(300, product="storage")
DOLLARS = offer(1000, product="dollars", currency="usd")
CALLS = offer("1", product="calls", terms=price("1", metered=True))
WITH_TAX, WITHOUT_TAX = offer(500, tax_behavior="inclusive"), offer(700, tax_behavior="exclusive")
SOLD = {
    plan.price_id: SoldPrice(plan, True, True) for plan in (TEAM, YEAR, STORAGE, DOLLARS, CALLS, WITH_TAX, WITHOUT_TAX)
}
ARCHIVED, ONCE = offer(1), offer(2)
SOLD |= {ARCHIVED.price_id: SoldPrice(ARCHIVED, False, True), ONCE.price_id: SoldPrice(ONCE, True, False)}


def _items(*wanted: tuple[Any, int | None], currency: str | None = "eur") -> tuple[Item, ...]:
    prices = [WantedPrice(plan.price_id, quantity) for plan, quantity in wanted]
    return starts.new_items(prices, SOLD, currency, "sub_new", NOW)


def _snapshot(*items: Item, trial_end: int | None = None, **members: Any) -> SubscriptionSnapshot:
    status = SubscriptionStatus.TRIALING if trial_end else SubscriptionStatus.ACTIVE
    return SubscriptionSnapshot("sub", "eur", status, trial_end or NOW, tuple(items), trial_end=trial_end, **members)


def _refused(param: str, words: str, *wanted: tuple[Any, int | None], currency: str | None = "eur") -> None:
    with pytest.raises(BillingError, match=words) as refused:
        _items(*wanted, currency=currency)
    assert refused.value.param == param


@pytest.mark.parametrize("quantity", [0, -1, 10**6, 10**12])
def test_quantities_have_limits(quantity: int) -> None:
    _refused("items[0][quantity]", "Enter a whole number", (TEAM, quantity))
    _refused("items[1][quantity]", "Enter a whole number", (TEAM, 1), (STORAGE, quantity))


def test_what_is_not_sold_is_refused_at_its_item() -> None:
    _refused("items[0][price]", "archived", (ARCHIVED, 1))
    _refused("items[1][price]", "archived", (TEAM, 1), (ARCHIVED, 1))
    _refused("items[0][price]", "paid once", (ONCE, 1))
    _refused("items[0][price]", "no such price", (offer(5), 1))
    _refused("items[1][price]", "there already", (TEAM, 1), (TEAM, 1))
    _refused("items[0][price]", "pays in EUR, and this price is in USD", (DOLLARS, 1))
    _refused(
        "items[1][price]", "before this one are in USD, and this one is in EUR", (DOLLARS, 1), (TEAM, 1), currency=None
    )
    _refused("items[1][price]", "includes tax and another", (WITH_TAX, 1), (WITHOUT_TAX, 1))
    _refused("items[0][quantity]", "paid by usage", (CALLS, 2))
    _refused("items[0][price]", "from 1 to 20")
    _refused("items[20][price]", "from 1 to 20", *[(TEAM, 1)] * 21)


def test_items_keep_their_order_and_have_a_quantity_unless_usage_decides() -> None:
    items = _items((STORAGE, None), (TEAM, 3), (CALLS, 1), currency=None)
    assert [item.quantity for item in items] == [1, 3, None]
    assert list(items) == sorted(items, key=lambda item: (item.created, item.id))


@pytest.mark.parametrize(
    ("trial", "param", "words"),
    [
        (WantedTrial(days=-1), "trial_period_days", "from 1 to 730"),
        (WantedTrial(days=0), "trial_period_days", "from 1 to 730"),
        (WantedTrial(days=731), "trial_period_days", "from 1 to 730"),
        (WantedTrial(until=NOW), "trial_end", "in the future"),
        (WantedTrial(until=NOW + 731 * DAY), "trial_end", "within 730 days"),
        (WantedTrial(days=1, missing_payment_method="pause"), "missing_payment_method", "Choose one"),
    ],
)
def test_trials_have_limits(trial: WantedTrial, param: str, words: str) -> None:
    with pytest.raises(BillingError, match=words) as refused:
        starts.trial_end(trial, 14, NOW)
    assert refused.value.param == param


def test_a_trial_is_of_some_days_until_a_day_or_the_usual_one() -> None:
    assert starts.trial_end(WantedTrial(), 14, NOW) is None
    assert starts.trial_end(WantedTrial(as_priced=True), None, NOW) is None
    assert starts.trial_end(WantedTrial(as_priced=True), 14, NOW) == NOW + 14 * DAY
    assert starts.trial_end(WantedTrial(days=730), 14, NOW) == NOW + 730 * DAY
    assert starts.trial_end(WantedTrial(until=NOW + 1), 14, NOW) == NOW + 1


def test_invoices_are_due_within_some_days_only_if_they_are_sent() -> None:
    assert starts.days_until_due("charge_automatically", 30) is None
    assert starts.days_until_due("send_invoice", 0) == 0
    for method, days, param in (
        ("send_invoice", None, "days_until_due"), ("send_invoice", -1, "days_until_due"),
        ("send_invoice", 366, "days_until_due"), ("by_pigeon", 1, "collection_method"),
    ):  # fmt: skip
        with pytest.raises(BillingError) as refused:
            starts.days_until_due(method, days)
        assert refused.value.param == param


def test_only_an_amount_that_is_to_be_charged_needs_a_payment_method() -> None:
    due, free = (starts.quote(_snapshot(*_items((TEAM, 1)), balance=balance), NOW) for balance in (0, -5000))
    refusal = starts.why_not_payable(due, "charge_automatically", has_method=False)
    assert refusal is not None
    assert "no payment method" in refusal.message
    assert starts.why_not_payable(due, "charge_automatically", has_method=True) is None
    assert starts.why_not_payable(due, "send_invoice", has_method=False) is None
    assert starts.why_not_payable(free, "charge_automatically", has_method=False) is None


def test_a_code_that_ends_with_the_trial_saves_nothing() -> None:
    month = NewDiscount(off("50", id="di_new", duration="repeating", end=boundary(NOW, "month", 1)))
    for days, saves in ((14, True), (60, False)):
        trial = _snapshot(*_items((TEAM, 1)), trial_end=NOW + days * DAY, cancel_at=NOW + days * DAY)
        assert starts.saves(trial, NOW, month) is saves
    other = NewDiscount(off("50", products=frozenset({"prod_other"})))
    assert starts.saves(_snapshot(*_items((TEAM, 1))), NOW, other) is False


def test_the_discount_of_a_code_stands_in_for_the_customers() -> None:
    customers, code = off("10", subscription_id=None), NewDiscount(off("50", duration="once"))
    begun = _snapshot(*_items((TEAM, 1)), discounts=(customers,))
    assert starts.quote(begun, NOW).invoice.amount_due == 900
    quoted = starts.quote(begun, NOW, code)
    assert quoted.invoice.amount_due == 500
    assert quoted.consumed_discounts == {code.terms.id}
    assert quoted.next_invoice is not None
    assert quoted.next_invoice.amount_due == 900


WANTED = st.lists(
    st.tuples(st.sampled_from([TEAM, YEAR, STORAGE, offer(333, "week", 2, "weekly")]), st.integers(1, 999)),
    min_size=1, max_size=4, unique_by=lambda one: one[0].price_id,
)  # fmt: skip
DISCOUNTS = st.sampled_from([
    None, off("33.33", duration="once"), off("100"), off(amount=700, products=frozenset({"prod_storage"})),
    off("20", duration="repeating", end=boundary(NOW, "month", 3)),
])  # fmt: skip
RATES = st.sampled_from([(), (VAT,), (INCLUDED,), (VAT, INCLUDED)])
BALANCES = st.integers(-20_000, 20_000)
SOLD |= {plan.price_id: SoldPrice(plan, True, True) for plan in (offer(333, "week", 2, "weekly"),)}


@given(WANTED, DISCOUNTS, RATES, BALANCES)
def test_the_quote_is_the_invoice_of_the_first_period(
    wanted: list[tuple[Any, int]], terms: Any, rates: Any, balance: int
) -> None:
    """The first invoice is what a billing run would write at this instant, and the next one what it writes after it."""
    code = terms and NewDiscount(terms)
    begun = _snapshot(*_items(*wanted), tax_rates=rates, balance=balance)
    quoted = starts.quote(begun, NOW, code)
    with_code = replace(begun, discounts=(terms,) if terms else ())
    first = renew(with_code, CustomerState.of(with_code), NOW)
    assert quoted.invoice == first.invoice
    assert quoted.consumed_discounts == first.consumed
    following = replace(with_code, items=quoted.items, anchor=quoted.anchor)
    date = min(item.period_end for item in quoted.items)
    second = renew(following, first.state, date)
    assert quoted.next_invoice is not None
    assert second.invoice is not None
    assert (quoted.next_invoice.date, quoted.next_invoice.amount_due) == (date, second.invoice.amount_due)


@given(WANTED, RATES, BALANCES, st.integers(1, 730))
def test_after_a_trial_the_first_invoice_is_that_of_a_start_at_its_end(
    wanted: list[tuple[Any, int]], rates: Any, balance: int, days: int
) -> None:
    end = NOW + days * DAY
    items = _items(*wanted)
    quoted = starts.quote(_snapshot(*items, trial_end=end, tax_rates=rates, balance=balance), NOW)
    assert not quoted.invoiced
    assert quoted.invoice.amount_due == 0
    assert {(item.period_start, item.period_end) for item in quoted.items} == {(NOW, end)}
    later = starts.quote(replace(_snapshot(*items, tax_rates=rates, balance=balance), anchor=end), end)
    assert quoted.next_invoice is not None
    assert (quoted.next_invoice.date, quoted.next_invoice.amount_due) == (end, later.invoice.amount_due)
    assert quoted.next_invoice.tax == later.invoice.tax
