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
from portal_site.billing.rules.subscriptions.forecast import CustomerState, NextInvoice, forecast
from portal_site.billing.rules.subscriptions.item_changes import (
    ItemChanges,
    ItemDifference,
    ProrationPolicy,
    change_items,
    restarted,
)
from portal_site.billing.rules.subscriptions.snapshot import PlannedPhase, SubscriptionSnapshot
from portal_site.billing.translation_marks import N_

UNCOLLECTED_INVOICE = N_("Part of the current period has not been paid. Please contact us.")
QUOTE_LIFETIME = 30 * 60  # seconds for which a quote can be confirmed
# Seconds until an unpaid pending update expires, as at Stripe (docs.stripe.com/billing/subscriptions/pending-updates).
PENDING_UPDATE_LIFETIME = 23 * 60 * 60


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
    code: DiscountTerms | None = None,
) -> Quote:
    """The quote for a subscription with the wanted items, and with the discount of a promotion code.

    An item that is not wanted is removed, and one without an id is added. Raises BillingError if nothing would change.
    `why_not_changeable` and `portal_policy` decide whether the change is allowed; the caller checks them first.
    """
    difference = ItemDifference.between(snapshot.items, target)
    if not difference and code is None:
        raise BillingError(N_("You already have this. Choose something else."), "no_changes")
    # The new change replaces one that the customer had planned for the end of the period.
    before = replace(snapshot, phases=tuple(phase for phase in snapshot.phases if not phase.by_customer))
    if code is not None:
        before = replace(before, discounts=(*before.discounts, code))
    return _quote(change_items(before, difference, policy, at), at, code)


def restart_periods(snapshot: SubscriptionSnapshot, at: int) -> Quote:
    """The quote for starting new periods of the same items at `at`, less pending credit: after a pause, or to reactivate."""
    return _quote(restarted(snapshot, snapshot.items, at), at, None)


def _quote(changes: ItemChanges, at: int, code: DiscountTerms | None) -> Quote:
    """The quote for these changes, with a forecast of the next invoice after them."""
    subscription = changes.subscription
    invoice = subscription.invoice_for(changes.lines)
    consumed = invoices.consumed_discounts(changes.lines, subscription.discounts)
    state = replace(CustomerState.of(subscription), consumed=consumed).add(invoice.balance_used, subscription.currency)
    deferred = changes.effective_at > at
    planned = PlannedPhase.of(changes.items, changes.effective_at)
    after_change = replace(
        subscription,
        items=subscription.items if deferred else changes.items,
        phases=(planned,) if deferred else subscription.phases,
        pending_lines=() if changes.lines else (*subscription.pending_lines, *changes.deferred_lines),
        awaiting_payment=None,
    )
    return Quote(
        at=at,
        effective_at=changes.effective_at,
        items=changes.items,
        anchor=subscription.anchor,
        trial_end=subscription.trial_end,
        invoice=invoice,
        deferred_lines=changes.deferred_lines,
        consumed_discounts=consumed,
        code=code,
        next_invoice=forecast((after_change, *after_change.siblings), state, of=(after_change.id,))[after_change.id],
    )
