"""What an invoice says: its lines and what they add up to. Previews, changes and renewals all come through here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from portal_site.billing.rules.amounts import discounts, money, taxes
from portal_site.billing.rules.amounts.allocation import allocate
from portal_site.billing.rules.amounts.discounts import Discountable, DiscountTerms
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax, TaxRate


class LineKind(StrEnum):
    """Why a line is there: a period that begins, or a part of one that was not used, or that remains."""

    CYCLE = "cycle"
    UNUSED = "unused"
    REMAINING = "remaining"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line. `amount` in minor units is before `discounts` ((discount id, minor units ≥ 0) each) and tax on top.

    Of a prorated line, `proration` is the part of the period and `full_amount` what the whole period costs; a credit names the
    line that it `credits`. Only a pending line, which is stored before it is on an invoice, has an `id`.
    """

    kind: LineKind
    offer: PricedPlan
    item_id: str
    quantity: int | None
    period_start: int
    period_end: int
    amount: int
    discounts: tuple[tuple[str, int], ...] = ()
    taxes: tuple[Tax, ...] = ()
    proration: ProrationFactor | None = None
    full_amount: int = 0
    credits: str | None = None
    id: str | None = None

    @property
    def discount(self) -> int:
        """What coupons take off it."""
        return sum(amount for _, amount in self.discounts)

    @property
    def total(self) -> int:
        """What it adds to the invoice."""
        return self.amount - self.discount + taxes.on_top(self.taxes)


@dataclass(frozen=True, slots=True)
class InvoiceTotals:
    """total = subtotal − discount + tax on top = sum of the lines; due = what `settle` leaves of it. All in minor units."""

    currency: str
    lines: tuple[InvoiceLine, ...]
    subtotal: int
    discount: int
    tax: int
    total: int
    starting_balance: int
    ending_balance: int
    amount_due: int

    @property
    def balance_used(self) -> int:
        """How much the customer's balance changes: credit used (> 0), or debt paid and credit won (< 0)."""
        return self.ending_balance - self.starting_balance

    @property
    def credit_used(self) -> int:
        """How much of it is the customer's credit: used (> 0) or won (< 0)."""
        return min(0, self.ending_balance) - min(0, self.starting_balance)

    @property
    def carried(self) -> int:
        """How much of it is too little to be charged: left for a later invoice (> 0), or taken over from before (< 0)."""
        return max(0, self.ending_balance) - max(0, self.starting_balance)


def settle(total: int, balance: int, minimum: int = 0, step: int = 1) -> tuple[int, int]:
    """What is due for a total, and the balance afterwards. A negative balance is credit, a positive one is owed.

    Less than the `minimum` that a provider takes, and what lies between two of its `step`s, is owed until a later invoice.
    """
    after = total + balance
    due = after - after % step if after >= max(0, minimum) else 0
    return due, after - due


def total_up(lines: Sequence[InvoiceLine], balance: int, currency: str, *, exact: bool = False) -> InvoiceTotals:
    """The lines added up and settled with the balance. `exact` leaves nothing for later, where there is no balance to keep it."""
    subtotal = sum(line.amount for line in lines)
    discount = sum(line.discount for line in lines)
    tax = sum(taxes.on_top(line.taxes) for line in lines)
    total = subtotal - discount + tax
    due, after = settled(total, balance, currency, exact=exact)
    return InvoiceTotals(currency, tuple(lines), subtotal, discount, tax, total, balance, after, due)


def settled(total: int, balance: int, currency: str, *, exact: bool = False) -> tuple[int, int]:
    """What is due for a total in this currency, and the balance afterwards, as `settle` and `bill` have it."""
    limits = () if exact else (money.minimum_charge(currency), money.step(currency))
    return settle(total, balance, *limits)


def renewal_lines(
    items: Iterable[Item],
    anchor: int,
    running: Sequence[DiscountTerms],
    rates: Sequence[TaxRate],
    currency: str,
    until: int | None = None,
) -> tuple[InvoiceLine, ...]:
    """The lines for the periods that follow those of the items; of what is over at `until`, the part before."""
    renewed = [item.renewed(anchor) for item in items]
    lines = [full_period_line(item, anchor, rates) for item in renewed]
    spans = [(item.period_start, item.period_end if until is None else min(item.period_end, until)) for item in renewed]
    if spans == [(line.period_start, line.period_end) for line in lines]:
        return with_discounts_and_tax(lines, running, currency)
    # As with a change inside a period: lasting discounts take off their share, those for one invoice all that they can.
    whole = with_discounts_and_tax(lines, [discount for discount in running if not discount.single_use], currency)
    parts = [
        line if span == (line.period_start, line.period_end) else prorate_line(line, *span)
        for line, span in zip(whole, spans, strict=True)
    ]
    return with_discounts_and_tax(parts, [discount for discount in running if discount.single_use], currency)


def full_period_line(item: Item, anchor: int, rates: Sequence[TaxRate]) -> InvoiceLine:
    """What the item's current period, or the one that it is a part of, costs before discounts; not yet taxed.

    By its own tax rates, if it has any, else by the subscription's.
    """
    blank = tuple(Tax(rate, 0, 0) for rate in item.tax_rates or rates)
    return InvoiceLine(
        LineKind.CYCLE, item.offer, item.id, item.quantity, *item.whole_period(anchor), item.amount, taxes=blank
    )


def prorate_line(period: InvoiceLine, start: int, end: int) -> InvoiceLine:
    """A period's line for the time from `start` to `end` of it only, discounts included; what is taxed is not yet taxed."""
    factor = ProrationFactor(end - start, period.period_end - period.period_start)
    # Rounded once for all coupons together: each on its own could add up to more than the line.
    parts = allocate(factor.of(period.discount), [amount for _, amount in period.discounts])
    return replace(
        period,
        kind=LineKind.REMAINING,
        period_start=start,
        period_end=end,
        amount=factor.of(period.amount),
        discounts=tuple((name, amount) for (name, _), amount in zip(period.discounts, parts, strict=True)),
        proration=factor,
        full_amount=period.amount,
    )


def with_discounts_and_tax(
    lines: Sequence[InvoiceLine], running: Sequence[DiscountTerms], currency: str
) -> tuple[InvoiceLine, ...]:
    """The lines with what the discounts take off them, and taxed on the rest."""
    if running:
        payable = [Discountable(line.amount - line.discount, line.offer.product_id, line.item_id) for line in lines]
        taken = discounts.reductions(payable, running, currency)
        lines = [
            replace(line, discounts=line.discounts + _parts(running, [share[i] for share in taken]))
            for i, line in enumerate(lines)
        ]
    return tuple(with_tax(line) if line.taxes else line for line in lines)


def _parts(running: Sequence[DiscountTerms], amounts: Sequence[int]) -> tuple[tuple[str, int], ...]:
    return tuple((discount.id, amount) for discount, amount in zip(running, amounts, strict=True) if amount)


def with_tax(line: InvoiceLine) -> InvoiceLine:
    """The line with its rates applied to what is left after discounts."""
    return replace(line, taxes=taxes.taxes(line.amount - line.discount, [tax.rate for tax in line.taxes]))


def consumed_discounts(lines: Iterable[InvoiceLine], running: Iterable[DiscountTerms]) -> frozenset[str]:
    """The discounts for one invoice only that these lines use up."""
    used = {discount_id for line in lines for discount_id, _ in line.discounts}
    return frozenset(discount.id for discount in running if discount.single_use and discount.id in used)


def summed_taxes(lines: Iterable[InvoiceLine]) -> list[Tax]:
    """The taxes of some lines, one for each rate."""
    sums: dict[str, Tax] = {}
    for tax in (tax for line in lines for tax in line.taxes):
        known = sums.get(tax.rate.id)
        sums[tax.rate.id] = Tax(tax.rate, tax.amount + known.amount, tax.taxable + known.taxable) if known else tax
    return list(sums.values())
