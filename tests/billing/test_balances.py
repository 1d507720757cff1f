"""Balances in several currencies: whatever comes has a place, and what has one is used."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.invoicing.balances import Balances, as_others

CURRENCIES = st.sampled_from(("eur", "usd", "jpy"))
MOVES = st.lists(st.tuples(st.integers(-5000, 5000), CURRENCIES), max_size=20)


def test_what_comes_in_another_currency_is_kept_beside_the_balance() -> None:
    balances = Balances(-500, "usd").add(-300, "eur")
    assert balances == Balances(-500, "usd", (("eur", -300),))
    assert (balances.usable("eur"), balances.usable("usd"), balances.usable("jpy")) == (-300, -500, 0)


def test_a_balance_that_is_used_up_takes_on_the_next_currency_with_what_was_kept_in_it() -> None:
    used_up = Balances(-500, "usd", (("eur", -300), ("jpy", 7))).add(500, "usd")
    assert used_up.add(100, "eur") == Balances(-200, "eur", (("jpy", 7),))
    assert used_up.add(0, "eur") == used_up


def test_nothing_only_sets_a_missing_currency() -> None:
    assert Balances().add(0, "eur") == Balances(0, "eur")


@given(MOVES)
def test_in_each_currency_there_is_what_came_in_it(moves: list[tuple[int, str]]) -> None:
    balances, came = Balances(), defaultdict[str, int](int)
    for amount, currency in moves:
        before = balances.usable(currency)
        balances = balances.add(amount, currency)
        came[currency] += amount
        assert balances.usable(currency) == before + amount
        assert balances.currency not in dict(balances.others)
        assert all(amount for _, amount in balances.others)
        assert as_others(dict(balances.others)) == balances.others
    assert {currency: balances.usable(currency) for currency in came} == came
