"""What a subscription is made of: prices on offer, and items with their periods, one after the other."""

from dataclasses import dataclass, replace
from typing import Self

from portal_site.billing.rules.amounts import periods, pricing
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.amounts.taxes import TaxRate


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A recurring price and what it buys."""

    price_id: str
    product_id: str
    product: str
    terms: PriceTerms
    interval: str = "month"
    interval_count: int = 1
    unit_label: str | None = None
    tax_behavior: str = "unspecified"

    @property
    def length(self) -> int:
        """How long its interval is on average, in seconds."""
        return periods.average_length(self.interval, self.interval_count)

    def amount(self, quantity: int | None) -> int:
        """What a period costs in minor units; nothing yet where usage decides."""
        return 0 if self.terms.metered else pricing.amount(self.terms, quantity or 0)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a subscription, with its quantity (None when metered) and current period.

    `anchor` is its own where its periods have left the days of the subscription's.
    """

    id: str
    offer: PricedPlan
    quantity: int | None
    period_start: int
    period_end: int
    tax_rates: tuple[TaxRate, ...] = ()
    created: int = 0  # when it was added
    anchor: int | None = None

    @property
    def amount(self) -> int:
        """What its period costs, before discounts and tax."""
        return self.offer.amount(self.quantity)

    def own_anchor(self, anchor: int, start: int) -> int | None:
        """What its periods are counted from if one begins at `start`; None: from the subscription's `anchor`.

        One that begins where no counted period does is the first of a new count. Without that the 31st would become the 28th
        in February, and stay it.
        """
        if self.offer.interval in periods.SECONDS or (
            self.anchor is not None and periods.is_boundary(self.anchor, start)
        ):
            return self.anchor
        if periods.is_boundary(anchor, start):
            return None
        return self.period_start if periods.is_boundary(self.period_start, start) else start

    def renewed(self, anchor: int) -> Self:
        """The item in its next period, in a subscription with that anchor.

        A period that ended early, with a subscription that was to end then and goes on after all, is first billed to its end.
        """
        start, end = self.period_end, self.whole_period(anchor)[1]
        if end > start and not self._is_boundary(anchor, start):
            return replace(self, period_start=start, period_end=end, anchor=self._counted_from(anchor))
        own = self.own_anchor(anchor, start)
        end = self._step(anchor if own is None else own, start, 1)
        return replace(self, period_start=start, period_end=end, anchor=own)

    def refitted(self, anchor: int, at: int) -> Self:
        """The item in a period of its price's interval that holds `at`, counted on from where the current one began."""
        own, offer = self.own_anchor(anchor, self.period_start), self.offer
        counted_from = anchor if own is None else own
        start, end = periods.period_around(counted_from, offer.interval, offer.interval_count, self.period_start, at)
        return replace(self, period_start=start, period_end=end, anchor=own)

    def whole_period(self, anchor: int) -> tuple[int, int]:
        """What its price is for: the period that the current one is, or is a part of.

        The current one can also be longer, if the price has become one for a shorter interval since it began.
        """
        start, end = self.period_start, self.period_end
        if self._is_boundary(anchor, start):
            return start, self._step(self._counted_from(anchor), start, 1)
        if self._is_boundary(anchor, end):
            return self._step(self._counted_from(anchor), end, -1), end
        # Where no anchor was noted it is counted from a day of its own; else it is a part that was cut off at both ends.
        return (start, end) if self.anchor is None else self._around(self.anchor, start)

    def outlasts(self, anchor: int) -> bool:
        """Whether the current period is longer than what its price is for."""
        start, end = self.whole_period(anchor)
        return self.period_start < start or self.period_end > end

    def _counted_from(self, anchor: int) -> int:
        return anchor if self.anchor is None else self.anchor

    def _around(self, anchor: int, at: int) -> tuple[int, int]:
        """The period counted from the anchor that holds an instant after it."""
        offer = self.offer
        return periods.period_around(anchor, offer.interval, offer.interval_count, anchor, max(anchor, at))

    def _is_boundary(self, anchor: int, at: int) -> bool:
        return self.offer.interval in periods.SECONDS or periods.is_boundary(self._counted_from(anchor), at)

    def _step(self, anchor: int, start: int, periods_on: int) -> int:
        return periods.later(anchor, self.offer.interval, start, periods_on * self.offer.interval_count)
