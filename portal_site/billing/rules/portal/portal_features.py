"""Every option of a portal configuration with its default, in the field's names; what the options do is not decided here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
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
LONGEST_EXTENSION = 730  # days by which a free trial may be made longer
LONGEST_MESSAGE = 500
LONGEST_PAUSE_OF_OFFERS = 120  # months


@dataclass(frozen=True)
class QuantityLimits:
    """The least and the most of a product."""

    minimum: int = 1
    maximum: int = MOST


class _Option:
    """A group of options that can be read from a document; members that it does not know are an error."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        known = {option.name: option for option in fields(cls)}  # type: ignore[arg-type]
        unknown = set(document) - set(known)
        if unknown:
            raise ValueError(f"unknown portal option: {', '.join(sorted(unknown))}")
        try:
            return cls(**{name: _value(known[name].type, value) for name, value in document.items()})
        except TypeError as error:
            raise ValueError(f"a portal option of the wrong kind: {error}") from error


def _value(kind: Any, value: Any) -> Any:
    if not _is_of(kind, value):
        raise ValueError(f"a portal option of the wrong kind: {value!r}")
    if isinstance(value, Mapping) and isinstance(kind, type) and is_dataclass(kind):
        return kind.of(value)  # type: ignore[attr-defined]
    if isinstance(value, list):
        each = next(iter(get_args(kind)), None)
        return tuple(_value(each, one) for one in value)
    return value


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value of a document may stand where an option of this kind is declared."""
    if get_origin(kind) in (Union, UnionType):
        return any(_is_of(one, value) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_is_of(get_args(kind)[0], one) for one in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if is_dataclass(kind) or get_origin(kind) is Mapping:
        return isinstance(value, Mapping)
    return value is None if kind is type(None) else isinstance(value, kind)


@dataclass(frozen=True)
class CustomerUpdate(_Option):
    """Billing information: on, with shipping and tax id off."""

    enabled: bool = True
    allowed_updates: tuple[str, ...] = ("name", "email", "address", "phone")


@dataclass(frozen=True)
class InvoiceHistory(_Option):
    """The list of invoices and their pages."""

    enabled: bool = True


@dataclass(frozen=True)
class PaymentMethodUpdate(_Option):
    """Adding, choosing and removing payment methods."""

    enabled: bool = True


@dataclass(frozen=True)
class CancellationReason(_Option):
    """Asking why; `feedback_options` are the merchant's own reasons."""

    enabled: bool = True
    options: tuple[str, ...] = REASONS
    feedback_options: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether there is something to choose from."""
        return self.enabled and bool(self.options or self.feedback_options)


@dataclass(frozen=True)
class RetentionOffer(_Option):
    """What is offered to a customer who wants to leave: one of OFFERS, with the member that its type needs.

    The id of a `coupon`; the `price` id of a cheaper plan; the `days` by which a free trial is made longer; for contact a `url`,
    or none where the account's own support will do. `message` is the merchant's sentence above it, up to 500 characters.
    """

    type: str = ""
    coupon: str | None = None
    price: str | None = None
    days: int | None = None
    url: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an offer that could never be made."""
        needed = {"coupon": self.coupon, "price": self.price, "trial": self.days}
        if self.type not in OFFERS or not needed.get(self.type, True):
            raise ValueError(f"not a retention offer: {self}")
        if self.url is not None and not safe_urls.is_safe(self.url):
            raise ValueError(f"not an address to send customers to: {self.url}")
        if not 0 <= (self.days or 0) <= LONGEST_EXTENSION or len(self.message or "") > LONGEST_MESSAGE:
            raise ValueError(f"a retention offer beyond its limits: {self}")


@dataclass(frozen=True)
class RetentionCondition(_Option):
    """Whom an offer fits. Each member narrows it; what is not named does not matter.

    `reasons` are standard ones or ids of the merchant's own, ages count from the subscription's start, and amounts are what it
    costs a month before discounts and tax, in minor units of `currency`.
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
        """Raise ValueError for an amount of no currency."""
        amounts = (self.minimum_monthly_amount, self.maximum_monthly_amount)
        if any(amount is not None for amount in amounts) and not self.currency:
            raise ValueError("a retention rule with an amount needs its currency")


@dataclass(frozen=True)
class RetentionRule(_Option):
    """An offer, and whom it fits."""

    offer: RetentionOffer = field(
        default_factory=RetentionOffer
    )  # none at all is refused as one that could not be made
    when: RetentionCondition = field(default_factory=RetentionCondition)


@dataclass(frozen=True)
class Retention(_Option):
    """What is offered to customers who want to leave: off. The first of `rules` that fits, else the `coupon`.

    Nobody is made more than one offer in `months_between`; `holdout_percent` of the customers are made none, so that what the
    offers bring can be compared.
    """

    enabled: bool = False
    coupon: str | None = None
    rules: tuple[RetentionRule, ...] = ()
    months_between: int = 12
    holdout_percent: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that mean nothing."""
        if not 1 <= self.months_between <= LONGEST_PAUSE_OF_OFFERS or not 0 <= self.holdout_percent <= 100:
            raise ValueError("retention: months_between from 1 to 120, holdout_percent from 0 to 100")

    @property
    def all_rules(self) -> tuple[RetentionRule, ...]:
        """The rules, the coupon for everybody as the last of them; none while offers are off."""
        everybody = (RetentionRule(RetentionOffer("coupon", coupon=self.coupon)),) if self.coupon else ()
        return (*self.rules, *everybody) if self.enabled else ()


@dataclass(frozen=True)
class SubscriptionCancel(_Option):
    """Cancelling: on, at the end of the period.

    The labels take the place of the words on the link and on the button, where a law prescribes them; `acknowledgement`
    shows what was received when, to the second, with a copy to keep.
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
    """Pausing for one of `interval_options` ({interval, interval_count}), or until resumed."""

    enabled: bool = False
    duration_type: str = "interval_options"
    interval_options: tuple[Mapping[str, Any], ...] = ({"interval": "month", "interval_count": 1},)


@dataclass(frozen=True)
class SubscriptionRestart(_Option):
    """Beginning an ended subscription again: off."""

    enabled: bool = False


@dataclass(frozen=True)
class SubscriptionUpdate(_Option):
    """Changing plan, quantity and promotion code: all off. `products` is a list of {product, prices, adjustable_quantity}."""

    enabled: bool = False
    default_allowed_updates: tuple[str, ...] = ()
    products: tuple[Mapping[str, Any], ...] = ()
    proration_behavior: str = "none"
    billing_cycle_anchor: str = "unchanged"
    schedule_at_period_end: tuple[str, ...] = ()
    trial_update_behavior: str = "end_trial"

    @property
    def price_ids(self) -> tuple[str, ...]:
        """The prices that are offered, in the merchant's order."""
        return tuple(price for product in self.products for price in product["prices"])

    def limits(self, product_id: str) -> "QuantityLimits | None":
        """Between which quantities a customer may choose of this product, or None when not at all."""
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
    """All groups. `Features()` is what a new configuration begins with."""

    customer_update: CustomerUpdate = field(default_factory=CustomerUpdate)
    invoice_history: InvoiceHistory = field(default_factory=InvoiceHistory)
    payment_method_update: PaymentMethodUpdate = field(default_factory=PaymentMethodUpdate)
    subscription_cancel: SubscriptionCancel = field(default_factory=SubscriptionCancel)
    subscription_pause: SubscriptionPause = field(default_factory=SubscriptionPause)
    subscription_restart: SubscriptionRestart = field(default_factory=SubscriptionRestart)
    subscription_update: SubscriptionUpdate = field(default_factory=SubscriptionUpdate)

    def allows(self, feature: str) -> bool:
        """Whether a group of options is switched on, by the group's name."""
        return bool(getattr(self, feature).enabled)

    def as_document(self) -> dict[str, Any]:
        """The options as they are stored: JSON, complete."""
        return loads(dumps(asdict(self)))  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def _read(document: str) -> Features:
    return Features.of(loads(document))


def read(document: Mapping[str, Any]) -> Features:
    """The features in a stored document. Raises ValueError for an option that does not exist."""
    return _read(dumps(document, sort_keys=True))
