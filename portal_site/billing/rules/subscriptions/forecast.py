"""Forecast of the next invoice of each of a customer's subscriptions, in the order in which a billing run bills them.

The billing run bills a renewal with `renew`. The pages show the result of `forecast`, which calls the same `renew` for one
subscription after the other. So the two cannot disagree on the customer's balance, on single-use coupons, or on a pending
update that returns both if it is not paid.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Self

from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.balances import Balances
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions import phases
from portal_site.billing.rules.subscriptions.snapshot import AwaitingPayment, Billed, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

MOST_STEPS = 500  # per forecast; enough to follow a daily subscription beside a yearly one for a year and a quarter


@dataclass(frozen=True, slots=True)
class NextInvoice:
    """The next invoice, in minor units: `amount_due` = subtotal − discount + tax − balance_used.

    `varies` is true if metered usage will be added. `balance_used` is `credit_used` plus the amount `carried` to later invoices
    or from earlier ones, as in InvoiceTotals. `renews` is false if no period begins with it: a schedule's phase is prorated.
    """

    date: int
    currency: str
    subtotal: int
    discount: int
    tax: int
    balance_used: int
    credit_used: int
    carried: int
    amount_due: int
    varies: bool
    renews: bool = True

    @property
    def total(self) -> int:
        """The total before the customer's balance is applied."""
        return self.subtotal - self.discount + self.tax

    @classmethod
    def of(cls, invoice: InvoiceTotals, date: int, varies: bool, renews: bool = True) -> Self:
        """The invoice with these totals."""
        return cls(
            date=date,
            currency=invoice.currency,
            subtotal=invoice.subtotal,
            discount=invoice.discount,
            tax=invoice.tax,
            balance_used=invoice.balance_used,
            credit_used=invoice.credit_used,
            carried=invoice.carried,
            amount_due=invoice.amount_due,
            varies=varies,
            renews=renews,
        )


@dataclass(frozen=True, slots=True)
class CustomerState:
    """The state that all invoices of a customer share: the balances, and the single-use discounts already consumed."""

    balances: Balances = field(default_factory=Balances)
    consumed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, snapshot: SubscriptionSnapshot, consumed: frozenset[str] = frozenset()) -> Self:
        """The state when this snapshot was loaded, but for the discounts consumed since."""
        return cls(Balances(snapshot.balance, snapshot.balance_currency, snapshot.other_balances), consumed)

    def applied_to(self, snapshot: SubscriptionSnapshot) -> SubscriptionSnapshot:
        """The subscription as it is billed in this state."""
        current, own = snapshot.without_discounts(self.consumed), self.balances
        if (current.balance, current.balance_currency, current.other_balances) == (
            own.amount,
            own.currency,
            own.others,
        ):
            return current
        return replace(current, balance=own.amount, balance_currency=own.currency, other_balances=own.others)

    def add(self, amount: int, currency: str) -> Self:
        """The state after `amount` was added to the balances. Amount 0 only sets a missing currency."""
        balances = self.balances.add(amount, currency)
        return self if balances is self.balances else replace(self, balances=balances)


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewal: its lines and totals, how the invoice is written, and the customer's state afterwards.

    `lines` are the lines of the periods that begin, whether or not they are invoiced. `invoice` is None if no invoice is written:
    there is nothing to bill, or collection is paused with `void`.
    """

    lines: tuple[InvoiceLine, ...]
    invoice: InvoiceTotals | None
    is_draft: bool
    is_uncollectible: bool
    consumed: frozenset[str]
    state: CustomerState


def renewal_lines(snapshot: SubscriptionSnapshot, date: int) -> tuple[InvoiceLine, ...]:
    """The lines of the invoice at `date`: pending lines, and the next periods of the items whose periods end then.

    Items with a longer interval are only on the invoices at the end of their own periods. Nothing is billed from `cancel_at` on:
    a period that would reach beyond it ends there and is prorated.
    """
    if snapshot.cancel_at is not None and date >= snapshot.cancel_at:
        return snapshot.pending_lines
    due = [item for item in snapshot.items if item.period_end == date]
    in_force = snapshot.discounts_in_force(date)
    return (
        *snapshot.pending_lines,
        *invoices.renewal_lines(
            due, snapshot.anchor, in_force, snapshot.tax_rates, snapshot.currency, until=snapshot.cancel_at
        ),
    )


def renew(snapshot: SubscriptionSnapshot, state: CustomerState, date: int) -> Renewal:
    """The renewal of the subscription at `date`, with the customer in `state`."""
    current = state.applied_to(snapshot)
    lines = renewal_lines(current, date)
    if current.balance_in_other_currency and not current.status.ended and sum(line.total for line in lines) < 0:
        # The balance, in another currency, does not take the credit, so it waits for the next invoice, if there is one.
        lines = tuple(line for line in lines if line.id is None)
    paused = current.pauses_collection_at(date)
    invoice = _uncollected_invoice(current, lines, paused) if paused else current.invoice_for(lines)
    written = bool(invoice.lines) and paused in (None, "keep_as_draft", "mark_uncollectible")
    if not written:
        return Renewal(invoice.lines, None, False, False, frozenset(), state)
    consumed = invoices.consumed_discounts(invoice.lines, current.discounts_in_force(date))
    new_state = replace(state, consumed=state.consumed | consumed) if consumed else state
    is_draft = paused == "keep_as_draft"
    if not is_draft:
        new_state = new_state.add(invoice.balance_used, current.currency)
    # While collection is paused, the final invoice of an ended subscription is not collected either.
    uncollectible = bool(invoice.amount_due) and current.collection_paused and not is_draft
    return Renewal(invoice.lines, invoice, is_draft, uncollectible, consumed, new_state)


def _uncollected_invoice(current: SubscriptionSnapshot, lines: Sequence[InvoiceLine], paused: str) -> InvoiceTotals:
    """The totals while collection is paused. No amount is too small then, and only uncollectible invoices use the balance."""
    if not lines:
        return current.invoice_for(())
    usable = current.usable_balance if paused == "mark_uncollectible" else 0
    return invoices.total_up(lines, usable, current.currency, exact=True)


def next_invoice(snapshot: SubscriptionSnapshot) -> NextInvoice | None:
    """The next invoice of this subscription, given its siblings. None if it is not billed again, or cannot be known yet."""
    return forecast((snapshot, *snapshot.siblings), CustomerState.of(snapshot), of=(snapshot.id,))[snapshot.id]


def forecast(
    snapshots: Iterable[SubscriptionSnapshot], state: CustomerState, of: Sequence[str] | None = None
) -> dict[str, NextInvoice | None]:
    """The next invoice of each subscription (of those in `of`), if nothing is changed or paid until then but what is charged
    automatically for the periods that begin on the way.

    None for a subscription that is not billed again, and for one whose next invoice depends on a payment that is in progress.
    """
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    next_invoices: dict[str, NextInvoice | None] = dict.fromkeys(by_id if of is None else of)
    walk = _Walk(by_id, state)
    missing = set(next_invoices) & walk.start()
    for _ in range(MOST_STEPS):
        if not missing or walk.is_uncertain:
            break
        step = walk.step()
        if step.invoice is not None and step.subscription_id in missing:
            next_invoices[step.subscription_id] = step.invoice
            missing.discard(step.subscription_id)
        if missing and not walk.follow(step):
            missing.discard(step.subscription_id)
    return next_invoices


def totals_until(snapshot: SubscriptionSnapshot, state: CustomerState, until: int) -> tuple[dict[int, int], bool]:
    """What the invoices of this subscription before `until` come to, by date, given its siblings, as `forecast` knows them.

    The second value is false if later ones depend on a payment that is in progress.
    """
    totals: dict[int, int] = defaultdict(int)
    walk = _Walk({each.id: each for each in (snapshot, *snapshot.siblings)}, state)
    walk.start()
    for _ in range(MOST_STEPS):
        if not walk.queue or walk.queue[0][0] >= until or walk.is_uncertain:
            break
        step = walk.step()
        if step.invoice is not None and step.subscription_id == snapshot.id:
            totals[step.invoice.date] += step.invoice.total
        walk.follow(step)
    return totals, not walk.is_uncertain


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a subscription: `after` it the subscription is like this, but for what `renewal` makes of it, if it has one.

    `after` is None if no later step is known, because the next one depends on what is not known yet.
    """

    subscription_id: str
    after: SubscriptionSnapshot | None
    renewal: Renewal | None = None
    invoice: NextInvoice | None = None


def _renewed(snapshot: SubscriptionSnapshot, renewal: Renewal) -> SubscriptionSnapshot:
    """The subscription after its renewal: what becomes of the invoice decides what can be credited later."""
    renewed = snapshot.after_renewal(renewal.lines, taken=renewal.invoice is not None)
    if renewal.invoice is None:
        return renewed
    uncollected = renewal.is_draft or renewal.is_uncollectible
    billed = Billed.UNCOLLECTED if uncollected else renewed.billed(renewal.invoice.amount_due)
    return renewed.after_billing(renewal.lines, billed)


@dataclass
class _Walk:
    """The simulation of a customer's subscriptions over time.

    `queue` is a heap of (date, 0 for a transition or 1 for a renewal, subscription id): the next step of each. From
    `certain_until` on, the outcome of a payment that is not known yet may have changed the customer's state.
    """

    snapshots: dict[str, SubscriptionSnapshot]
    state: CustomerState
    queue: list[tuple[int, int, str]] = field(default_factory=list)
    certain_until: int | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether the next step depends on a payment whose outcome is not known yet."""
        return self.certain_until is not None and bool(self.queue) and self.queue[0][0] >= self.certain_until

    def start(self) -> set[str]:
        """Queue the first step of each subscription. Returns the ids of the subscriptions that have one."""
        for snapshot in self.snapshots.values():
            self._queue(snapshot)
        return {subscription_id for _, _, subscription_id in self.queue}

    def _queue(self, snapshot: SubscriptionSnapshot) -> bool:
        date = snapshot.next_step
        if date is not None:
            # A billing run applies all transitions that are due at one instant before it renews anything.
            heappush(self.queue, (date, int(not snapshot.has_transition_at(date)), snapshot.id))
        return date is not None

    def step(self) -> _Step:
        """Take the step that is due first. Steps that are due at the same time are taken in a billing run's order.

        The step after it is not queued before `follow`, since most forecasts end with the renewal that they are about.
        """
        date, _, subscription_id = heappop(self.queue)
        snapshot = self.snapshots[subscription_id]
        phase, awaiting = snapshot.phase_due_at(date), snapshot.awaiting_payment
        discards = snapshot.is_discarding_at(date) or (phase is not None and phases.changes_items(snapshot))
        if awaiting is not None and (discards or (phase is not None and awaiting.is_being_paid)):
            if awaiting.is_being_paid:  # everything that is due then waits for the outcome
                self.certain_until = min(date, self.certain_until or date)
                return _Step(subscription_id, None)
            return _Step(subscription_id, self._discard(snapshot, awaiting))
        if snapshot.resumes_at is not None and snapshot.resumes_at <= date:
            return _Step(subscription_id, snapshot.resumed(snapshot.resumes_at))
        if phase is not None:
            return self._begin_phase(snapshot, date)
        return self._bill(snapshot, date)

    def follow(self, step: _Step) -> bool:
        """Queue the next step of the subscription that took this one. False if none is known."""
        after = step.after
        if after is None:
            return False
        if step.renewal is not None:
            after = _renewed(after, step.renewal)
        self.snapshots[step.subscription_id] = after
        return self._queue(after)

    def _begin_phase(self, snapshot: SubscriptionSnapshot, date: int) -> _Step:
        begun = phases.begin_next_phase(self.state.applied_to(snapshot), date)
        if begun.invoice is None:
            return _Step(snapshot.id, begun.subscription)
        consumed = self.state.consumed | begun.consumed
        self.state = replace(self.state, consumed=consumed).add(begun.invoice.balance_used, snapshot.currency)
        invoice = NextInvoice.of(begun.invoice, date, varies=False, renews=False)
        return _Step(snapshot.id, begun.subscription, invoice=invoice)

    def _bill(self, snapshot: SubscriptionSnapshot, date: int) -> _Step:
        if snapshot.cancel_at is not None and snapshot.cancel_at <= date:
            snapshot = replace(snapshot, status=SubscriptionStatus.CANCELED)
        varies = any(item.offer.terms.metered for item in snapshot.items if item.period_end == date)
        renewal = renew(snapshot, self.state, date)
        self.state = renewal.state
        if renewal.invoice is None or renewal.is_draft or renewal.is_uncollectible:
            return _Step(snapshot.id, snapshot, renewal)
        return _Step(snapshot.id, snapshot, renewal, NextInvoice.of(renewal.invoice, date, varies))

    def _discard(self, snapshot: SubscriptionSnapshot, awaiting: AwaitingPayment) -> SubscriptionSnapshot:
        """Discard an unpaid change: its invoice is voided, and its balance, lines and discounts are available again."""
        self.state = self.state.add(awaiting.returned_balance, snapshot.currency)
        for other_id, other in self.snapshots.items():
            if other.reserved_discounts & awaiting.reserved_discounts:
                remaining = other.reserved_discounts - awaiting.reserved_discounts
                self.snapshots[other_id] = replace(other, reserved_discounts=remaining)
        return snapshot.after_discarding()
