"""Options of a portal configuration that contradict each other, or that customers could make nothing of."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from portal_site.billing.rules.portal.portal_features import Features, SubscriptionUpdate


@dataclass(frozen=True)
class OfferedPrice:
    """What of a price decides whether it can be offered. A one-time price has no interval."""

    product_id: str
    product_name: str
    currency: str
    interval: str | None
    interval_count: int | None


@dataclass(frozen=True)
class Contradiction:
    """What is wrong, in a sentence that says what to do, and the option that it is about."""

    option: str
    words: str


def find(features: Features, prices: Mapping[str, OfferedPrice]) -> list[Contradiction]:
    """All contradictions. `prices` are the account's active ones by id, as far as `features` names them."""
    return [*_of_updates(features), *_of_prices(features.subscription_update, prices), *_of_endings(features)]


def _of_updates(features: Features) -> Iterator[Contradiction]:
    updates = features.subscription_update
    if not updates.enabled:
        return
    if not features.payment_method_update.enabled:
        yield Contradiction(
            "subscription_update.enabled",
            "Customers who change their subscription must be able to add a payment method: switch that on as well.",
        )
    if not updates.default_allowed_updates and not updates.add_ons:
        yield Contradiction("subscription_update.default_allowed_updates", "Choose what customers may change.")
    if "price" in updates.default_allowed_updates and not updates.products:
        yield Contradiction("subscription_update.products", "Choose the plans that customers may switch to.")


def _of_prices(updates: SubscriptionUpdate, prices: Mapping[str, OfferedPrice]) -> Iterator[Contradiction]:
    for product in (*updates.products, *updates.add_ons):
        if not product["prices"]:
            yield Contradiction(
                "subscription_update.products", "Choose at least one price of each product that is offered."
            )
        known = [prices[price] for price in product["prices"] if price in prices]
        offered = [price for price in known if price.interval and price.product_id == product["product"]]
        if len(offered) < len(product["prices"]):
            yield Contradiction(
                "subscription_update.products", "Only active, recurring prices of a product can be offered."
            )
        alike = Counter((price.currency, price.interval, price.interval_count) for price in known)
        for price in known:
            if alike.pop((price.currency, price.interval, price.interval_count), 1) > 1:
                yield Contradiction(
                    "subscription_update.products",
                    f"Two prices of {price.product_name} have the same interval and currency: offer one of them.",
                )


def _of_endings(features: Features) -> Iterator[Contradiction]:
    ends, pauses = features.subscription_cancel, features.subscription_pause
    reasons = ends.cancellation_reason
    if ends.enabled and reasons.enabled and not reasons.asked:
        yield Contradiction(
            "subscription_cancel.cancellation_reason", "Choose at least one reason, or do not ask for one."
        )
    if ends.mode == "at_period_end" and ends.proration_behavior != "none":
        yield Contradiction(
            "subscription_cancel.proration_behavior",
            "What ends with its period leaves no unused time that could be credited.",
        )
    if pauses.enabled and pauses.duration_type == "interval_options" and not pauses.interval_options:
        yield Contradiction("subscription_pause.interval_options", "Choose for how long customers may pause.")
