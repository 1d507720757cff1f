"""The snapshot of a subscription: everything that decides its amounts, as the input of the rules, and nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from portal_site.billing.rules.amounts import discounts, periods
from portal_site.billing.rules.amounts.discounts import DiscountTerms
from portal_site.billing.rules.amounts.items import Item, ItemSpec, PricedPlan
from portal_site.billing.rules.amounts.taxes import TaxRate
from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.balances import Balances, Others
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.invoicing.reductions import OwedInvoice
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus
from portal_site.billing.translation_marks import N_


def match_phase_items(current: Sequence[str], planned: Sequence[str]) -> list[int | None]:
    """For each item of a phase, the index of the current item that it replaces, or None where it is added. Both by price id.

    An item with the same price is kept; the others replace the unmatched items in their order.
    """
    unmatched = list(range(len(current)))
    indexes: list[int | None] = []
    for price_id in planned:
        same = next((index for index in unmatched if current[index] == price_id), None)
        if same is not None:
            unmatched.remove(same)
        indexes.append(same)
    return [(unmatched.pop(0) if unmatched else None) if index is None else index for index in indexes]


# What whoever wants to change it is told while another system bills it.
BILLED_ELSEWHERE = N_("This subscription cannot be changed here yet. Please contact us.")


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """A phase of a schedule that has not begun. Its items are (plan, quantity), in the order in which they replace current items.

    `proration_behavior` is as at Stripe. `cancels_at` is when the schedule cancels the subscription, if this is its last phase.
    """

    start: int
    items: tuple[tuple[PricedPlan, int | None], ...]
    by_customer: bool = False
    proration_behavior: str = "none"
    cancels_at: int | None = None

    @classmethod
    def of(cls, items: Iterable[Item], start: int) -> Self:
        """The phase of a change that the customer plans for `start`."""
        return cls(start, tuple((item.offer, item.quantity) for item in items), by_customer=True)

    def target(self, items: Sequence[Item]) -> tuple[ItemSpec, ...]:
        """The phase's items as the wanted items of a subscription that has `items` now (see `match_phase_items`)."""
        replaced = match_phase_items(
            [item.offer.price_id for item in items], [plan.price_id for plan, _quantity in self.items]
        )
        return tuple(
            ItemSpec(plan, quantity, None if index is None else items[index].id)
            for index, (plan, quantity) in zip(replaced, self.items, strict=True)
        )


@dataclass(frozen=True, slots=True)
class AwaitingPayment:
    """A pending update or first period that awaits the payment of its invoice, and what is returned if it is not paid.

    `expires_at` is when it is discarded. `returned_balance` is added to the customer's balance then, in minor units, and
    `freed_lines` can be credited again. `is_being_paid` is true while a payment is in progress and its outcome is unknown.
    `invoice_id` is set while the invoice is open.
    """

    expires_at: int
    returned_balance: int = 0
    returned_lines: tuple[InvoiceLine, ...] = ()
    reserved_discounts: frozenset[str] = frozenset()
    is_being_paid: bool = False
    invoice_id: str | None = None
    freed_lines: tuple[InvoiceLine, ...] = ()


class Billed(StrEnum):
    """Where lines went: on an invoice that is paid, open, or not collected (a draft or uncollectible), or to pending lines."""

    PAID = "paid"
    OPEN = "open"
    UNCOLLECTED = "uncollected"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class SubscriptionSnapshot:
    """Everything about a subscription and its customer that decides an amount, or whether a change is possible.

    `balance` is the customer's, in minor units of `balance_currency`: negative is credit. `other_balances` are kept beside it in
    other currencies. `pending_lines` go on the next invoice.
    `creditable_lines` were paid, extend beyond the snapshot's time and have not been credited yet; `owed` are unpaid invoices
    with such charges, without the one that is awaited. `due_at` is the instant of the next step of a billing run. While it is
    `billed_elsewhere`, by the system that it came from, nobody changes it here.
    `pause_collection` is the `behavior` of a pause of collection. `suspended_ends` are the ends, by id, of the discounts that a
    pause since `paused_at` suspended.
    `phases` have not begun yet, the next one first. `reserved_discounts` are the ids of single-use discounts that pending
    updates of other subscriptions will consume. `past_discounts` are those of the creditable lines that are used up or over.
    `has_uncollected_invoice` is true while an invoice for a period that has not ended is a draft or uncollectible, which is
    the case until `uncollected_until`. `open_invoices` are the ids of the open ones. `siblings` are the customer's other
    subscriptions that have not ended.
    """

    id: str
    currency: str
    status: SubscriptionStatus
    anchor: int
    items: tuple[Item, ...]
    collection_method: str = "charge_automatically"
    billing_mode: str = "flexible"
    trial_end: int | None = None
    cancel_at: int | None = None
    due_at: int | None = None
    billed_elsewhere: bool = False
    pause_collection: str | None = None
    resumes_at: int | None = None
    paused_at: int | None = None
    suspended_ends: tuple[tuple[str, int], ...] = ()
    discounts: tuple[DiscountTerms, ...] = ()
    reserved_discounts: frozenset[str] = frozenset()
    past_discounts: tuple[DiscountTerms, ...] = ()
    tax_rates: tuple[TaxRate, ...] = ()
    balance: int = 0
    balance_currency: str | None = None
    other_balances: Others = ()
    pending_lines: tuple[InvoiceLine, ...] = ()
    creditable_lines: tuple[InvoiceLine, ...] = ()
    owed: tuple[OwedInvoice, ...] = ()
    phases: tuple[PlannedPhase, ...] = ()
    awaiting_payment: AwaitingPayment | None = None
    managed_by_merchant_schedule: bool = False
    has_open_invoice: bool = False
    has_uncollected_invoice: bool = False
    open_invoices: frozenset[str] = frozenset()
    uncollected_until: int = 0
    siblings: tuple["SubscriptionSnapshot", ...] = ()

    @property
    def period_end(self) -> int:
        """When the first of the items' current periods ends."""
        return min(item.period_end for item in self.items)

    @property
    def is_paused(self) -> bool:
        """Whether the subscription is paused, or only the collection of its invoices."""
        return self.collection_paused or self.status == SubscriptionStatus.PAUSED

    @property
    def collection_paused(self) -> bool:
        """Whether collection is paused: periods continue, but their invoices are not collected."""
        return self.pause_collection is not None

    def pauses_collection_at(self, date: int) -> str | None:
        """The `behavior` of the pause of collection for an invoice at `date`, or None if it is collected."""
        over = self.resumes_at is not None and self.resumes_at <= date
        return None if over or self.status.ended else self.pause_collection

    @property
    def balance_in_other_currency(self) -> bool:
        """Whether the balance is in another currency, so that invoices of this subscription neither use it nor carry anything."""
        return bool(self.balance) and self.balance_currency not in (None, self.currency)

    @property
    def usable_balance(self) -> int:
        """What the customer has, or owes from before, in the subscription's currency."""
        return Balances(self.balance, self.balance_currency, self.other_balances).usable(self.currency)

    def is_behind(self, at: int) -> bool:
        """Whether the billing run has not yet processed something that is due. Until then the current terms are unknown."""
        return self.period_end <= at or (self.due_at is not None and self.due_at <= at)

    def discounts_in_force(self, at: int) -> tuple[DiscountTerms, ...]:
        """The discounts that apply to an invoice at `at`."""
        if not self.discounts:
            return ()
        available: Iterable[DiscountTerms] = self.discounts
        if self.reserved_discounts:
            available = [discount for discount in available if discount.id not in self.reserved_discounts]
        return discounts.discounts_in_force(available, self.id, at)

    def invoice_for(self, lines: Sequence[InvoiceLine]) -> InvoiceTotals:
        """The invoice with these lines after the balance is applied. Without lines nothing is due, even if the balance is > 0."""
        balance = self.usable_balance
        if not lines:
            return InvoiceTotals(self.currency, (), 0, 0, 0, 0, balance, balance, 0)
        return invoices.total_up(lines, balance, self.currency, exact=self.balance_in_other_currency)

    def settled(self, total: int) -> tuple[int, int]:
        """The amount due for a total, and the customer's balance afterwards, in minor units."""
        return invoices.settled(total, self.usable_balance, self.currency, exact=self.balance_in_other_currency)

    def until(self, end: int) -> Self:
        """The same subscription, cancelled at `end`."""
        return replace(self, cancel_at=end)

    def without_discounts(self, consumed: frozenset[str]) -> Self:
        """The same subscription without the consumed discounts, which are past."""
        used = tuple(discount for discount in self.discounts if discount.id in consumed)
        if not used:
            return self
        rest = tuple(discount for discount in self.discounts if discount.id not in consumed)
        return replace(self, discounts=rest, past_discounts=(*self.past_discounts, *used))

    # --- steps of a billing run ---------------------------------------------------------------------------------------

    @property
    def next_step(self) -> int | None:
        """When the billing run next has to process it, if nothing is changed or paid until then. None if never."""
        if self.status.ended:
            return None
        dates = [self.awaiting_payment.expires_at] if self.awaiting_payment else []
        if self.status.renews and self.items:
            dates.append(self.period_end)
        if self.status != SubscriptionStatus.INCOMPLETE:
            planned = (phase.start for phase in self.phases if not self._waits_for_resumption(phase))
            dates += [date for date in (self.cancel_at, self.resumes_at, *planned) if date is not None]
        return min(dates, default=None)

    def has_transition_at(self, date: int) -> bool:
        """Whether a transition is due at `date`: an unpaid change to discard, the end of a pause, or the start of a phase."""
        resumes = self.resumes_at is not None and self.resumes_at <= date
        return self.is_discarding_at(date) or resumes or self.phase_due_at(date) is not None

    def _waits_for_resumption(self, phase: PlannedPhase) -> bool:
        return self.status == SubscriptionStatus.PAUSED and phase.by_customer

    def is_discarding_at(self, date: int) -> bool:
        """Whether a change that awaits its payment is discarded at `date`: it has expired, or the period ends."""
        if self.awaiting_payment is None:
            return False
        over = self.status.renews and self.period_end <= date
        return over or self.awaiting_payment.expires_at <= date

    def after_discarding(self) -> Self:
        """The same subscription after the change that awaits its payment was discarded and its invoice voided."""
        assert self.awaiting_payment is not None
        status = self.status
        if status == SubscriptionStatus.INCOMPLETE:
            status = SubscriptionStatus.INCOMPLETE_EXPIRED
        returned, still_open = (
            self.awaiting_payment.returned_lines,
            self.open_invoices - {self.awaiting_payment.invoice_id},
        )
        charges = (*self.awaiting_payment.freed_lines, *(line for line in returned if line.amount > 0))
        return replace(
            self, status=status, pending_lines=(*self.pending_lines, *returned), awaiting_payment=None,
            creditable_lines=(*self.creditable_lines, *charges), open_invoices=still_open, has_open_invoice=bool(still_open),
        )  # fmt: skip

    def given_up(self) -> Self:
        """The same subscription after what awaits its payment was discarded, and the balance that its invoice used is back.

        Unchanged if nothing awaits a payment.
        """
        if self.awaiting_payment is None:
            return self
        balances = Balances(self.balance, self.balance_currency, self.other_balances)
        left = balances.add(self.awaiting_payment.returned_balance, self.currency)
        return replace(
            self.after_discarding(), balance=left.amount, balance_currency=left.currency, other_balances=left.others
        )

    def with_resumed_discounts(self, date: int) -> Self:
        """The same subscription with the discounts that its pause suspended as they are if it is over at `date`."""
        if not self.suspended_ends:
            return self
        length = date - (self.paused_at or date)
        ends = {discount_id: end + length for discount_id, end in self.suspended_ends}
        resumed = (replace(terms, end=ends.get(terms.id, terms.end)) for terms in self.discounts)
        return replace(self, discounts=tuple(resumed), suspended_ends=())

    def with_shared_discounts_resumed(self, date: int) -> Self:
        """The same subscription once it begins or goes on at `date`: the customer's discounts that others suspended run again."""
        ends = {
            discount_id: end + date - (sibling.paused_at or date)
            for sibling in self.siblings
            for discount_id, end in sibling.suspended_ends
        }
        shared = {terms.id for terms in self.discounts if terms.subscription_id is None} & ends.keys()
        if not shared:
            return self

        def run_again(snapshot: Self) -> Self:
            discounts = (
                replace(terms, end=ends[terms.id]) if terms.id in shared else terms for terms in snapshot.discounts
            )
            kept = tuple(pair for pair in snapshot.suspended_ends if pair[0] not in shared)
            return replace(snapshot, discounts=tuple(discounts), suspended_ends=kept)

        return replace(run_again(self), siblings=tuple(map(run_again, self.siblings)))

    def resumed(self, date: int) -> Self:
        """The same subscription after a pause ends automatically at `date`. After status `paused`, new periods start then."""
        if self.status != SubscriptionStatus.PAUSED:
            return replace(self, pause_collection=None, resumes_at=None)
        resumed = self.with_resumed_discounts(date)
        items = tuple(replace(item, period_start=date, period_end=date, anchor=None) for item in self.items)
        lengths = [(item.offer.interval, item.offer.interval_count) for item in items]
        first_end = min(periods.boundary(date, interval, count) for interval, count in lengths)
        return replace(
            resumed, status=SubscriptionStatus.ACTIVE, anchor=date, items=items, resumes_at=None,
            phases=self.phases_from(first_end),
        )  # fmt: skip

    def phases_from(self, period_end: int) -> tuple[PlannedPhase, ...]:
        """The phases after new periods start: the customer's planned change moves to the end of the new period."""
        planned = next((phase for phase in self.phases if phase.by_customer), None)
        return tuple(replace(phase, start=period_end) if phase is planned else phase for phase in self.phases)

    @property
    def has_prorated_phases(self) -> bool:
        """Whether a phase is still to come that prorates: what it credits depends on what was charged until then."""
        return any(phase.proration_behavior != "none" for phase in self.phases)

    def as_of(self, date: int) -> Self:
        """The same subscription as it is loaded at a later `date`: without what is over by then."""
        over = tuple(discount for discount in self.discounts if discount.end is not None and discount.end <= date)
        return replace(
            self,
            discounts=tuple(discount for discount in self.discounts if discount not in over),
            past_discounts=(*self.past_discounts, *over),
            creditable_lines=tuple(line for line in self.creditable_lines if line.period_end > date),
            has_uncollected_invoice=self.uncollected_until > date,
        )

    def billed(self, amount_due: int) -> Billed:
        """What becomes of a final invoice: what is charged automatically counts as paid, what the customer has to send not."""
        return Billed.OPEN if amount_due and self.collection_method == "send_invoice" else Billed.PAID

    def after_billing(self, lines: Sequence[InvoiceLine], billed: Billed) -> Self:
        """The same subscription with these lines written: what can be credited later, and whether something is unpaid."""
        if not self.has_prorated_phases:
            return self
        gone = {line.credits for line in lines} | {line.id for line in lines}
        kept = tuple(line for line in self.creditable_lines if line.id not in gone)
        charges = tuple(line.with_id(position) for position, line in enumerate(lines) if line.amount > 0)
        if billed == Billed.OPEN:
            return replace(self, creditable_lines=kept, has_open_invoice=True)
        if billed == Billed.UNCOLLECTED:
            until = max((line.period_end for line in charges), default=0)
            return replace(self, creditable_lines=kept, uncollected_until=max(until, self.uncollected_until))
        return replace(self, creditable_lines=(*kept, *charges))

    def phase_due_at(self, date: int) -> PlannedPhase | None:
        """The next phase if it begins at or before `date`, else None."""
        phase = self.phases[0] if self.phases else None
        return phase if phase and phase.start <= date and not self._waits_for_resumption(phase) else None

    def after_renewal(self, lines: Sequence[InvoiceLine], *, taken: bool) -> Self:
        """The same subscription after a renewal with these lines. With `taken`, an invoice took the pending lines among them."""
        ends = {line.item_id: line.period_end for line in lines if line.id is None}
        items = tuple(
            item.renewed(self.anchor).ending_at(ends[item.id]) if item.id in ends else item for item in self.items
        )
        billed = {line.id for line in lines if line.id is not None} if taken else set()
        status = SubscriptionStatus.ACTIVE if self.status == SubscriptionStatus.TRIALING else self.status
        return replace(
            self, items=items, status=status, due_at=None,
            pending_lines=tuple(line for line in self.pending_lines if line.id not in billed),
        )  # fmt: skip
