"""The next invoice of a subscription as it stands: when it comes and what it will be. Changes are not weighed here."""

from dataclasses import dataclass

from portal_site.billing.rules.invoicing import invoices
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot


@dataclass(frozen=True, slots=True)
class NextInvoice:
    """`amount_due` = subtotal − discount + tax − balance_used, in minor units; `varies` when usage will be added to it.

    `balance_used` is `credit_used` and what is `carried` to later invoices or from before, as a bill has them.
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


def renewal_lines(snapshot: SubscriptionSnapshot, date: int) -> tuple[InvoiceLine, ...]:
    """The lines of the invoice at `date`, when the periods of some items end: their next periods, and what was pending.

    Items with a longer interval join only the invoices at their own period's end. Nothing is billed from `cancel_at` on: a period
    that would reach beyond it ends there, and costs its part.
    """
    if snapshot.cancel_at is not None and date >= snapshot.cancel_at:
        return snapshot.pending_lines
    due = [item for item in snapshot.items if item.period_end == date]
    running = snapshot.running_discounts(date)
    return (
        *snapshot.pending_lines,
        *invoices.renewal_lines(
            due, snapshot.anchor, running, snapshot.tax_rates, snapshot.currency, until=snapshot.cancel_at
        ),
    )


def renewal_totals(snapshot: SubscriptionSnapshot, date: int, balance: int | None = None) -> InvoiceTotals:
    """That invoice, settled with the balance: the snapshot's, or what is left of it after others were billed."""
    lines = renewal_lines(snapshot, date)
    if snapshot.balance_in_other_currency and sum(line.total for line in lines) < 0:
        lines = tuple(line for line in lines if line.id is None)  # there is no balance to put credit on: it waits on
    return snapshot.invoice_for(lines, balance)


def consumed_discounts(snapshot: SubscriptionSnapshot, bill: InvoiceTotals, date: int) -> frozenset[str]:
    """The discounts for one invoice only that this one uses up."""
    return (
        invoices.consumed_discounts(bill.lines, snapshot.running_discounts(date)) if snapshot.discounts else frozenset()
    )


def next_invoice(snapshot: SubscriptionSnapshot) -> NextInvoice | None:
    """The invoice at the earliest period end among the items, or None when nothing renews."""
    going_on = [item for item in snapshot.items if snapshot.cancel_at is None or item.period_end < snapshot.cancel_at]
    if not going_on:
        return None
    date = min(item.period_end for item in going_on)
    found = renewal_totals(snapshot, date)
    return NextInvoice(
        date=date,
        currency=found.currency,
        subtotal=found.subtotal,
        discount=found.discount,
        tax=found.tax,
        balance_used=found.balance_used,
        credit_used=found.credit_used,
        carried=found.carried,
        amount_due=found.amount_due,
        varies=any(item.offer.terms.metered for item in going_on if item.period_end == date),
    )
