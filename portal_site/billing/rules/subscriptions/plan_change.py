"""Rules for changing a subscription: whether it can be changed, and a quote of the cost and the time it takes effect.

The preview and the change use the same quote, so what is shown is what is charged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals, LineKind
from portal_site.billing.rules.subscriptions.forecast import CustomerState, NextInvoice, forecast
from portal_site.billing.rules.subscriptions.snapshot import PlannedPhase, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_

UNCOLLECTED_INVOICE = N_("Part of the current period has not been paid. Please contact us.")
QUOTE_LIFETIME = 30 * 60  # seconds for which a quote can be confirmed
# Seconds until an unpaid pending update expires, as at Stripe (docs.stripe.com/billing/subscriptions/pending-updates).
PENDING_UPDATE_LIFETIME = 23 * 60 * 60


@dataclass(frozen=True, slots=True)
class ItemChange:
    """The new price and quantity of an item."""

    offer: PricedPlan
    quantity: int | None


@dataclass(frozen=True, slots=True)
class ProrationPolicy:
    """How the merchant bills changes, in Stripe's terms (see SubscriptionUpdate in `rules.portal.portal_features`)."""

    proration_behavior: str = "none"
    billing_cycle_anchor: str = "unchanged"
    schedule_at_period_end: tuple[str, ...] = ()
    trial_update_behavior: str = "end_trial"


@dataclass(frozen=True, slots=True)
class Quote:
    """A change as it would be made at `at`.

    `items`, `anchor` and `trial_end` are those from `effective_at` on. `invoice` is written today; it has no lines if nothing
    is invoiced today, and `deferred_lines` go on the next invoice then. `code` is the discount that a promotion code adds.
    """

    at: int
    effective_at: int
    items: tuple[Item, ...]
    anchor: int
    trial_end: int | None
    invoice: InvoiceTotals
    deferred_lines: tuple[InvoiceLine, ...]
    consumed_discounts: frozenset[str]
    code: DiscountTerms | None
    next_invoice: NextInvoice | None

    @property
    def deferred(self) -> bool:
        """Whether the change takes effect at the end of the period."""
        return self.effective_at > self.at

    @property
    def invoiced(self) -> bool:
        """Whether an invoice is written today."""
        return bool(self.invoice.lines)


def why_not_changeable(snapshot: SubscriptionSnapshot, at: int) -> BillingError | None:
    """Why this subscription cannot be changed now, or None."""
    reasons = (
        (snapshot.status.ended, N_("This subscription has ended.")),
        (
            snapshot.managed_by_merchant_schedule,
            N_("Changes to this plan have already been arranged with us. Please contact us."),
        ),
        (_is_ending(snapshot), N_("This subscription is set to end. Undo the cancellation before you change it.")),
        (snapshot.is_paused, N_("This subscription is paused. Resume it before you change it.")),
        (
            snapshot.collection_method == "send_invoice",
            N_("You pay this subscription by invoice. Please contact us to change it."),
        ),
        (
            snapshot.has_open_invoice or not snapshot.status.renews,
            N_("An invoice for this subscription is unpaid. Pay it before you change your plan."),
        ),
        (snapshot.has_uncollected_invoice, UNCOLLECTED_INVOICE),
        (
            all(item.offer.terms.metered for item in snapshot.items),
            N_("You pay for what you use, so there is nothing to change here."),
        ),
        (
            snapshot.is_behind(at),
            N_("Your renewal is being processed. Please try again in a few minutes."),
        ),
    )
    return next((BillingError(message, "subscription_not_changeable") for applies, message in reasons if applies), None)


def _is_ending(snapshot: SubscriptionSnapshot) -> bool:
    return snapshot.cancel_at is not None


def incompatibility(item: Item, offer: PricedPlan, currency: str) -> BillingError | None:
    """Why an item cannot change to a plan because of its currency or tax behavior, or None."""
    if offer.terms.currency != currency:
        return BillingError(
            N_("The available plans are in a different currency from your subscription."), "currency_mismatch", "price"
        )
    tax_behaviors = {item.offer.tax_behavior, offer.tax_behavior} - {"unspecified"}
    if len(tax_behaviors) > 1:
        return BillingError(
            N_("Tax is calculated differently for the available plans and for yours."),
            "tax_behavior_mismatch",
            "price",
        )
    return None


def quote(
    snapshot: SubscriptionSnapshot,
    item_changes: Mapping[str, ItemChange],
    policy: ProrationPolicy,
    at: int,
    code: DiscountTerms | None = None,
) -> Quote:
    """The quote for changing items (`item_changes`, by item id) to other prices and quantities, and for a promotion code.

    Raises BillingError if nothing would change. `why_not_changeable` and `incompatibility` decide whether the change is allowed;
    the caller checks them first.
    """
    changed = {
        item_id
        for item in snapshot.items
        if (item_id := item.id) in item_changes and _differs(item, item_changes[item_id])
    }
    if not changed and code is None:
        raise BillingError(N_("You already have this. Choose something else."), "no_changes")
    # The new change replaces one that the customer had planned for the end of the period.
    before = replace(snapshot, phases=tuple(phase for phase in snapshot.phases if not phase.by_customer))
    if code is not None:
        before = replace(before, discounts=(*before.discounts, code))
    after = tuple(_changed(item, item_changes[item.id]) if item.id in changed else item for item in before.items)
    if not changed:
        return _quote(before, after, at, code)
    if before.status == SubscriptionStatus.TRIALING:
        if policy.trial_update_behavior == "continue_trial":
            return _quote(before, after, at, code)
        return _restarted(before, after, at, code, credits=())
    if _is_deferred(before.items, after, policy.schedule_at_period_end):
        effective_at = max(item.period_end for item in before.items if item.id in changed)
        return _quote(before, after, at, code, effective_at=effective_at)
    interval_changes = any(_interval(old) != _interval(new) for old, new in zip(before.items, after, strict=True))
    if policy.billing_cycle_anchor == "now" or (before.billing_mode == "classic" and interval_changes):
        # Without proration, items that change are not credited. Unchanged items are, or their time would be billed twice.
        credited = {item.id for item in after} - (changed if policy.proration_behavior == "none" else set())
        return _restarted(before, after, at, code, credits=proration_credits(before, credited, at))
    if policy.proration_behavior == "none":
        return _quote(before, after, at, code)
    return _prorated(before, after, changed, policy, at, code)


def _differs(item: Item, change: ItemChange) -> bool:
    return (item.offer.price_id, item.quantity) != (change.offer.price_id, change.quantity)


def _changed(item: Item, change: ItemChange) -> Item:
    return replace(item, offer=change.offer, quantity=change.quantity)


def _interval(item: Item) -> tuple[str, int]:
    return item.offer.interval, item.offer.interval_count


def _is_deferred(before: Sequence[Item], after: Sequence[Item], conditions: Iterable[str]) -> bool:
    """Whether a downgrade meets one of Stripe's `schedule_at_period_end` conditions: a lower amount, or a shorter interval."""
    for old, new in zip(before, after, strict=True):
        # Amounts per unit of time, compared crosswise so that no division rounds: a/x < b/y exactly when a·y < b·x.
        decreases = new.amount * old.offer.length < old.amount * new.offer.length
        if "decreasing_item_amount" in conditions and decreases:
            return True
        if "shortening_interval" in conditions and new.offer.length < old.offer.length:
            return True
    return False


def restart_periods(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """The quote for starting new periods of the same items at `at`, less pending credit: after a pause, or to reactivate."""
    return _restarted(snapshot, snapshot.items, at, None, credits=())


def _restarted(
    before: SubscriptionSnapshot,
    after: Sequence[Item],
    at: int,
    code: DiscountTerms | None,
    credits: tuple[InvoiceLine, ...],
) -> Quote:
    """The quote for a change after which all periods start at `at` and are billed in full."""
    restarted_items = tuple(replace(item, period_start=at, period_end=at, anchor=None) for item in after)
    in_force = before.discounts_in_force(at)
    lines = invoices.renewal_lines(
        restarted_items, at, in_force, before.tax_rates, before.currency, until=before.cancel_at
    )
    ends = {line.item_id: line.period_end for line in lines}
    items = tuple(replace(item, period_end=ends[item.id]) for item in restarted_items)
    trial_end = at if before.status == SubscriptionStatus.TRIALING else before.trial_end
    restarted = replace(
        before, anchor=at, trial_end=trial_end, status=SubscriptionStatus.ACTIVE, resumes_at=None,
        phases=before.phases_from(min(ends.values(), default=at)),
    )  # fmt: skip
    return _quote(restarted, items, at, code, lines=(*before.pending_lines, *credits, *lines))


def _prorated(
    before: SubscriptionSnapshot,
    after: Sequence[Item],
    changed: set[str],
    policy: ProrationPolicy,
    at: int,
    code: DiscountTerms | None,
) -> Quote:
    """The quote for a change inside the period: changed items are credited for unused time and charged for remaining time."""
    items = tuple(
        _with_fitted_period(old, item, before, at) if item.id in changed else item
        for old, item in zip(before.items, after, strict=True)
    )
    invoiced = policy.proration_behavior == "always_invoice" or any(
        old.period_end != new.period_end for old, new in zip(before.items, items, strict=True)
    )
    lines = (*proration_credits(before, changed, at), *_proration_charges(before, items, changed, at, invoiced))
    if invoiced:
        return _quote(before, items, at, code, lines=(*before.pending_lines, *lines))
    return _quote(before, items, at, code, deferred_lines=lines)


def _with_fitted_period(old: Item, item: Item, before: SubscriptionSnapshot, at: int) -> Item:
    """The changed item with a period that fits its price's interval and does not extend beyond `cancel_at`."""
    if _interval(old) != _interval(item) or item.outlasts(before.anchor):
        item = item.refitted(before.anchor, at)
    return replace(item, period_end=min(item.period_end, before.cancel_at or item.period_end))


def proration_credits(before: SubscriptionSnapshot, changed: set[str], at: int) -> tuple[InvoiceLine, ...]:
    """Credit lines for the unused time of the changed items, from the amounts that were actually charged for it.

    Classic subscriptions are credited at their current price instead, whatever was charged, as at Stripe
    (docs.stripe.com/billing/subscriptions/billing-mode).
    """
    if before.billing_mode != "classic":
        credits = [_credit(line, at, line.period_end) for line in before.creditable_lines if line.item_id in changed]
    elif before.status in (SubscriptionStatus.TRIALING, SubscriptionStatus.PAUSED):  # not paid, or credited already
        credits = []
    else:
        changed = changed & {line.item_id for line in before.creditable_lines}  # no credit for unpaid items
        full_lines = _full_period_lines(before, before.items, before.discounts_in_force(at))
        both = zip(full_lines, before.items, strict=True)
        credits = [_credit(line, at, item.period_end) for line, item in both if item.id in changed]
    return tuple(line for line in credits if line.amount)


def credits_on_end(before: SubscriptionSnapshot, at: int) -> tuple[InvoiceLine, ...]:
    """Credit lines for the unused time of all items when the subscription ends or is paused.

    No item is credited more than was paid for it. So an item of a classic subscription is credited at its current price only if
    that is not more than the amount charged.
    """
    item_ids = {item.id for item in before.items}
    by_price, by_payment = (
        proration_credits(before, item_ids, at),
        proration_credits(replace(before, billing_mode="flexible"), item_ids, at),
    )

    def credited(lines: Iterable[InvoiceLine], item_id: str) -> int:
        return -sum(line.total for line in lines if line.item_id == item_id)

    capped = {name for name in item_ids if credited(by_price, name) > credited(by_payment, name)}
    return tuple(line for line in by_price if line.item_id not in capped) + tuple(
        line for line in by_payment if line.item_id in capped
    )


def _credit(debit: InvoiceLine, at: int, end: int) -> InvoiceLine:
    period_seconds = max(1, debit.period_end - debit.period_start)
    factor = ProrationFactor(min(period_seconds, max(0, end - at)), period_seconds)
    net = debit.amount - debit.discount
    return replace(
        debit,
        kind=LineKind.UNUSED,
        period_start=at,
        amount=-factor.of(net),
        discounts=(),
        taxes=tuple(Tax(tax.rate, -factor.of(tax.amount), -factor.of(tax.taxable)) for tax in debit.taxes),
        proration=factor,
        full_amount=net,
        credits=debit.id,
        id=None,
    )


def _proration_charges(
    before: SubscriptionSnapshot, items: Sequence[Item], changed: set[str], at: int, invoiced: bool
) -> tuple[InvoiceLine, ...]:
    """Charge lines for the rest of the period at the new price.

    A lasting discount is prorated with its period. A single-use discount is applied in full, and only if the lines are invoiced
    now.
    """
    in_force = before.discounts_in_force(at)
    full_lines = _full_period_lines(before, items, [discount for discount in in_force if not discount.single_use])
    both = zip(full_lines, items, strict=True)
    lines = [invoices.prorate_line(line, at, item.period_end) for line, item in both if item.id in changed]
    single_use = [discount for discount in in_force if discount.single_use] if invoiced else []
    return invoices.with_discounts_and_tax(lines, single_use, before.currency)


def _full_period_lines(
    before: SubscriptionSnapshot, items: Sequence[Item], in_force: Sequence[DiscountTerms]
) -> tuple[InvoiceLine, ...]:
    """The line of each item for its full current period."""
    lines = [invoices.full_period_line(item, before.anchor, before.tax_rates) for item in items]
    return invoices.with_discounts_and_tax(lines, in_force, before.currency)


def _quote(
    snapshot: SubscriptionSnapshot,
    items: tuple[Item, ...],
    at: int,
    code: DiscountTerms | None,
    *,
    lines: tuple[InvoiceLine, ...] = (),
    deferred_lines: tuple[InvoiceLine, ...] = (),
    effective_at: int | None = None,
) -> Quote:
    """The quote with these lines, and a forecast of the next invoice after the change."""
    invoice = snapshot.invoice_for(lines)
    consumed = invoices.consumed_discounts(lines, snapshot.discounts)
    state = replace(CustomerState.of(snapshot), consumed=consumed).add(invoice.balance_used, snapshot.currency)
    after_change = replace(
        snapshot,
        items=items if effective_at is None else snapshot.items,
        phases=snapshot.phases if effective_at is None else (_phase_of(items, effective_at),),
        pending_lines=() if lines else (*snapshot.pending_lines, *deferred_lines),
        awaiting_payment=None,
    )
    return Quote(
        at=at,
        effective_at=effective_at or at,
        items=items,
        anchor=snapshot.anchor,
        trial_end=snapshot.trial_end,
        invoice=invoice,
        deferred_lines=deferred_lines,
        consumed_discounts=consumed,
        code=code,
        next_invoice=forecast((after_change, *after_change.siblings), state, of=(after_change.id,))[after_change.id],
    )


def _phase_of(items: Sequence[Item], start: int) -> PlannedPhase:
    """The schedule phase of a deferred change."""
    return PlannedPhase(start, tuple((item.offer, item.quantity) for item in items), by_customer=True)
