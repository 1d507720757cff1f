"""What will be billed next, of all subscriptions of a customer, in the order in which a billing run bills them.

The billing run bills a renewal with `renew`. The pages show what `forecast` finds by calling the same `renew` for one
subscription after the other, so the two cannot disagree on the customer's balance, on single-use coupons, or on a change that
gives both back when it is not paid.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Self

from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions.snapshot import AwaitingPayment, SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus

MOST_STEPS = 500  # of one forecast: a daily subscription beside a yearly one is followed for a year and a quarter


@dataclass(frozen=True, slots=True)
class NextInvoice:
    """`amount_due` = subtotal − discount + tax − balance_used, in minor units; `varies` when usage will be added to it.

    `balance_used` is `credit_used` and what is `carried` to later invoices or from earlier ones, as in InvoiceTotals.
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

    @classmethod
    def of(cls, invoice: InvoiceTotals, date: int, varies: bool) -> Self:
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
        )


@dataclass(frozen=True, slots=True)
class CustomerState:
    """What the invoices of one customer share: the balance, its currency, and the single-use discounts already consumed."""

    balance: int = 0
    currency: str | None = None
    consumed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, snapshot: SubscriptionSnapshot) -> Self:
        """The state when this snapshot was loaded."""
        return cls(snapshot.balance, snapshot.balance_currency)

    def applied_to(self, snapshot: SubscriptionSnapshot) -> SubscriptionSnapshot:
        """The subscription as it is billed in this state."""
        current = snapshot.without_discounts(self.consumed)
        if (current.balance, current.balance_currency) == (self.balance, self.currency):
            return current
        return replace(current, balance=self.balance, balance_currency=self.currency)

    def add(self, amount: int, currency: str) -> Self:
        """The state after the balance changed by an amount, which takes on the currency where the balance was empty."""
        if not amount:
            return replace(self, currency=self.currency or currency)
        return replace(self, balance=self.balance + amount, currency=currency)


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewal: its lines and totals, what becomes of the invoice, and the customer's state afterwards.

    `lines` are those whose periods begin, whether or not they are invoiced. `invoice` is None when no invoice is written: there
    is nothing to bill, or collection is paused without keeping invoices.
    """

    lines: tuple[InvoiceLine, ...]
    invoice: InvoiceTotals | None
    is_draft: bool
    is_uncollectible: bool
    consumed: frozenset[str]
    state: CustomerState


def renewal_lines(snapshot: SubscriptionSnapshot, date: int) -> tuple[InvoiceLine, ...]:
    """The lines of the invoice at `date`, when the periods of some items end: pending lines, and these items' next periods.

    Items with a longer interval join only the invoices at the end of their own periods. Nothing is billed from `cancel_at` on: a
    period that would reach beyond it ends there and is prorated.
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
    """Bill the subscription at `date`, in the customer's current state."""
    current = state.applied_to(snapshot)
    lines = renewal_lines(current, date)
    if current.balance_in_other_currency and sum(line.total for line in lines) < 0:
        lines = tuple(line for line in lines if line.id is None)  # credit that no balance can take stays pending
    paused = current.pauses_collection_at(date)
    invoice = _uncollected_invoice(current, lines, paused) if paused else current.invoice_for(lines)
    written = bool(invoice.lines) and paused in (None, "keep_as_draft", "mark_uncollectible")
    if not written:
        return Renewal(invoice.lines, None, False, False, frozenset(), state)
    consumed = invoices.consumed_discounts(invoice.lines, current.discounts_in_force(date))
    after = replace(state, consumed=state.consumed | consumed) if consumed else state
    is_draft = paused == "keep_as_draft"
    if not is_draft:
        after = after.add(invoice.balance_used, current.currency)
    # What a subscription still owes when it ends is not collected either, while collection is paused.
    uncollectible = bool(invoice.amount_due) and current.collection_paused and not is_draft
    return Renewal(invoice.lines, invoice, is_draft, uncollectible, consumed, after)


def _uncollected_invoice(current: SubscriptionSnapshot, lines: Sequence[InvoiceLine], paused: str) -> InvoiceTotals:
    """The totals while collection is paused: no amount is too small then, and only what is written off uses the balance."""
    if not lines:
        return current.invoice_for(())
    usable = current.usable_balance if paused == "mark_uncollectible" else 0
    return invoices.total_up(lines, usable, current.currency, exact=True)


def next_invoice(snapshot: SubscriptionSnapshot) -> NextInvoice | None:
    """The next invoice of this subscription beside the customer's others; None when nothing renews, or nobody can know yet."""
    return forecast((snapshot, *snapshot.siblings), CustomerState.of(snapshot), of=(snapshot.id,))[snapshot.id]


def forecast(
    snapshots: Iterable[SubscriptionSnapshot], state: CustomerState, of: Sequence[str] | None = None
) -> dict[str, NextInvoice | None]:
    """The next invoice of each subscription (of those in `of`), if nothing is changed or paid until then.

    None for a subscription that is not billed again, and for one whose next invoice depends on a proration that is only known
    when a phase begins inside a period: its own, or another subscription's that may use or leave some of the balance.
    """
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    found: dict[str, NextInvoice | None] = dict.fromkeys(by_id if of is None else of)
    walk = _Walk(by_id, state)
    missing = set(found) & walk.start()
    for _ in range(MOST_STEPS):
        if not missing or walk.is_uncertain:
            break
        step = walk.step()
        if step.invoice is not None and step.subscription_id in missing:
            found[step.subscription_id] = step.invoice
            missing.discard(step.subscription_id)
        elif step.is_last:
            missing.discard(step.subscription_id)
    return found


@dataclass(frozen=True, slots=True)
class _Step:
    """What happened to one subscription at one instant; `is_last` when nothing is known to happen to it afterwards."""

    subscription_id: str
    invoice: NextInvoice | None
    is_last: bool


@dataclass
class _Walk:
    """All subscriptions of a customer on their way through time; `queue` holds when each is due next."""

    snapshots: dict[str, SubscriptionSnapshot]
    state: CustomerState
    queue: list[tuple[int, int, str]] = field(default_factory=list)
    certain_until: int | None = (
        None  # from when on a proration that is not known yet may have changed the customer's state
    )

    @property
    def is_uncertain(self) -> bool:
        """Whether the next step comes after something that is not known yet."""
        return self.certain_until is not None and bool(self.queue) and self.queue[0][0] >= self.certain_until

    def start(self) -> set[str]:
        """Queue the first step of each subscription; the ids of those that have one."""
        for snapshot in self.snapshots.values():
            self._queue(snapshot)
        return {subscription_id for _, _, subscription_id in self.queue}

    def _queue(self, snapshot: SubscriptionSnapshot) -> bool:
        date = snapshot.next_step
        if date is not None:
            # At one instant a billing run takes all transitions before it renews anything.
            heappush(self.queue, (date, int(not snapshot.has_transition_at(date)), snapshot.id))
        return date is not None

    def step(self) -> _Step:
        """Take the step that is due first. Steps at one instant follow the order of a billing run's transitions."""
        date, _, subscription_id = heappop(self.queue)
        snapshot = self.snapshots[subscription_id]
        invoice = None
        if (awaiting := snapshot.awaiting_payment) is not None and snapshot.is_discarding_at(date):
            if awaiting.is_being_paid:  # then everything that is due waits for the outcome
                self.certain_until = min(date, self.certain_until or date)
                return _Step(subscription_id, None, is_last=True)
            snapshot = self._discard(snapshot, awaiting)
        elif snapshot.resumes_at is not None and snapshot.resumes_at <= date:
            snapshot = snapshot.resumed(snapshot.resumes_at)
        elif (phase := snapshot.phase_due_at(date)) is not None:
            moved = snapshot.in_next_phase()
            if moved is None:
                invoiced_at = date if phase.proration_behavior == "always_invoice" else snapshot.period_end
                self.certain_until = min(invoiced_at, self.certain_until or invoiced_at)
                return _Step(subscription_id, None, is_last=True)
            snapshot = moved
        else:
            if snapshot.cancel_at is not None and snapshot.cancel_at <= date:
                snapshot = replace(snapshot, status=SubscriptionStatus.CANCELED)
            snapshot, invoice = self._bill(snapshot, date)
        self.snapshots[subscription_id] = snapshot
        return _Step(subscription_id, invoice, is_last=not self._queue(snapshot))

    def _bill(self, snapshot: SubscriptionSnapshot, date: int) -> tuple[SubscriptionSnapshot, NextInvoice | None]:
        varies = any(item.offer.terms.metered for item in snapshot.items if item.period_end == date)
        renewal = renew(snapshot, self.state, date)
        self.state = renewal.state
        following = snapshot.after_renewal(renewal.lines, taken=renewal.invoice is not None)
        if renewal.invoice is None or renewal.is_draft or renewal.is_uncollectible:
            return following, None
        return following, NextInvoice.of(renewal.invoice, date, varies)

    def _discard(self, snapshot: SubscriptionSnapshot, awaiting: AwaitingPayment) -> SubscriptionSnapshot:
        """Nobody paid for a change: its invoice is void, and its credit, lines and coupons are there for others again."""
        self.state = self.state.add(awaiting.returned_balance, snapshot.currency)
        for name, other in self.snapshots.items():
            if other.reserved_discounts & awaiting.reserved_discounts:
                left = other.reserved_discounts - awaiting.reserved_discounts
                self.snapshots[name] = replace(other, reserved_discounts=left)
        return snapshot.after_discarding()
