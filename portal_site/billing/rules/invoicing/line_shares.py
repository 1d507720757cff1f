"""What an amount that is credited takes off the lines of an invoice, with its part of each tax."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from portal_site.billing.rules.amounts.allocation import allocate
from portal_site.billing.rules.amounts.proration import ProrationFactor
from portal_site.billing.rules.amounts.taxes import Tax, on_top


@dataclass(frozen=True, slots=True)
class LineShare:
    """A line of an invoice, or a part of it, in minor units ≥ 0: the amount after discounts, and its taxes."""

    line_id: str
    net: int
    taxes: tuple[Tax, ...] = ()

    @property
    def total(self) -> int:
        """With the taxes that are not included."""
        return self.net + on_top(self.taxes)

    def less(self, net: int, taxes: dict[str, int]) -> "LineShare":
        """What is left of it without a net amount and without taxes, by the ids of their rates."""
        kept = tuple(replace(tax, amount=max(0, tax.amount - taxes.get(tax.rate.id, 0))) for tax in self.taxes)
        return replace(self, net=max(0, self.net - net), taxes=kept)

    def part(self, total: int) -> "LineShare":
        """The part of this total. Parts taken one after another of what is left never exceed it, and end with all of it."""
        added = [tax.amount for tax in self.taxes if not tax.rate.inclusive]
        net, *parts = allocate(total, [self.net, *added])
        of_rates, factor = iter(parts), ProrationFactor(total, max(1, self.total))
        return replace(
            self,
            net=net,
            taxes=tuple(
                replace(
                    tax,
                    amount=factor.of(tax.amount) if tax.rate.inclusive else next(of_rates),
                    taxable=factor.of(tax.taxable),
                )
                for tax in self.taxes
            ),
        )


def shares(amount: int, lines: Sequence[LineShare]) -> Iterator[LineShare]:
    """What `amount` takes off of what is left of these lines, in proportion to it; the totals add up to `amount`."""
    for line, total in zip(lines, allocate(amount, [line.total for line in lines]), strict=True):
        if total:
            yield line.part(total)
