"""Rules for changing a subscription: whether it can be changed, and a quote of the cost and the time it takes effect.

The preview and the change use the same quote, so what is shown is what is charged.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, ItemSpec, PricedPlan
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions.forecast import CustomerState, NextInvoice, forecast, totals_until
from portal_site.billing.rules.subscriptions.item_changes import (
    ItemChanges,
    ItemDifference,
    ProrationPolicy,
    change_items,
    restarted,
)
from portal_site.billing.rules.subscriptions.snapshot import BILLED_ELSEWHERE, PlannedPhase, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_

UNCOLLECTED_INVOICE = N_("Part of the current period has not been paid. Please contact us.")
QUOTE_LIFETIME = 30 * 60  # seconds for which a quote can be confirmed
# Seconds until an unpaid pending update expires, as at Stripe (docs.stripe.com/billing/subscriptions/pending-updates).
PENDING_UPDATE_LIFETIME = 23 * 60 * 60
LONGEST_COMPARISON = 2 * 366 * 24 * 60 * 60  # seconds for which a code's effect on the invoices is looked at


@dataclass(frozen=True, slots=True)
class NewDiscount:
    """The discount of a promotion code, and the ids of the discounts that it replaces. `costs` is as in CodeEffect."""

    terms: DiscountTerms
    replaces: frozenset[str] = frozenset()
    costs: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """A change as it would be made at `at`.

    `items`, `anchor` and `trial_end` are those from `effective_at` on. `invoice` is written today; it has no lines if nothing
    is invoiced today, and `deferred_lines` go on the next invoice then. `code` is the discount that a promotion code adds.
    `changes_items` is false for a code alone, which leaves a planned change as it is.
    """

    at: int
    effective_at: int
    items: tuple[Item, ...]
    anchor: int
    trial_end: int | None
    invoice: InvoiceTotals
    deferred_lines: tuple[InvoiceLine, ...]
    consumed_discounts: frozenset[str]
    code: NewDiscount | None
    next_invoice: NextInvoice | None
    changes_items: bool = True

    @property
    def deferred(self) -> bool:
        """Whether the change takes effect at the end of the period."""
        return self.effective_at > self.at

    @property
    def invoiced(self) -> bool:
        """Whether an invoice is written today."""
        return bool(self.invoice.lines)


def why_not_changeable(snapshot: SubscriptionSnapshot, at: int, *, has_add_ons: bool = False) -> BillingError | None:
    """Why this subscription cannot be changed now, or None. `has_add_ons` says whether it may have add-ons."""
    reasons = (
        (snapshot.status.ended, N_("This subscription has ended.")),
        (snapshot.billed_elsewhere, BILLED_ELSEWHERE),
        (
            snapshot.managed_by_merchant_schedule,
            N_("Changes to this plan have already been arranged with us. Please contact us."),
        ),
        (_is_ending(snapshot), N_("This subscription is set to end, so it cannot be changed.")),
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
            not has_add_ons and all(item.offer.terms.metered for item in snapshot.items),
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


def incompatibility(items: Iterable[Item], plan: PricedPlan, currency: str) -> BillingError | None:
    """Why a plan cannot stand beside these items, or replace one, because of its currency or tax behavior; or None."""
    if plan.terms.currency != currency:
        return BillingError(
            N_("The available plans are in a different currency from your subscription."), "currency_mismatch", "price"
        )
    tax_behaviors = {plan.tax_behavior, *(item.offer.tax_behavior for item in items)} - {"unspecified"}
    if len(tax_behaviors) > 1:
        return BillingError(
            N_("Tax is calculated differently for the available plans and for yours."),
            "tax_behavior_mismatch",
            "price",
        )
    return None


def quote(
    snapshot: SubscriptionSnapshot,
    target: Iterable[ItemSpec],
    policy: ProrationPolicy,
    at: int,
    code: NewDiscount | None = None,
) -> Quote:
    """The quote for a subscription with the wanted items, and with the discount of a promotion code.

    An item that is not wanted is removed, and one without an id is added. Raises BillingError if nothing would change.
    `why_not_changeable` and `portal_policy` decide whether the change is allowed; the caller checks them first.
    """
    difference = ItemDifference.between(snapshot.items, target)
    if not difference and code is None:
        raise BillingError(N_("You already have this. Choose something else."), "no_changes")
    quoted = _quote(_changes(snapshot, difference, policy, at, code), at, code)
    return quoted if difference else replace(quoted, changes_items=False)


def restart_periods(snapshot: SubscriptionSnapshot, at: int, code: NewDiscount | None = None) -> Quote:
    """The quote for starting periods of the same items at `at`, less pending credit: at the beginning, or after a pause.

    `code` is a discount that the snapshot has because of a code.
    """
    return _quote(restarted(snapshot, snapshot.items, at), at, code)


def begin_trial(snapshot: SubscriptionSnapshot, at: int, code: NewDiscount | None = None) -> Quote:
    """The quote for a subscription that is tried out first, from `at` until its `trial_end`. Nothing is invoiced today."""
    return _quote(_trial(snapshot, at), at, code)


def _trial(snapshot: SubscriptionSnapshot, at: int) -> ItemChanges:
    assert snapshot.trial_end is not None
    items = (replace(item, period_start=at, period_end=snapshot.trial_end, anchor=None) for item in snapshot.items)
    return ItemChanges(snapshot, tuple(items), at)


def _changes(
    snapshot: SubscriptionSnapshot,
    difference: ItemDifference,
    policy: ProrationPolicy,
    at: int,
    code: NewDiscount | None,
) -> ItemChanges:
    before = snapshot
    if difference and before.phases:  # the new change replaces one that the customer had planned
        before = replace(before, phases=tuple(phase for phase in before.phases if not phase.by_customer))
    if code is not None:
        kept = (discount for discount in before.discounts if discount.id not in code.replaces)
        before = replace(before, discounts=(*kept, code.terms))
    return change_items(before, difference, policy, at)


def _quote(changes: ItemChanges, at: int, code: NewDiscount | None) -> Quote:
    """The quote for these changes, with a forecast of the next invoice after them."""
    subscription = changes.subscription
    invoice = subscription.invoice_for(changes.lines)
    after_change, state = _after(changes, invoice, at)
    return Quote(
        at=at,
        effective_at=changes.effective_at,
        items=changes.items,
        anchor=subscription.anchor,
        trial_end=subscription.trial_end,
        invoice=invoice,
        deferred_lines=changes.deferred_lines,
        consumed_discounts=state.consumed,
        code=code,
        next_invoice=forecast((after_change, *after_change.siblings), state, of=(after_change.id,))[after_change.id],
    )


def _after(changes: ItemChanges, invoice: InvoiceTotals, at: int) -> tuple[SubscriptionSnapshot, CustomerState]:
    """The subscription and the customer's state once the change is made and its invoice written."""
    subscription = changes.subscription
    consumed = invoices.consumed_discounts(changes.lines, subscription.discounts)
    state = CustomerState.of(subscription, consumed).add(invoice.balance_used, subscription.currency)
    deferred = changes.effective_at > at
    after_change = replace(
        subscription,
        items=subscription.items if deferred else changes.items,
        phases=(PlannedPhase.of(changes.items, changes.effective_at),) if deferred else subscription.phases,
        pending_lines=() if changes.lines else (*subscription.pending_lines, *changes.deferred_lines),
        awaiting_payment=None,
    )
    return after_change, state


# --- what a promotion code brings -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodeEffect:
    """Whether a code makes any invoice to come cheaper, and whether it makes one dearer, because it replaces a discount."""

    saves: bool
    costs: bool


def replaced_discounts(snapshot: SubscriptionSnapshot, at: int) -> frozenset[str]:
    """The ids of the subscription's discounts that a code replaces if codes do not stack. Those of single items stay."""
    in_force = snapshot.discounts_in_force(at)
    return frozenset(terms.id for terms in in_force if terms.subscription_id == snapshot.id and terms.item_id is None)


def code_effect(
    snapshot: SubscriptionSnapshot, target: Iterable[ItemSpec], policy: ProrationPolicy, at: int, code: NewDiscount
) -> CodeEffect:
    """The effect of a code on the invoices while its discount lasts, in two years at most, for a change to these items.

    If they are not known, because usage or a payment in progress decides them, the code is taken to save something.
    """
    difference = ItemDifference.between(snapshot.items, target)
    without, with_code = (_changes(snapshot, difference, policy, at, each) for each in (None, code))
    return _effect(without, with_code, at, code)


def effect_on_start(
    without: SubscriptionSnapshot, with_code: SubscriptionSnapshot, at: int, code: NewDiscount
) -> CodeEffect:
    """The same for a subscription that starts at `at`, without the code and with it."""
    without_it, with_it = (
        _trial(each, at) if each.status == SubscriptionStatus.TRIALING else restarted(each, each.items, at)
        for each in (without, with_code)
    )
    return _effect(without_it, with_it, at, code)


def _effect(without: ItemChanges, with_code: ItemChanges, at: int, code: NewDiscount) -> CodeEffect:
    snapshot = without.subscription
    longest = max(item.period_end for item in (*snapshot.items, *without.items)) + 1
    until = code.terms.end or max(at + LONGEST_COMPARISON, longest)
    (before, known), (after, _) = (_totals(changes, at, until) for changes in (without, with_code))
    dates = before.keys() | after.keys()
    saves = any(after.get(date, 0) < before.get(date, 0) for date in dates)
    costs = any(after.get(date, 0) > before.get(date, 0) for date in dates)
    by_usage = any(
        item.offer.terms.metered and code.terms.coupon.covers(item.offer.product_id, snapshot.currency)
        for item in snapshot.items
    )
    return CodeEffect(saves or by_usage or not known, costs)


def _totals(changes: ItemChanges, at: int, until: int) -> tuple[dict[int, int], bool]:
    """The totals of the invoices from the change on, by date, and whether all of them are known."""
    invoice = changes.subscription.invoice_for(changes.lines)
    after_change, state = _after(changes, invoice, at)
    later, known = totals_until(after_change, state, until)
    return {at: invoice.total, **later}, known
