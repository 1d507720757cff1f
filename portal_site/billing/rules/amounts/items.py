"""Recurring prices, and subscription items with their current and following billing periods."""

from dataclasses import dataclass, replace
from typing import Self

from portal_site.billing.rules.amounts import periods, pricing
from portal_site.billing.rules.amounts.pricing import PriceTerms
from portal_site.billing.rules.amounts.taxes import TaxRate


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A recurring price with its product; `product` is the product's name."""

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
        """The average length of its billing interval in seconds."""
        return periods.average_length(self.interval, self.interval_count)

    @property
    def cycle(self) -> tuple[str, int]:
        """Its billing interval: unit and count."""
        return self.interval, self.interval_count

    def amount(self, quantity: int | None) -> int:
        """The price of one full period in minor units; 0 for a metered price, which is billed by usage."""
        return 0 if self.terms.metered else pricing.amount(self.terms, quantity or 0)


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """An item as it is wanted: an existing one by its `id`, or a new one (`id` None). `quantity` is None if metered."""

    offer: PricedPlan
    quantity: int | None
    id: str | None = None

    @property
    def amount(self) -> int:
        """The price of a full period in minor units, before discounts and tax."""
        return self.offer.amount(self.quantity)


@dataclass(frozen=True, slots=True)
class Item:
    """A subscription item with its quantity (None if metered) and current period (seconds since 1970, UTC).

    `anchor` is set only if the item's periods no longer start on boundaries of the subscription's billing cycle anchor.
    """

    id: str
    offer: PricedPlan
    quantity: int | None
    period_start: int
    period_end: int
    tax_rates: tuple[TaxRate, ...] = ()
    created: int = 0
    anchor: int | None = None

    @property
    def amount(self) -> int:
        """The price of a full period in minor units, before discounts and tax."""
        return self.offer.amount(self.quantity)

    @property
    def spec(self) -> ItemSpec:
        """The item as it is, as a part of the wanted items."""
        return ItemSpec(self.offer, self.quantity, self.id)

    def changed_to(self, spec: ItemSpec) -> Self:
        """The item with the wanted price and quantity."""
        if (self.offer, self.quantity) == (spec.offer, spec.quantity):
            return self
        return replace(self, offer=spec.offer, quantity=spec.quantity)

    def ending_at(self, end: int) -> Self:
        """The item with a current period that ends at `end`."""
        return self if self.period_end == end else replace(self, period_end=end)

    def differs_from(self, spec: ItemSpec) -> bool:
        """Whether another price or quantity is wanted."""
        return (self.offer.price_id, self.quantity) != (spec.offer.price_id, spec.quantity)

    def own_anchor(self, anchor: int, start: int) -> int | None:
        """The item's own anchor for a period that starts at `start`; None if the subscription's `anchor` applies.

        If `start` is no boundary of either anchor, the item gets a new one: the current period's start if `start` is a
        boundary of it, else `start`. Without that, a period that starts on the 31st would move to the 28th in February and
        stay there.
        """
        if self.offer.interval in periods.SECONDS or (
            self.anchor is not None and periods.is_boundary(self.anchor, start)
        ):
            return self.anchor
        if periods.is_boundary(anchor, start):
            return None
        return self.period_start if periods.is_boundary(self.period_start, start) else start

    def renewed(self, anchor: int) -> Self:
        """The item in its next period, in a subscription with this anchor.

        If the current period was cut short, because the subscription was to end then but continues, the next period is the
        rest of the full period.
        """
        start, end = self.period_end, self.whole_period(anchor)[1]
        if end > start and not self._is_boundary(anchor, start):
            return replace(self, period_start=start, period_end=end, anchor=self._counted_from(anchor))
        own = self.own_anchor(anchor, start)
        end = self._step(anchor if own is None else own, start, 1)
        return replace(self, period_start=start, period_end=end, anchor=own)

    def refitted(self, anchor: int, at: int) -> Self:
        """The item in the period that contains `at`, of its price's interval, counted from the current period's start."""
        own, offer = self.own_anchor(anchor, self.period_start), self.offer
        counted_from = anchor if own is None else own
        start, end = periods.period_around(counted_from, offer.interval, offer.interval_count, self.period_start, at)
        return replace(self, period_start=start, period_end=end, anchor=own)

    def whole_period(self, anchor: int) -> tuple[int, int]:
        """Start and end of the full period that the price pays for: the current period, or the one that it is a part of.

        The current period can also be longer, if the price was changed to one with a shorter interval during the period.
        """
        start, end = self.period_start, self.period_end
        if self._is_boundary(anchor, start):
            return start, self._step(self._counted_from(anchor), start, 1)
        if self._is_boundary(anchor, end):
            return self._step(self._counted_from(anchor), end, -1), end
        # Neither end is a boundary. Without an own anchor, the item has one that was not recorded, and the period is full.
        # With an own anchor, the period was cut short at both ends.
        return (start, end) if self.anchor is None else self._around(self.anchor, start)

    def outlasts(self, anchor: int) -> bool:
        """Whether the current period is longer than the full period of its price."""
        start, end = self.whole_period(anchor)
        return self.period_start < start or self.period_end > end

    def _counted_from(self, anchor: int) -> int:
        return anchor if self.anchor is None else self.anchor

    def _around(self, anchor: int, at: int) -> tuple[int, int]:
        """The period, counted from the anchor, that contains `at`; the first one if `at` is before the anchor."""
        offer = self.offer
        return periods.period_around(anchor, offer.interval, offer.interval_count, anchor, max(anchor, at))

    def _is_boundary(self, anchor: int, at: int) -> bool:
        return self.offer.interval in periods.SECONDS or periods.is_boundary(self._counted_from(anchor), at)

    def _step(self, anchor: int, start: int, periods_on: int) -> int:
        return periods.later(anchor, self.offer.interval, start, periods_on * self.offer.interval_count)
