"""What a customer may ask for in the portal: the plans, quantities and add-ons that a configuration offers.

It turns the customer's request into the wanted items of a quote, or refuses it. What the change costs is none of its concern.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.items import Item, ItemSpec, PricedPlan
from portal_site.billing.rules.portal.portal_features import QuantityLimits, SubscriptionUpdate
from portal_site.billing.rules.subscriptions import plan_change
from portal_site.billing.rules.subscriptions.item_changes import ProrationPolicy
from portal_site.billing.rules.subscriptions.snapshot import SubscriptionSnapshot
from portal_site.billing.translation_marks import N_

Choice = tuple[str | None, int | None]  # price id and quantity, None for unchanged


@dataclass(frozen=True)
class PlanChangeRequest:
    """What a customer asks for. What is not mentioned stays as it is.

    `items` are choices by item id; `add_ons` are choices by product id, with quantity 0 to remove an add-on. `code_id` is a
    promotion code's id. `coupon_id` is a coupon that the merchant has put into the flow of the customer's link.
    """

    items: Mapping[str, Choice] = field(default_factory=dict)
    code_id: str | None = None
    add_ons: Mapping[str, Choice] = field(default_factory=dict)
    coupon_id: str | None = None


@dataclass(frozen=True)
class AddOn:
    """A further product: its offered prices, the limits of its quantity, and the item that the subscription has of it."""

    product_id: str
    plans: tuple[PricedPlan, ...]
    limits: QuantityLimits
    item: Item | None

    def plan(self, price_id: str | None) -> PricedPlan | None:
        """The offered price with this id. Without one, the current price, or else the first one."""
        current = self.item.offer.price_id if self.item else self.plans[0].price_id
        return next((plan for plan in self.plans if plan.price_id == (price_id or current)), None)


@dataclass(frozen=True)
class PortalPolicy:
    """A subscription, the configuration's options for changing it, and the offered plans by price id."""

    snapshot: SubscriptionSnapshot
    features: SubscriptionUpdate
    offers: Mapping[str, PricedPlan]

    @property
    def proration(self) -> ProrationPolicy:
        """How changes are billed."""
        features = self.features
        return ProrationPolicy(
            features.proration_behavior,
            features.billing_cycle_anchor or "unchanged",
            features.schedule_at_period_end,
            features.trial_update_behavior,
        )

    @property
    def plan_items(self) -> tuple[Item, ...]:
        """The items that are not add-ons."""
        return tuple(item for item in self.snapshot.items if item.offer.product_id not in self.features.add_on_ids)

    def why_not_changeable(self, at: int) -> BillingError | None:
        """Why the subscription cannot be changed now, or None. Who pays for usage only may still have add-ons."""
        return plan_change.why_not_changeable(self.snapshot, at, has_add_ons=bool(self.add_ons))

    def plans_for(self, item: Item) -> list[PricedPlan]:
        """The plans that an item may change to, its own first; none for metered items and for add-ons.

        Products that another item has are left out. An item beside one of an offered product is no plan itself, and only
        its quantity can change: storage does not become the plan that it is stored for.
        """
        if item.offer.terms.metered or item.offer.product_id in self.features.add_on_ids:
            return []
        if self._is_beside_a_plan(item):
            return [item.offer]
        other_product_ids = {other.offer.product_id for other in self.snapshot.items if other.id != item.id}
        compatible = [
            plan
            for plan in self._offered(self.features.price_ids)
            if plan.product_id not in other_product_ids
            and plan.price_id != item.offer.price_id
            and plan_change.incompatibility([item], plan, self.snapshot.currency) is None
        ]
        return [item.offer, *(compatible if "price" in self.features.default_allowed_updates else [])]

    def _is_beside_a_plan(self, item: Item) -> bool:
        offered = {plan.product_id for plan in self._offered(self.features.price_ids)}
        others = (other for other in self.plan_items if other.id != item.id and not other.offer.terms.metered)
        return item.offer.product_id not in offered and any(other.offer.product_id in offered for other in others)

    def incompatibility(self) -> BillingError | None:
        """Why none of the offered plans is compatible with any item; None if one is, or if plans cannot be changed."""
        items = [item for item in self.plan_items if not item.offer.terms.metered]
        if "price" not in self.features.default_allowed_updates or any(len(self.plans_for(item)) > 1 for item in items):
            return None
        reasons = (
            plan_change.incompatibility([item], plan, self.snapshot.currency)
            for item in items
            for plan in self._offered(self.features.price_ids)
        )
        return next((reason for reason in reasons if reason is not None), None)

    @property
    def add_ons(self) -> list[AddOn]:
        """The add-ons that the subscription has or may have, in the merchant's order."""
        add_ons = (self._add_on(product_id) for product_id in self.features.add_on_ids)
        return [add_on for add_on in add_ons if add_on is not None]

    def _add_on(self, product_id: str) -> AddOn | None:
        items = [item for item in self.snapshot.items if item.offer.product_id == product_id]
        if any(item.offer.terms.metered for item in items):
            return None
        item = items[0] if items else None
        compatible = [
            plan
            for plan in self._offered(self.features.add_on_price_ids(product_id))
            if plan_change.incompatibility(self.snapshot.items, plan, self.snapshot.currency) is None
            and self._has_billable_interval(plan)
        ]
        own = [] if item is None else [item.offer]
        plans = (*own, *(plan for plan in compatible if plan not in own))
        return AddOn(product_id, plans, self.features.add_on_limits(product_id), item) if plans else None

    def _has_billable_interval(self, plan: PricedPlan) -> bool:
        """Whether the subscription can have the plan's interval: a classic one has the same for all items, as at Stripe."""
        cycles = {item.offer.cycle for item in self.snapshot.items}
        return self.snapshot.billing_mode != "classic" or plan.cycle in cycles

    def _offered(self, price_ids: Iterable[str]) -> list[PricedPlan]:
        return [self.offers[price_id] for price_id in price_ids if price_id in self.offers]

    # --- the customer's request ---------------------------------------------------------------------------------------

    def target(self, request: PlanChangeRequest) -> tuple[ItemSpec, ...]:
        """The wanted items of a request. Raises BillingError for what is not offered, with the form's field as `param`."""
        if set(request.items) - {item.id for item in self.snapshot.items}:
            raise BillingError(N_("Choose an item of your subscription."), "resource_missing", "items")
        add_ons = {add_on.product_id: add_on for add_on in self.add_ons}
        if set(request.add_ons) - set(add_ons):
            raise BillingError(N_("Choose one of the add-ons on this page."), "product_not_offered", "add_ons")
        chosen = {
            product_id: self._add_on_spec(add_ons[product_id], *choice)
            for product_id, choice in request.add_ons.items()
        }
        changed_add_ons = {add_ons[product_id].item: spec for product_id, spec in chosen.items()}
        kept = []
        for item in self.snapshot.items:
            if item in changed_add_ons:
                spec = changed_add_ons[item]
            elif item.id in request.items and not item.offer.terms.metered:
                spec = self._item_spec(item, *request.items[item.id])
            else:
                spec = item.spec
            kept += [spec] if spec else []
        self._check_duplicate_products(kept)
        if not kept:
            raise BillingError(N_("A subscription needs at least one item. Cancel it instead."), "no_items", "add_ons")
        return (*kept, *(spec for spec in chosen.values() if spec and spec.id is None))

    def _item_spec(self, item: Item, price_id: str | None, quantity: int | None) -> ItemSpec:
        plan = next((plan for plan in self.plans_for(item) if plan.price_id == (price_id or item.offer.price_id)), None)
        if plan is None and (price_id, quantity) in ((item.offer.price_id, item.quantity), (None, None)):
            return item.spec
        if plan is None:
            raise BillingError(N_("Choose one of the plans on this page."), "price_not_offered", f"price-{item.id}")
        same_price = plan.price_id == item.offer.price_id
        if same_price and quantity in (None, item.quantity):
            return item.spec
        limits = self.features.limits(plan.product_id)
        param = f"quantity-{item.id}"
        quantity = item.quantity or 0 if quantity is None else quantity
        if limits is None and not same_price and quantity in (1, item.quantity):
            return ItemSpec(plan, 1, item.id)  # a plan whose quantity cannot be chosen has quantity 1
        if limits is None:
            raise BillingError(
                N_("The quantity of this plan cannot be changed here."), "quantity_not_adjustable", param
            )
        return ItemSpec(plan, _within(limits, quantity, param), item.id)

    def _add_on_spec(self, add_on: AddOn, price_id: str | None, quantity: int | None) -> ItemSpec | None:
        """The wanted item of an add-on; None if it is removed, or not added."""
        item, plan = add_on.item, add_on.plan(price_id)
        if plan is None:
            raise BillingError(
                N_("Choose one of the prices on this page."), "price_not_offered", f"price-{add_on.product_id}"
            )
        if quantity is None:
            quantity = (item.quantity or 0) if item else 0
        if quantity == 0:
            return None
        if item is not None and not item.differs_from(ItemSpec(plan, quantity)):
            return item.spec
        param = f"quantity-{add_on.product_id}"
        return ItemSpec(plan, _within(add_on.limits, quantity, param), item.id if item else None)

    def _check_duplicate_products(self, target: Iterable[ItemSpec]) -> None:
        """Raise BillingError if an item would change to a product that another item has."""
        product_ids = {spec.id: spec.offer.product_id for spec in target}
        for item in self.snapshot.items:
            product_id = product_ids.get(item.id, item.offer.product_id)
            is_duplicate = list(product_ids.values()).count(product_id) > 1
            if is_duplicate and product_id != item.offer.product_id:
                raise BillingError(
                    N_("Another item of your subscription already has this plan."),
                    "duplicate_product",
                    f"price-{item.id}",
                )


def _within(limits: QuantityLimits, quantity: int, param: str) -> int:
    """The quantity. Raises BillingError if it exceeds the limits."""
    if not limits.minimum <= quantity <= limits.maximum:
        raise BillingError(
            N_("Choose a quantity from %(least)s to %(most)s."), "quantity_invalid", param,
            least=limits.minimum, most=limits.maximum,
        )  # fmt: skip
    return quantity
