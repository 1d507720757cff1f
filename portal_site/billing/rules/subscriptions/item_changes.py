"""What a change of a subscription's items does: the items afterwards, and the lines that credit and charge the difference.

The change is given as the items that are wanted. An item that is not among them is removed, and one without an id is added.
Whether a customer may ask for it is a question of its own (`portal_policy`).
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from portal_site.billing.rules.amounts import periods
from portal_site.billing.rules.amounts.items import Item, ItemSpec
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, LineKind
from portal_site.billing.rules.subscriptions import unused_discounts
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus


@dataclass(frozen=True, slots=True)
class ProrationPolicy:
    """How the merchant bills changes, in Stripe's terms (see SubscriptionUpdate in `rules.portal.portal_features`).

    `added_item_period` is `aligned` if an added item joins the current period and is charged for the rest of it, or `own` if
    a period of its own starts with the change, which the billing run bills.
    """

    proration_behavior: str = "none"
    billing_cycle_anchor: str = "unchanged"
    schedule_at_period_end: tuple[str, ...] = ()
    trial_update_behavior: str = "end_trial"
    added_item_period: str = "aligned"


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """The effect of a change.

    `subscription` is the subscription that the invoice is for, with its terms after the change, but with its items before it.
    `items` are those from `effective_at` on. `lines` are invoiced at once, and `deferred_lines` go on the next invoice.
    """

    subscription: SubscriptionSnapshot
    items: tuple[Item, ...]
    effective_at: int
    lines: tuple[InvoiceLine, ...] = ()
    deferred_lines: tuple[InvoiceLine, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemDifference:
    """How the wanted items differ from the current ones.

    `pairs` are the items that stay, before and after the change, in their present order. `changed` are the ids of those with
    another price or quantity.
    """

    pairs: tuple[tuple[Item, Item], ...]
    changed: frozenset[str]
    added: tuple[ItemSpec, ...]
    removed: tuple[Item, ...]

    @classmethod
    def between(cls, items: Iterable[Item], target: Iterable[ItemSpec]) -> Self:
        """The difference between these items and the wanted ones."""
        items, target = tuple(items), tuple(target)
        wanted = {spec.id: spec for spec in target if spec.id is not None}
        pairs = tuple((item, item.changed_to(spec)) for item in items if (spec := wanted.get(item.id)) is not None)
        changed = frozenset(item.id for item, _ in pairs if item.differs_from(wanted[item.id]))
        added = tuple(spec for spec in target if spec.id is None)
        return cls(pairs, changed, added, tuple(item for item in items if item.id not in wanted))

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.changed or self.added or self.removed)

    @property
    def replaced(self) -> frozenset[str]:
        """The ids of the current items that change or are removed."""
        return self.changed | {item.id for item in self.removed}


def change_items(
    before: SubscriptionSnapshot, difference: ItemDifference, policy: ProrationPolicy, at: int
) -> ItemChanges:
    """The effect of a change at `at`. The period of an item that ended at `at` is not prorated: the renewal bills the next."""
    changed = (*(new for _, new in difference.pairs), *_added_items(before, difference.added, policy, at))
    after = tuple(sorted(changed, key=lambda item: (item.created, item.id)))  # as they will be loaded
    if not difference:
        return ItemChanges(before, after, at)
    if before.status == SubscriptionStatus.TRIALING:
        if policy.trial_update_behavior == "continue_trial":
            return ItemChanges(before, after, at)
        return restarted(before, after, at)
    if _is_deferred(difference, policy.schedule_at_period_end):
        replaced = [item for item in before.items if item.id in difference.replaced]
        return ItemChanges(before, after, max(item.period_end for item in replaced))
    interval_changes = any(old.offer.cycle != new.offer.cycle for old, new in difference.pairs if old.period_end > at)
    if policy.billing_cycle_anchor == "now" or (before.billing_mode == "classic" and interval_changes):
        # Without proration, items that change are not credited. Unchanged items are, or their time would be billed twice.
        without_credit = difference.replaced if policy.proration_behavior == "none" else frozenset()
        credited = {item.id for item in before.items} - without_credit
        return restarted(before, after, at, credited)
    if policy.proration_behavior == "none":
        return ItemChanges(before, after, at)
    return _prorated(before, difference, after, policy, at)


def _added_items(
    before: SubscriptionSnapshot, added: Sequence[ItemSpec], policy: ProrationPolicy, at: int
) -> tuple[Item, ...]:
    """The items that a change adds.

    Their ids are fixed before they exist, because the lines of the quote refer to them, and quote and charge must agree. The
    ids of one change sort in the order of the items. Those of two changes within a second differ, as the items before them do.
    """
    if not added:
        return ()
    current = ":".join(item.id for item in before.items)
    digest = hashlib.sha256(f"{before.id}:{at}:{current}".encode()).hexdigest()[:22]
    items = []
    for position, spec in enumerate(added):
        anchor = None
        if before.status == SubscriptionStatus.TRIALING and before.trial_end:
            start, end = at, before.trial_end
        elif policy.added_item_period == "own":
            start, end = at, at
        else:
            start, end, anchor = _aligned_period(before, spec, at)
        items.append(
            Item(f"si_{digest}{position:02}", spec.offer, spec.quantity, start, end, created=at, anchor=anchor)
        )
    return tuple(items)


def _aligned_period(before: SubscriptionSnapshot, spec: ItemSpec, at: int) -> tuple[int, int, int | None]:
    """The period of an added item, as start, end and own anchor: that of an item with the same interval, if there is one."""
    interval, count = spec.offer.cycle
    like = next((item for item in before.items if item.offer.cycle == spec.offer.cycle), None)
    if like is None:
        start, end = periods.period_at(before.anchor, interval, count, at)
    else:
        anchor = before.anchor if like.anchor is None else like.anchor
        origin = like.whole_period(before.anchor)[0]
        start, end = periods.period_around(anchor, interval, count, origin, max(origin, at))
    return start, min(end, before.cancel_at or end), None if like is None else like.anchor


def _is_deferred(difference: ItemDifference, conditions: Collection[str]) -> bool:
    """Whether a downgrade meets one of Stripe's `schedule_at_period_end` conditions: a lower amount, or a shorter interval."""
    if "decreasing_item_amount" in conditions and (difference.removed or any(map(_decreases, difference.pairs))):
        return True
    return "shortening_interval" in conditions and any(
        new.offer.length < old.offer.length for old, new in difference.pairs
    )


def _decreases(pair: tuple[Item, Item]) -> bool:
    """Whether the item costs less per unit of time after the change."""
    old, new = pair
    # Compared crosswise, so that no division rounds: a/x < b/y exactly when a·y < b·x.
    return new.amount * old.offer.length < old.amount * new.offer.length


def restarted(
    before: SubscriptionSnapshot, after: Sequence[Item], at: int, credited: Collection[str] = ()
) -> ItemChanges:
    """The effect of a change after which the periods of all items start at `at` and are billed in full.

    The items with the ids `credited` are credited for the unused time of their old periods.
    """
    restarted_items = tuple(replace(item, period_start=at, period_end=at, anchor=None) for item in after)
    in_force = before.discounts_in_force(at)
    lines = invoices.renewal_lines(
        restarted_items, at, in_force, before.tax_rates, before.currency, until=before.cancel_at
    )
    lines = tuple(
        invoices.with_tax(unused_discounts.moved_to(line, before, at)) if line.item_id in credited else line
        for line in lines
    )
    ends = {line.item_id: line.period_end for line in lines}
    items = tuple(replace(item, period_end=ends[item.id]) for item in restarted_items)
    trial_end = at if before.status == SubscriptionStatus.TRIALING else before.trial_end
    subscription = replace(
        before, anchor=at, trial_end=trial_end, status=SubscriptionStatus.ACTIVE, resumes_at=None,
        phases=before.phases_from(min(ends.values(), default=at)),
    )  # fmt: skip
    credits = proration_credits(before, credited, at)
    return ItemChanges(subscription, items, at, (*before.pending_lines, *credits, *lines))


def _prorated(
    before: SubscriptionSnapshot,
    difference: ItemDifference,
    after: Sequence[Item],
    policy: ProrationPolicy,
    at: int,
) -> ItemChanges:
    """A change inside the period: the old items are credited for unused time, and the new ones charged for remaining time."""
    current = {item.id: item for item in before.items}
    inside = {name for name in difference.changed if current[name].period_end > at}
    items = tuple(
        _with_fitted_period(current[item.id], item, before, at) if item.id in inside else item for item in after
    )
    charged = inside | {item.id for item in items if item.id not in current and item.period_end > at}
    invoiced = policy.proration_behavior == "always_invoice" or any(
        item.id in current and current[item.id].period_end != item.period_end for item in items
    )
    credits = proration_credits(before, difference.replaced, at)
    lines = (*credits, *_proration_charges(before, items, charged, at, invoiced))
    if invoiced and lines:
        return ItemChanges(before, items, at, (*before.pending_lines, *lines))
    return ItemChanges(before, items, at, deferred_lines=lines)


def _with_fitted_period(old: Item, item: Item, before: SubscriptionSnapshot, at: int) -> Item:
    """The changed item with a period that fits its price's interval and does not extend beyond `cancel_at`."""
    if old.offer.cycle != item.offer.cycle or item.outlasts(before.anchor):
        item = item.refitted(before.anchor, at)
    return item.ending_at(min(item.period_end, before.cancel_at or item.period_end))


def proration_credits(before: SubscriptionSnapshot, credited: Iterable[str], at: int) -> tuple[InvoiceLine, ...]:
    """Credit lines for the unused time of the items with these ids, from the amounts that were actually charged for it.

    Time that a discount made free of charge has a credit of 0, so that its discount is not moved to new lines twice.
    Classic subscriptions are credited at their current price instead, whatever was charged, as at Stripe
    (docs.stripe.com/billing/subscriptions/billing-mode), but with no more than was paid where a credit note gave a part back.
    """
    item_ids = set(credited)
    reduced = {line.item_id for line in before.creditable_lines if line.given_back} & item_ids
    return _limited_to_payment(before, _credits(before, item_ids, at), reduced, at)


def _credits(before: SubscriptionSnapshot, item_ids: set[str], at: int) -> tuple[InvoiceLine, ...]:
    if before.billing_mode != "classic":
        credits = [_credit(line, at, line.period_end) for line in before.creditable_lines if line.item_id in item_ids]
    elif before.status in (SubscriptionStatus.TRIALING, SubscriptionStatus.PAUSED):  # not paid, or credited already
        credits = []
    else:
        item_ids = item_ids & {line.item_id for line in before.creditable_lines}  # no credit for unpaid items
        full_lines = invoices.with_discounts_and_tax(
            _full_period_lines(before, before.items), before.discounts_in_force(at), before.currency
        )
        both = zip(full_lines, before.items, strict=True)
        credits = [_credit(line, at, item.period_end) for line, item in both if item.id in item_ids]
    free = {line.id for line in before.creditable_lines if line.amount == line.discount}
    return tuple(line for line in credits if line.amount or line.credits in free)


def credits_on_end(before: SubscriptionSnapshot, at: int) -> tuple[InvoiceLine, ...]:
    """Credit lines for the unused time of all items when the subscription ends or is paused.

    No item is credited more than was paid for it. So an item of a classic subscription is credited at its current price only if
    that is not more than the amount charged.
    """
    item_ids = {item.id for item in before.items}
    return _limited_to_payment(before, _credits(before, item_ids, at), item_ids, at)


def _limited_to_payment(
    before: SubscriptionSnapshot, by_price: tuple[InvoiceLine, ...], item_ids: set[str], at: int
) -> tuple[InvoiceLine, ...]:
    """The credits, but for these items those from what was paid where they are less."""
    if before.billing_mode != "classic" or not item_ids:
        return by_price
    by_payment = _credits(replace(before, billing_mode="flexible"), item_ids, at)

    def credited(lines: Iterable[InvoiceLine], item_id: str) -> int:
        return -sum(line.total for line in lines if line.item_id == item_id)

    capped = {name for name in item_ids if credited(by_price, name) > credited(by_payment, name)}
    return tuple(line for line in by_price if line.item_id not in capped) + tuple(
        line for line in by_payment if line.item_id in capped
    )


def _credit(debit: InvoiceLine, at: int, end: int) -> InvoiceLine:
    factor = debit.factor_after(at, end)
    net, taxes = debit.charged()
    proration, full_amount = _explanation(debit, factor, net)
    return InvoiceLine(
        kind=LineKind.UNUSED,
        offer=debit.offer,
        item_id=debit.item_id,
        quantity=debit.quantity,
        period_start=at,
        period_end=debit.period_end,
        amount=-factor.of(net),
        taxes=tuple(Tax(tax.rate, -factor.of(tax.amount), -factor.of(tax.taxable)) for tax in taxes),
        proration=proration,
        full_amount=full_amount,
        credits=debit.id,
    )


def _explanation(debit: InvoiceLine, factor: ProrationFactor, net: int) -> tuple[ProrationFactor, int]:
    """The calculation that is shown for a credit: of a prorated charge, the part of its whole period and of the plan's price.

    Where that would yield another amount, because of a discount or of rounding, it is the part of what was charged.
    """
    if debit.proration is not None:
        of_period = ProrationFactor(factor.seconds, debit.proration.period_seconds)
        if of_period.of(debit.full_amount) == factor.of(net):
            return of_period, debit.full_amount
    return factor, net


def _proration_charges(
    before: SubscriptionSnapshot, items: Sequence[Item], charged: set[str], at: int, invoiced: bool
) -> tuple[InvoiceLine, ...]:
    """Charge lines for the rest of the period at the new price.

    A lasting discount is prorated with its period. What the period's invoice carried of a discount that is used up or over
    moves to the rest of the period (`unused_discounts`). A single-use discount is applied in full, and only if the lines are
    invoiced now.
    """
    in_force = before.discounts_in_force(at)
    lasting = [discount for discount in in_force if not discount.single_use]
    full_lines = invoices.with_discounts(_full_period_lines(before, items), lasting, before.currency)
    both = zip(full_lines, items, strict=True)
    lines = [invoices.prorate_line(line, at, item.period_end) for line, item in both if item.id in charged]
    lines = [unused_discounts.moved_to(line, before, at) for line in lines]
    single_use = [discount for discount in in_force if discount.single_use] if invoiced else []
    return invoices.with_discounts_and_tax(lines, single_use, before.currency)


def _full_period_lines(before: SubscriptionSnapshot, items: Sequence[Item]) -> list[InvoiceLine]:
    """The line of each item for its full current period, before discounts and tax."""
    return [invoices.full_period_line(item, before.anchor, before.tax_rates) for item in items]
