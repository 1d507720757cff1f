"""What would be billed when, for the report of an import that stores nothing: the rules get the rows that it would store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from portal_site.billing.importing.objects import ImportedObject, Row
from portal_site.billing.loading import plans, snapshots
from portal_site.billing.loading.plans import PlanRow, Reader
from portal_site.billing.loading.snapshots import DiscountRow, Parts
from portal_site.billing.models import Coupon, Discount, InvoiceLineItem, Price, Product, SubscriptionItem
from portal_site.billing.rules.amounts.items import Item, PricedPlan
from portal_site.billing.rules.subscriptions import forecast
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.rules.subscriptions.statuses import SubscriptionStatus


@dataclass(frozen=True, slots=True)
class ForeseenBill:
    """The next invoice of a subscription, were it billed here. `amount_due` is None where only what is stored can tell it."""

    subscription: str
    customer: str
    livemode: bool
    date: int
    currency: str
    amount_due: int | None


@dataclass
class Foreseeing:
    """Computes the next invoices of a dry run's subscriptions at `at`. It remembers the catalogue, which comes first."""

    at: int
    catalogue: dict[tuple[type[Any], str], Row] = field(default_factory=dict)

    def bills(
        self, reader: Reader, objects: Sequence[ImportedObject], billable: Sequence[ImportedObject]
    ) -> Iterator[ForeseenBill]:
        """The next invoices of the billable subscriptions of a batch, in the order of their dates."""
        for one in objects:
            for row in one.rows:
                if row.model in (Price, Product, Coupon):
                    self.catalogue[row.model, row.id] = row
        customers = {one.id: one.rows[0] for one in objects if one.kind == "customer" and one.rows}
        of_customers: dict[str, list[ImportedObject]] = {}
        for one in billable:
            if SubscriptionStatus(one.rows[0].status).renews and one.rows[0].customer_id in customers:
                of_customers.setdefault(one.rows[0].customer_id, []).append(one)
        for name, subscriptions in of_customers.items():
            yield from self._of_customer(reader, customers[name], subscriptions, objects)

    def _of_customer(
        self, reader: Reader, customer: Row, subscriptions: Sequence[ImportedObject], objects: Sequence[ImportedObject]
    ) -> Iterator[ForeseenBill]:
        mine = [one for one in objects if one.customer == customer.id]
        unclear = {row.subscription_id for one in mine for row in one.parts(InvoiceLineItem) if row.invoice_id is None}
        unclear |= {one.rows[0].subscription_id for one in mine if one.kind == "subscription_schedule" and one.rows}
        rows = [row for one in mine for row in one.parts(Discount)]
        discounts = [terms for row in rows if (terms := self._discount(row)) is not None]
        if len(discounts) < len(rows):
            unclear |= {one.id for one in subscriptions}
        made = {one.id: self._snapshot(reader, one, customer, discounts) for one in subscriptions}
        known = {name: snapshot for name, snapshot in made.items() if snapshot is not None}
        if not known:
            return
        state = forecast.CustomerState.of(next(iter(known.values())))
        for name, bill in forecast.forecast(known.values(), state).items():
            if bill is not None and bill.date > self.at:
                due = None if name in unclear or bill.varies else bill.amount_due
                yield ForeseenBill(name, customer.id, customer.livemode, bill.date, bill.currency, due)

    def _snapshot(
        self, reader: Reader, one: ImportedObject, customer: Row, discounts: Sequence[DiscountRow]
    ) -> SubscriptionSnapshot | None:
        row = cast(Any, SimpleNamespace(**one.rows[0].values, step_at=None))
        items = list(one.parts(SubscriptionItem))
        found = self._plans(reader, [item.price_id for item in items])
        if not items or any(item.price_id not in found for item in items):
            return None
        parts = [self._item(item, found) for item in sorted(items, key=lambda item: (item.created, item.id))]
        terms = [snapshots.discount_of(each, self.at) for each in discounts if not each["end"] or each["end"] > self.at]
        return snapshots.build(row, cast(Any, customer), Parts(parts, terms))

    @staticmethod
    def _item(item: Row, found: Mapping[str, PricedPlan]) -> Item:
        return snapshots.item_of(cast(Any, item), found[item.price_id])

    def _plans(self, reader: Reader, ids: Sequence[str]) -> dict[str, PricedPlan]:
        made, missing = {}, []
        for name in ids:
            price = self.catalogue.get((Price, name))
            product = self.catalogue.get((Product, price.product_id)) if price else None
            if price is None or product is None:
                missing.append(name)
                continue
            row: Any = {
                **price.values, "price_id": name, "price_currency": price.currency, "product": product.values["name"],
                "unit_label": product.unit_label,
            }  # fmt: skip
            made[name] = plans.priced_plan(cast(PlanRow, row))
        return {**made, **(plans.load_plans(reader, None, missing) if missing else {})}

    def _discount(self, row: Row) -> DiscountRow | None:
        """The terms of a discount; None for one whose coupon came with an earlier import only."""
        coupon = self.catalogue.get((Coupon, row.coupon_id))
        if coupon is None:
            return None
        names = ("id", "customer_id", "subscription_id", "subscription_item_id", "start", "end")
        terms = ("duration", "percent_off", "amount_off", "applies_to_products")
        values = {name: row.values[name] for name in names} | {name: coupon.values[name] for name in terms}
        return cast(DiscountRow, {**values, "coupon_currency": coupon.currency})
