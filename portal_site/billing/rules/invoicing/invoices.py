"""The lines and totals of an invoice, for previews, plan changes and renewals alike."""

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
    """What a line bills: a full period, the credit for unused time, or the charge for the remaining time."""

    CYCLE = "cycle"
    UNUSED = "unused"
    REMAINING = "remaining"


def _summed(reductions: Sequence[tuple[str, int]]) -> int:
    return sum([amount for _, amount in reductions])


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line. `amount` is in minor units, before discounts and exclusive tax.

    `discounts` are pairs of (discount id, minor units ≥ 0). On a prorated line, `proration` is the part of the period and
    `full_amount` the amount for the full period. `credits` is the id of the line that a credit refers to. Only a pending
    line, which is stored before it is added to an invoice, has an `id`. `given_back` is what credit notes took off of a stored
    line's total, for its whole period.
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
    given_back: int = 0

    @property
    def discount(self) -> int:
        """The sum of its discounts in minor units."""
        return _summed(self.discounts)

    def factor_after(self, at: int, end: int | None = None) -> ProrationFactor:
        """The part of its period that is left at `at`, until the period's end or until `end`."""
        period_seconds = max(1, self.period_end - self.period_start)
        seconds = (self.period_end if end is None else end) - at
        return ProrationFactor(min(period_seconds, max(0, seconds)), period_seconds)

    @property
    def total(self) -> int:
        """Its part of the invoice's total: amount − discounts + exclusive tax."""
        return self.amount - self.discount + taxes.on_top(self.taxes)

    def charged(self) -> tuple[int, tuple[Tax, ...]]:
        """What was charged for it in the end: the amount after discounts, and its taxes, without what was given back."""
        net = self.amount - self.discount
        if not self.given_back:
            return net, self.taxes
        left = ProrationFactor(max(0, self.total - self.given_back), self.total)
        # Net amount and exclusive taxes are rounded together, so that they add up to what is left exactly.
        added = [tax.amount for tax in self.taxes if not tax.rate.inclusive]
        kept, *parts = allocate(left.seconds, [net, *added])
        of_rates = iter(parts)
        return kept, tuple(
            replace(
                tax, amount=left.of(tax.amount) if tax.rate.inclusive else next(of_rates), taxable=left.of(tax.taxable)
            )
            for tax in self.taxes
        )


@dataclass(frozen=True, slots=True)
class InvoiceTotals:
    """The totals of an invoice in minor units.

    total = subtotal − discount + exclusive tax = the sum of the lines' totals. `amount_due` is what is due of it after the
    customer's balance was applied (see `settle`).
    """

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
        """The change of the customer's balance: credit used (> 0), or debt paid or credit gained (< 0)."""
        return self.ending_balance - self.starting_balance

    @property
    def credit_used(self) -> int:
        """The part of `balance_used` that is credit: used (> 0) or gained (< 0)."""
        return min(0, self.ending_balance) - min(0, self.starting_balance)

    @property
    def carried(self) -> int:
        """The part of `balance_used` that is debt: carried to a later invoice (> 0), or billed from earlier ones (< 0)."""
        return max(0, self.ending_balance) - max(0, self.starting_balance)


def settle(total: int, balance: int, minimum: int = 0, step: int = 1) -> tuple[int, int]:
    """The amount due for a total, and the balance afterwards. A negative balance is credit, a positive one is owed.

    An amount below `minimum`, and the remainder above a multiple of `step`, cannot be charged and stays on the balance.
    """
    after = total + balance
    due = after - after % step if after >= max(0, minimum) else 0
    return due, after - due


def total_up(lines: Sequence[InvoiceLine], balance: int, currency: str, *, exact: bool = False) -> InvoiceTotals:
    """The totals of these lines, with the balance applied.

    With `exact`, the limits for charges are ignored and nothing is carried over; it is for cases without a balance.
    """
    subtotal = sum([line.amount for line in lines])
    discount = sum([line.discount for line in lines])
    tax = sum([taxes.on_top(line.taxes) for line in lines])
    total = subtotal - discount + tax
    due, after = settled(total, balance, currency, exact=exact)
    return InvoiceTotals(currency, tuple(lines), subtotal, discount, tax, total, balance, after, due)


def settled(total: int, balance: int, currency: str, *, exact: bool = False) -> tuple[int, int]:
    """The amount due for a total and the balance afterwards, with the currency's limits for charges unless `exact`."""
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
    """The invoice lines for the next period of each item. A period that extends beyond `until` is prorated."""
    renewed = [item.renewed(anchor) for item in items]
    lines = [full_period_line(item, anchor, rates) for item in renewed]
    spans = [(item.period_start, item.period_end if until is None else min(item.period_end, until)) for item in renewed]
    if spans == [(line.period_start, line.period_end) for line in lines]:
        return with_discounts_and_tax(lines, running, currency)
    # As with a change within a period: lasting discounts are prorated with their line, while single-use discounts apply in
    # full to the prorated line.
    full_lines = with_discounts(lines, [discount for discount in running if not discount.single_use], currency)
    parts = [
        line if span == (line.period_start, line.period_end) else prorate_line(line, *span)
        for line, span in zip(full_lines, spans, strict=True)
    ]
    return with_discounts_and_tax(parts, [discount for discount in running if discount.single_use], currency)


def full_period_line(item: Item, anchor: int, rates: Sequence[TaxRate]) -> InvoiceLine:
    """The line for the full period that the item's current period is, or is a part of, before discounts and tax.

    `taxes` holds the rates that apply, with amounts of 0: the item's own rates if it has any, else the subscription's.
    """
    unapplied = tuple(Tax(rate, 0, 0) for rate in item.tax_rates or rates)
    return InvoiceLine(
        LineKind.CYCLE, item.offer, item.id, item.quantity, *item.whole_period(anchor), item.amount, taxes=unapplied
    )


def prorate_line(period: InvoiceLine, start: int, end: int) -> InvoiceLine:
    """A full period's line prorated to the time from `start` to `end`, with its discounts. The tax is not recalculated."""
    factor = ProrationFactor(end - start, period.period_end - period.period_start)
    # The sum of the discounts is rounded once: rounded one by one, they could add up to more than the line.
    parts = allocate(factor.of(period.discount), [amount for _, amount in period.discounts])
    return InvoiceLine(
        kind=LineKind.REMAINING,
        offer=period.offer,
        item_id=period.item_id,
        quantity=period.quantity,
        period_start=start,
        period_end=end,
        amount=factor.of(period.amount),
        taxes=period.taxes,
        discounts=tuple((name, amount) for (name, _), amount in zip(period.discounts, parts, strict=True)),
        proration=factor,
        full_amount=period.amount,
    )


def with_discounts_and_tax(
    lines: Sequence[InvoiceLine], running: Sequence[DiscountTerms], currency: str
) -> tuple[InvoiceLine, ...]:
    """The lines with these discounts applied, and with tax on the discounted amounts."""
    discounts_of = _discounts_of(lines, running, currency)
    return tuple(_with_tax_after(line, applied) for line, applied in zip(lines, discounts_of, strict=True))


def with_discounts(
    lines: Sequence[InvoiceLine], running: Sequence[DiscountTerms], currency: str
) -> Sequence[InvoiceLine]:
    """The lines with these discounts applied. The tax is not recalculated."""
    if not running:
        return lines
    discounts_of = _discounts_of(lines, running, currency)
    return [replace(line, discounts=applied) for line, applied in zip(lines, discounts_of, strict=True)]


def _discounts_of(
    lines: Sequence[InvoiceLine], running: Sequence[DiscountTerms], currency: str
) -> list[tuple[tuple[str, int], ...]]:
    """The discounts of each line once these are applied as well."""
    if not running:
        return [line.discounts for line in lines]
    payable = [Discountable(line.amount - line.discount, line.offer.product_id, line.item_id) for line in lines]
    reductions = discounts.reductions(payable, running, currency)
    return [line.discounts + _nonzero(running, [amounts[i] for amounts in reductions]) for i, line in enumerate(lines)]


def _nonzero(running: Sequence[DiscountTerms], amounts: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """The (discount id, amount) pairs of one line, without discounts that do not reduce it."""
    return tuple((discount.id, amount) for discount, amount in zip(running, amounts, strict=True) if amount)


def with_tax(line: InvoiceLine) -> InvoiceLine:
    """The line with its tax rates applied to the amount after discounts."""
    return _with_tax_after(line, line.discounts)


def _with_tax_after(line: InvoiceLine, applied: tuple[tuple[str, int], ...]) -> InvoiceLine:
    """The line with these discounts, and with its tax rates applied to the amount after them."""
    if line.taxes:
        of_net = taxes.taxes(line.amount - _summed(applied), [tax.rate for tax in line.taxes])
        return replace(line, discounts=applied, taxes=of_net)
    return replace(line, discounts=applied) if applied != line.discounts else line


def consumed_discounts(lines: Iterable[InvoiceLine], running: Iterable[DiscountTerms]) -> frozenset[str]:
    """The ids of the single-use discounts that reduce at least one of these lines."""
    used = {discount_id for line in lines for discount_id, _ in line.discounts}
    return frozenset(discount.id for discount in running if discount.single_use and discount.id in used)


def summed_taxes(lines: Iterable[InvoiceLine]) -> list[Tax]:
    """The taxes of these lines, summed per rate."""
    sums: dict[str, Tax] = {}
    for tax in (tax for line in lines for tax in line.taxes):
        total = sums.get(tax.rate.id)
        sums[tax.rate.id] = Tax(tax.rate, tax.amount + total.amount, tax.taxable + total.taxable) if total else tax
    return list(sums.values())
