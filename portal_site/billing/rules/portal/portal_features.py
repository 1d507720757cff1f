"""The options of a portal configuration with their defaults, named as in the Stripe API."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from json import dumps, loads
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from portal_site.billing.rules.portal import safe_urls

UPDATES = ("name", "email", "address", "phone", "shipping", "tax_id")
REASONS = (
    "too_expensive",
    "missing_features",
    "switched_service",
    "unused",
    "customer_service",
    "too_complex",
    "low_quality",
    "other",
)


MOST = 999_999
OFFERS = ("coupon", "pause", "price", "trial", "contact")
LONGEST_EXTENSION = 730  # days by which an offer may extend a free trial
LONGEST_MESSAGE = 500
LONGEST_PAUSE_OF_OFFERS = 120  # months


@dataclass(frozen=True)
class QuantityLimits:
    """The minimum and maximum quantity of a product."""

    minimum: int = 1
    maximum: int = MOST


class _Option:
    """A group of options that can be parsed from a stored document."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The options in a document, with defaults for missing ones. Raises ValueError for an unknown or invalid option."""
        options = {option.name: option for option in fields(cls)}  # type: ignore[arg-type]
        unknown = set(document) - set(options)
        if unknown:
            raise ValueError(f"unknown portal option: {', '.join(sorted(unknown))}")
        try:
            return cls(**{name: _value(options[name].type, value) for name, value in document.items()})
        except TypeError as error:
            raise ValueError(f"a portal option of the wrong kind: {error}") from error


def _value(kind: Any, value: Any) -> Any:
    """The document's value as an instance of the declared type. Raises ValueError if it does not fit."""
    if not _is_of(kind, value):
        raise ValueError(f"a portal option of the wrong kind: {value!r}")
    if isinstance(value, Mapping) and isinstance(kind, type) and is_dataclass(kind):
        return kind.of(value)  # type: ignore[attr-defined]
    if isinstance(value, list):
        element_kind = next(iter(get_args(kind)), None)
        return tuple(_value(element_kind, element) for element in value)
    return value


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a document's value fits an option's declared type."""
    if get_origin(kind) in (Union, UnionType):
        return any(_is_of(member, value) for member in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_is_of(get_args(kind)[0], element) for element in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if is_dataclass(kind) or get_origin(kind) is Mapping:
        return isinstance(value, Mapping)
    return value is None if kind is type(None) else isinstance(value, kind)


@dataclass(frozen=True)
class CustomerUpdate(_Option):
    """Updating billing information. On by default, except for shipping and tax id."""

    enabled: bool = True
    allowed_updates: tuple[str, ...] = ("name", "email", "address", "phone")


@dataclass(frozen=True)
class InvoiceHistory(_Option):
    """The list of invoices and their pages. On by default."""

    enabled: bool = True


@dataclass(frozen=True)
class PaymentMethodUpdate(_Option):
    """Adding, choosing and removing payment methods. On by default."""

    enabled: bool = True


@dataclass(frozen=True)
class CancellationReason(_Option):
    """Asking for a cancellation reason. `feedback_options` are the ids of the merchant's own reasons."""

    enabled: bool = True
    options: tuple[str, ...] = REASONS
    feedback_options: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether the customer is asked: the option is on and there are reasons to choose from."""
        return self.enabled and bool(self.options or self.feedback_options)


@dataclass(frozen=True)
class RetentionOffer(_Option):
    """An offer to a customer who is about to cancel. `type` is one of OFFERS; each type uses one other member.

    `coupon` is a coupon's id, `price` the price id of a cheaper plan, and `days` the extension of a free trial. A contact offer
    has a `url`, or none to use the account's support contacts. `message` is the merchant's text above the offer, up to 500
    characters.
    """

    type: str = ""
    coupon: str | None = None
    price: str | None = None
    days: int | None = None
    url: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an offer that is incomplete or exceeds a limit."""
        needed = {"coupon": self.coupon, "price": self.price, "trial": self.days}
        if self.type not in OFFERS or not needed.get(self.type, True):
            raise ValueError(f"not a retention offer: {self}")
        if self.url is not None and not safe_urls.is_safe(self.url):
            raise ValueError(f"not an address to send customers to: {self.url}")
        if not 0 <= (self.days or 0) <= LONGEST_EXTENSION or len(self.message or "") > LONGEST_MESSAGE:
            raise ValueError(f"a retention offer beyond its limits: {self}")


@dataclass(frozen=True)
class RetentionCondition(_Option):
    """The customers that an offer is for. All members must match; members that are not set match everybody.

    `reasons` are standard reasons or ids of the merchant's own. Ages count from the subscription's start. Amounts are the
    subscription's monthly cost before discounts and tax, in minor units of `currency`.
    """

    reasons: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    minimum_age_days: int | None = None
    maximum_age_days: int | None = None
    minimum_monthly_amount: int | None = None
    maximum_monthly_amount: int | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an amount without a currency."""
        amounts = (self.minimum_monthly_amount, self.maximum_monthly_amount)
        if any(amount is not None for amount in amounts) and not self.currency:
            raise ValueError("a retention rule with an amount needs its currency")


@dataclass(frozen=True)
class RetentionRule(_Option):
    """An offer with the condition for making it."""

    # A rule without an offer is refused, because the default is an invalid offer.
    offer: RetentionOffer = field(default_factory=RetentionOffer)
    when: RetentionCondition = field(default_factory=RetentionCondition)


@dataclass(frozen=True)
class Retention(_Option):
    """Offers to customers who are about to cancel. Off by default. The first matching rule applies, else the `coupon`.

    A customer sees at most one offer in `months_between` months. `holdout_percent` of the customers see none, as a control
    group for measuring the effect of the offers.
    """

    enabled: bool = False
    coupon: str | None = None
    rules: tuple[RetentionRule, ...] = ()
    months_between: int = 12
    holdout_percent: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for numbers out of range."""
        if not 1 <= self.months_between <= LONGEST_PAUSE_OF_OFFERS or not 0 <= self.holdout_percent <= 100:
            raise ValueError("retention: months_between from 1 to 120, holdout_percent from 0 to 100")

    @property
    def all_rules(self) -> tuple[RetentionRule, ...]:
        """The rules, followed by the coupon as a rule without condition; none while offers are off."""
        fallback = (RetentionRule(RetentionOffer("coupon", coupon=self.coupon)),) if self.coupon else ()
        return (*self.rules, *fallback) if self.enabled else ()


@dataclass(frozen=True)
class SubscriptionCancel(_Option):
    """Cancelling. On by default, at the end of the period.

    The labels replace the text of the link and of the button where a law prescribes the wording. With `acknowledgement` the
    customer gets a confirmation of receipt, with the time to the second and a copy to keep.
    """

    enabled: bool = True
    mode: str = "at_period_end"
    proration_behavior: str = "none"
    cancellation_reason: CancellationReason = field(default_factory=CancellationReason)
    retention: Retention = field(default_factory=Retention)
    link_label: str | None = None
    confirm_label: str | None = None
    acknowledgement: bool = False


@dataclass(frozen=True)
class SubscriptionPause(_Option):
    """Pausing for one of `interval_options` ({interval, interval_count}), or until resumed. Off by default."""

    enabled: bool = False
    duration_type: str = "interval_options"
    interval_options: tuple[Mapping[str, Any], ...] = ({"interval": "month", "interval_count": 1},)


@dataclass(frozen=True)
class SubscriptionRestart(_Option):
    """Reactivating a canceled subscription. Off by default."""

    enabled: bool = False


@dataclass(frozen=True)
class SubscriptionUpdate(_Option):
    """Changing plan, quantity, add-ons and promotion code. All off by default.

    `products` is a list of {product, prices, adjustable_quantity}. `add_ons`, which Stripe does not have, is a list of the same
    shape: further products that a customer may add beside the plan, change and remove. Without `adjustable_quantity` a customer
    may have one of an add-on. With `stack_promotion_codes` a code is added to the subscription's discounts; otherwise it
    replaces them, as at Stripe.
    """

    enabled: bool = False
    default_allowed_updates: tuple[str, ...] = ()
    products: tuple[Mapping[str, Any], ...] = ()
    add_ons: tuple[Mapping[str, Any], ...] = ()
    proration_behavior: str = "none"
    billing_cycle_anchor: str = "unchanged"
    schedule_at_period_end: tuple[str, ...] = ()
    trial_update_behavior: str = "end_trial"
    stack_promotion_codes: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a product that is a plan and an add-on, or listed twice as an add-on."""
        product_ids = [product["product"] for product in self.add_ons]
        if len(set(product_ids)) < len(product_ids) or {product["product"] for product in self.products} & set(
            product_ids
        ):
            raise ValueError("an add-on is listed twice, or is one of the plans too")

    @property
    def add_on_ids(self) -> tuple[str, ...]:
        """The product ids of the add-ons, in the merchant's order."""
        return tuple(product["product"] for product in self.add_ons)

    def add_on_price_ids(self, product_id: str) -> tuple[str, ...]:
        """The ids of the offered prices of an add-on, in the merchant's order."""
        return tuple(
            price for product in self.add_ons if product["product"] == product_id for price in product["prices"]
        )

    def add_on_limits(self, product_id: str) -> "QuantityLimits":
        """How many of an add-on a customer may have, apart from none."""
        for product in self.add_ons:
            adjustable = product.get("adjustable_quantity")
            if product["product"] == product_id and adjustable is not None and adjustable["enabled"]:
                return QuantityLimits(adjustable.get("minimum") or 1, adjustable.get("maximum") or MOST)
        return QuantityLimits(1, 1)

    @property
    def all_price_ids(self) -> tuple[str, ...]:
        """The ids of the offered prices of plans and add-ons."""
        return (*self.price_ids, *(price for product in self.add_ons for price in product["prices"]))

    @property
    def price_ids(self) -> tuple[str, ...]:
        """The ids of the offered prices, in the merchant's order."""
        return tuple(price for product in self.products for price in product["prices"])

    def limits(self, product_id: str) -> "QuantityLimits | None":
        """The quantities of this product that a customer may choose, or None if the quantity cannot be changed."""
        if "quantity" not in self.default_allowed_updates:
            return None
        for product in self.products:
            adjustable = product.get("adjustable_quantity")
            if product["product"] == product_id and adjustable is not None:
                if not adjustable["enabled"]:
                    return None
                return QuantityLimits(adjustable.get("minimum") or 1, adjustable.get("maximum") or MOST)
        return QuantityLimits()


@dataclass(frozen=True)
class Features(_Option):
    """All groups of options. `Features()` holds the defaults of a new configuration."""

    customer_update: CustomerUpdate = field(default_factory=CustomerUpdate)
    invoice_history: InvoiceHistory = field(default_factory=InvoiceHistory)
    payment_method_update: PaymentMethodUpdate = field(default_factory=PaymentMethodUpdate)
    subscription_cancel: SubscriptionCancel = field(default_factory=SubscriptionCancel)
    subscription_pause: SubscriptionPause = field(default_factory=SubscriptionPause)
    subscription_restart: SubscriptionRestart = field(default_factory=SubscriptionRestart)
    subscription_update: SubscriptionUpdate = field(default_factory=SubscriptionUpdate)

    def allows(self, feature: str) -> bool:
        """Whether a group of options is enabled, by the group's name."""
        return bool(getattr(self, feature).enabled)

    def without_email(self) -> "Features":
        """The same, without changing the e-mail address."""
        kept = tuple(name for name in self.customer_update.allowed_updates if name != "email")
        return replace(self, customer_update=replace(self.customer_update, allowed_updates=kept))

    def offering(self, coupon_id: str) -> "Features":
        """The same, with this coupon as the only offer to customers who cancel."""
        retention = replace(self.subscription_cancel.retention, enabled=True, coupon=coupon_id, rules=())
        return replace(self, subscription_cancel=replace(self.subscription_cancel, retention=retention))

    def without_offers(self) -> "Features":
        """The same, without offers to customers who cancel."""
        retention = replace(self.subscription_cancel.retention, enabled=False)
        return replace(self, subscription_cancel=replace(self.subscription_cancel, retention=retention))

    def as_document(self) -> dict[str, Any]:
        """All options as the JSON document that is stored."""
        return loads(dumps(asdict(self)))  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def _read(document: str) -> Features:
    return Features.of(loads(document))


def read(document: Mapping[str, Any]) -> Features:
    """The features in a stored document. Raises ValueError for an unknown or invalid option."""
    return _read(dumps(document, sort_keys=True))
