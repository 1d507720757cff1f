"""The next invoice of a subscription as it stands: when it comes and what it will be. Changes are not weighed here."""

from dataclasses import dataclass

from portal_site.billing.rules import invoices
from portal_site.billing.rules.agreements import Agreement
from portal_site.billing.rules.invoices import Bill, Line


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


def cycle_lines(agreement: Agreement, date: int) -> tuple[Line, ...]:
    """The lines of the invoice at `date`, when the periods of some items end: their next periods, and what was pending.

    Items with a longer interval join only the invoices at their own period's end. Nothing is billed from `cancel_at` on: a period
    that would reach beyond it ends there, and costs its part.
    """
    if agreement.cancel_at is not None and date >= agreement.cancel_at:
        return agreement.pending
    due = [item for item in agreement.items if item.period_end == date]
    running = agreement.running_discounts(date)
    return (
        *agreement.pending,
        *invoices.cycle(
            due, agreement.anchor, running, agreement.tax_rates, agreement.currency, until=agreement.cancel_at
        ),
    )


def cycle_bill(agreement: Agreement, date: int, balance: int | None = None) -> Bill:
    """That invoice, settled with the balance: the agreement's, or what is left of it after others were billed."""
    lines = cycle_lines(agreement, date)
    if agreement.foreign_purse and sum(line.total for line in lines) < 0:
        lines = tuple(line for line in lines if line.id is None)  # there is no balance to put credit on: it waits on
    return agreement.bill(lines, balance)


def spent(agreement: Agreement, bill: Bill, date: int) -> frozenset[str]:
    """The discounts for one invoice only that this one uses up."""
    return invoices.spent(bill.lines, agreement.running_discounts(date)) if agreement.discounts else frozenset()


def next_invoice(agreement: Agreement) -> NextInvoice | None:
    """The invoice at the earliest period end among the items, or None when nothing renews."""
    going_on = [
        item for item in agreement.items if agreement.cancel_at is None or item.period_end < agreement.cancel_at
    ]
    if not going_on:
        return None
    date = min(item.period_end for item in going_on)
    found = cycle_bill(agreement, date)
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
