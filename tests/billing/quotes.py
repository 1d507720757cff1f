"""Quotes of plan changes for the tests of the rules."""

from typing import Any

from hypothesis import strategies as st

from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import ItemSpec, PricedPlan
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.item_changes import ProrationPolicy
from portal_site.billing.rules.subscriptions.plan_change import NewDiscount, Quote
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from tests.billing.terms import at, offer, snapshot

NOW = ProrationPolicy(proration_behavior="always_invoice")
LATER = ProrationPolicy(proration_behavior="create_prorations")
START, HALF, END = at("2026-04-01"), at("2026-04-16"), at("2026-05-01")


def to_plan(what: PricedPlan, quantity: int = 1, item: str = "si_0") -> dict[str, ItemSpec]:
    return {item: ItemSpec(what, quantity, item)}


def quote_change(
    now: SubscriptionSnapshot,
    wanted: dict[str, ItemSpec],
    policy: ProrationPolicy,
    when: int,
    code: DiscountTerms | None = None,
) -> Quote:
    """The quote for changing some items, while the others stay as they are."""
    target = [wanted.get(item.id, item.spec) for item in now.items]
    return plan_change.quote(now, target, policy, when, code and NewDiscount(code))


def amounts(quote: Quote) -> list[int]:
    return [line.amount for line in quote.invoice.lines]


def team(quantity: int = 1, unit: int = 1000, **members: Any) -> SubscriptionSnapshot:
    return snapshot((offer(unit), quantity), start=START, **members)


PATHS = st.lists(
    st.tuples(st.integers(0, END - START - 1), st.integers(0, 5000), st.integers(1, 9)), min_size=1, max_size=8
)
