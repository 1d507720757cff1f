"""What a change of a subscription costs, and when it takes effect: the quote that is shown is the one that is charged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals, LineKind
from portal_site.billing.rules.subscriptions.next_invoice import NextInvoice, next_invoice
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_

UNCOLLECTED_INVOICE = N_("Part of the current period has not been paid. Please contact us.")
QUOTE_LIFETIME = 30 * 60  # seconds for which a quote holds
PENDING_UPDATE_LIFETIME = (
    23 * 60 * 60
)  # seconds that a change waits for its payment (docs.stripe.com/billing/subscriptions/pending-updates)


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What an item shall become."""

    offer: PricedPlan
    quantity: int | None


@dataclass(frozen=True, slots=True)
class ProrationPolicy:
    """How the merchant bills changes, in the field's words (rules.portal_features.SubscriptionUpdate)."""

    proration_behavior: str = "none"
    billing_cycle_anchor: str = "unchanged"
    schedule_at_period_end: tuple[str, ...] = ()
    trial_update_behavior: str = "end_trial"


@dataclass(frozen=True, slots=True)
class Quote:
    """A change as it would be made at `at`.

    `items`, `anchor` and `trial_end` are those from `effective_at` on. `invoice` is today's; it has no lines when nothing is
    invoiced today, and `deferred_lines` go on the next invoice then. `code` is the discount that a promotion code adds.
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
        """Whether the change waits for the end of the period."""
        return self.effective_at > self.at

    @property
    def invoiced(self) -> bool:
        """Whether an invoice is made today."""
        return bool(self.invoice.lines)


def why_not_changeable(snapshot: SubscriptionSnapshot, at: int) -> BillingError | None:
    """Why this subscription cannot be changed now, or None."""
    reasons = (
        (snapshot.status.ended, N_("This subscription has ended.")),
        (
            snapshot.managed_by_merchant_schedule,
            N_("Changes to this plan have already been arranged with us. Please contact us."),
        ),
        (_is_leaving(snapshot), N_("This subscription is set to end. Undo the cancellation before you change it.")),
        (_is_paused(snapshot), N_("This subscription is paused. Resume it before you change it.")),
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
    return next((BillingError(sentence, "subscription_not_changeable") for holds, sentence in reasons if holds), None)


def _is_leaving(snapshot: SubscriptionSnapshot) -> bool:
    return snapshot.cancel_at is not None


def _is_paused(snapshot: SubscriptionSnapshot) -> bool:
    return snapshot.collection_paused or snapshot.status == SubscriptionStatus.PAUSED


def incompatibility(item: Item, offer: PricedPlan, currency: str) -> BillingError | None:
    """Why an item cannot be moved to an offer, or None."""
    if offer.terms.currency != currency:
        return BillingError(
            N_("The available plans are in a different currency from your subscription."), "currency_mismatch", "price"
        )
    known = {item.offer.tax_behavior, offer.tax_behavior} - {"unspecified"}
    if len(known) > 1:
        return BillingError(
            N_("Tax is calculated differently for the available plans and for yours."),
            "tax_behavior_mismatch",
            "price",
        )
    return None


def quote(
    snapshot: SubscriptionSnapshot,
    wishes: Mapping[str, ItemChange],
    policy: ProrationPolicy,
    at: int,
    code: DiscountTerms | None = None,
) -> Quote:
    """The quote for moving items to other prices and quantities, and for a promotion code.

    Raises BillingError when nothing would change. Whether the subscription and the prices allow it is asked of `refusal` and
    `mismatch`.
    """
    changed = {id for item in snapshot.items if (id := item.id) in wishes and _differs(item, wishes[id])}
    if not changed and code is None:
        raise BillingError(N_("You already have this. Choose something else."), "no_changes")
    before = snapshot if code is None else replace(snapshot, discounts=(*snapshot.discounts, code))
    after = tuple(_moved(item, wishes[item.id]) if item.id in changed else item for item in before.items)
    if not changed:
        return _quote(before, after, at, code)
    if before.status == SubscriptionStatus.TRIALING:
        if policy.trial_update_behavior == "continue_trial":
            return _quote(before, after, at, code)
        return _restarted(before, after, at, code, credits=())
    if _is_deferred(before.items, after, policy.schedule_at_period_end):
        effective_at = max(item.period_end for item in before.items if item.id in changed)
        return _quote(before, after, at, code, effective_at=effective_at)
    shorter_or_longer = any(_interval(old) != _interval(new) for old, new in zip(before.items, after, strict=True))
    if policy.billing_cycle_anchor == "now" or (before.billing_mode == "classic" and shorter_or_longer):
        # Without proration nothing is given back for what changes; what does not change is still not paid for twice.
        credited = {item.id for item in after} - (changed if policy.proration_behavior == "none" else set())
        return _restarted(before, after, at, code, credits=proration_credits(before, credited, at))
    if policy.proration_behavior == "none":
        return _quote(before, after, at, code)
    return _prorated(before, after, changed, policy, at, code)


def _differs(item: Item, wish: ItemChange) -> bool:
    return (item.offer.price_id, item.quantity) != (wish.offer.price_id, wish.quantity)


def _moved(item: Item, wish: ItemChange) -> Item:
    return replace(item, offer=wish.offer, quantity=wish.quantity)


def _interval(item: Item) -> tuple[str, int]:
    return item.offer.interval, item.offer.interval_count


def _is_deferred(before: Sequence[Item], after: Sequence[Item], conditions: Iterable[str]) -> bool:
    """Whether any item gets less, by one of the conditions: a lower amount for the same time, or a shorter interval."""
    for old, new in zip(before, after, strict=True):
        # Crosswise, so that no division rounds: a/x < b/y exactly when a·y < b·x.
        falls = new.amount * old.offer.length < old.amount * new.offer.length
        if "decreasing_item_amount" in conditions and falls:
            return True
        if "shortening_interval" in conditions and new.offer.length < old.offer.length:
            return True
    return False


def restart_periods(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """What it costs to go on with the same items after a pause: new periods from `at` on, less what waited as credit."""
    return _restarted(snapshot, snapshot.items, at, None, credits=())


def _restarted(
    before: SubscriptionSnapshot,
    after: Sequence[Item],
    at: int,
    code: DiscountTerms | None,
    credits: tuple[InvoiceLine, ...],
) -> Quote:
    """All periods begin anew today and are billed in full."""
    begun = tuple(replace(item, period_start=at, period_end=at, anchor=None) for item in after)
    running = before.running_discounts(at)
    lines = invoices.renewal_lines(begun, at, running, before.tax_rates, before.currency, until=before.cancel_at)
    ends = {line.item_id: line.period_end for line in lines}
    items = tuple(replace(item, period_end=ends[item.id]) for item in begun)
    trial_end = at if before.status == SubscriptionStatus.TRIALING else before.trial_end
    restarted = replace(before, anchor=at, trial_end=trial_end, status=SubscriptionStatus.ACTIVE)
    return _quote(restarted, items, at, code, lines=(*before.pending_lines, *credits, *lines))


def _prorated(
    before: SubscriptionSnapshot,
    after: Sequence[Item],
    changed: set[str],
    policy: ProrationPolicy,
    at: int,
    code: DiscountTerms | None,
) -> Quote:
    """Unused time is credited, remaining time charged, for the items that change."""
    items = tuple(
        _in_its_period(old, item, before, at) if item.id in changed else item
        for old, item in zip(before.items, after, strict=True)
    )
    invoiced = policy.proration_behavior == "always_invoice" or any(
        old.period_end != new.period_end for old, new in zip(before.items, items, strict=True)
    )
    lines = (*proration_credits(before, changed, at), *_proration_charges(before, items, changed, at, invoiced))
    if invoiced:
        return _quote(before, items, at, code, lines=(*before.pending_lines, *lines))
    return _quote(before, items, at, code, deferred_lines=lines)


def _in_its_period(old: Item, item: Item, before: SubscriptionSnapshot, at: int) -> Item:
    """A changed item in a period that fits its price, and reaches no further than the subscription."""
    if _interval(old) != _interval(item) or item.outlasts(before.anchor):
        item = item.refitted(before.anchor, at)
    return replace(item, period_end=min(item.period_end, before.cancel_at or item.period_end))


def proration_credits(before: SubscriptionSnapshot, changed: set[str], at: int) -> tuple[InvoiceLine, ...]:
    """Credit for the time that will not be used, of what was actually charged for it.

    Classic subscriptions are credited at their current price instead, whatever was charged: that is what the field does with
    them (docs.stripe.com/billing/subscriptions/billing-mode).
    """
    if before.billing_mode != "classic":
        found = [_credit(line, at, line.period_end) for line in before.creditable_lines if line.item_id in changed]
    elif before.status in (SubscriptionStatus.TRIALING, SubscriptionStatus.PAUSED):  # nobody paid, or it was given back
        found = []
    else:
        changed = changed & {line.item_id for line in before.creditable_lines}  # not of what nobody paid anything for
        periods_now = _whole_periods(before, before.items, before.running_discounts(at))
        both = zip(periods_now, before.items, strict=True)
        found = [_credit(line, at, item.period_end) for line, item in both if item.id in changed]
    return tuple(line for line in found if line.amount)


def credits_on_end(before: SubscriptionSnapshot, at: int) -> tuple[InvoiceLine, ...]:
    """Credit for all that will not be used, where nothing takes its place: of no item more than was paid for it.

    So a classic subscription is credited at its current price only where that is not more than what it has cost.
    """
    every = {item.id for item in before.items}
    by_price, by_payment = (
        proration_credits(before, every, at),
        proration_credits(replace(before, billing_mode="flexible"), every, at),
    )

    def worth(lines: Iterable[InvoiceLine], item_id: str) -> int:
        return -sum(line.total for line in lines if line.item_id == item_id)

    dear = {name for name in every if worth(by_price, name) > worth(by_payment, name)}
    return tuple(line for line in by_price if line.item_id not in dear) + tuple(
        line for line in by_payment if line.item_id in dear
    )


def _credit(debit: InvoiceLine, at: int, end: int) -> InvoiceLine:
    whole = max(1, debit.period_end - debit.period_start)
    factor = ProrationFactor(min(whole, max(0, end - at)), whole)
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
    """The rest of the period at the new price. Lasting discounts take off their share of the period's discount; those for
    one invoice take off in full, and only if this is an invoice.
    """
    running = before.running_discounts(at)
    whole = _whole_periods(before, items, [discount for discount in running if not discount.single_use])
    both = zip(whole, items, strict=True)
    lines = [invoices.prorate_line(line, at, item.period_end) for line, item in both if item.id in changed]
    once = [discount for discount in running if discount.single_use] if invoiced else []
    return invoices.with_discounts_and_tax(lines, once, before.currency)


def _whole_periods(
    before: SubscriptionSnapshot, items: Sequence[Item], running: Sequence[DiscountTerms]
) -> tuple[InvoiceLine, ...]:
    """What the current period of each item costs in whole."""
    lines = [invoices.full_period_line(item, before.anchor, before.tax_rates) for item in items]
    return invoices.with_discounts_and_tax(lines, running, before.currency)


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
    """The quote for these lines, with the invoice that will come after it."""
    invoice = snapshot.invoice_for(lines)
    consumed = invoices.consumed_discounts(lines, snapshot.discounts)
    # A change at the end of another item's longer period leaves the next invoice as it is.
    at_renewal = items if effective_at is None or effective_at == snapshot.period_end else snapshot.items
    later = replace(
        snapshot.without_discounts(consumed),
        items=at_renewal,
        balance=invoice.ending_balance,
        pending_lines=() if lines else (*snapshot.pending_lines, *deferred_lines),
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
        next_invoice=next_invoice(later),
    )
