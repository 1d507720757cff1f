"""The field's objects as an export has them, as far as we take them over; whatever else they carry is counted, not read."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)]
Instant = Annotated[int, Field(ge=0, lt=2**40, strict=True)]
Code = Annotated[str, Field(min_length=1, max_length=255)]
Text = Annotated[str, Field(max_length=5000)]
Currency = Annotated[str, Field(pattern=r"^[a-z]{3}$")]
Metadata = dict[str, str]


def _id_of(value: Any) -> Any:
    """A reference comes as an id, or expanded as the object itself."""
    return value["id"] if isinstance(value, dict) and "id" in value else value


def _data_of(value: Any) -> Any:
    """A nested list comes as a list object."""
    return value["data"] if isinstance(value, dict) and isinstance(value.get("data"), list) else value


Reference = Annotated[Code, BeforeValidator(_id_of)]


class Shape(BaseModel):
    """An object of an export."""

    model_config = ConfigDict(extra="allow")

    id: Code

    def count_unknown(self) -> int:
        """How many members it has that we do not know, its parts included."""
        return len(self.model_extra or {}) - ("object" in (self.model_extra or {}))


class Moded(Shape):
    """An object that lives in test or in live mode."""

    livemode: bool = False
    created: Instant = 0


class AccountShape(Shape):
    created: Instant = 0
    country: str | None = None
    default_currency: Currency | None = None
    business_profile: dict[str, Any] | None = None


class ProductShape(Moded):
    name: Text
    active: bool = True
    description: Text | None = None
    unit_label: Text | None = None
    metadata: Metadata = {}


class RecurringShape(BaseModel):
    interval: Literal["day", "week", "month", "year"]
    interval_count: Annotated[int, Field(ge=1, le=1200)] = 1
    usage_type: Literal["licensed", "metered"] = "licensed"
    trial_period_days: Whole | None = None


class PriceShape(Moded):
    product: Reference
    currency: Currency
    active: bool = True
    nickname: Text | None = None
    lookup_key: Text | None = None
    type: Literal["recurring", "one_time"] = "recurring"
    billing_scheme: Literal["per_unit", "tiered"] = "per_unit"
    unit_amount: Whole | None = None
    unit_amount_decimal: Annotated[str, Field(pattern=r"^-?\d{1,15}(\.\d{1,12})?$")] | None = None
    recurring: RecurringShape | None = None
    tax_behavior: Literal["exclusive", "inclusive", "unspecified"] = "unspecified"
    tiers_mode: Literal["graduated", "volume"] | None = None
    tiers: list[dict[str, Any]] | None = None
    transform_quantity: dict[str, Any] | None = None
    metadata: Metadata = {}


class CouponShape(Moded):
    name: Text | None = None
    percent_off: Annotated[float, Field(gt=0, le=100)] | None = None
    amount_off: Annotated[int, Field(gt=0, lt=2**53)] | None = None
    currency: Currency | None = None
    duration: Literal["once", "repeating", "forever"] = "once"
    duration_in_months: Whole | None = None
    redeem_by: Instant | None = None
    max_redemptions: Whole | None = None
    times_redeemed: Whole = 0
    valid: bool = True
    applies_to: dict[str, list[str]] | None = None
    metadata: Metadata = {}


class InvoiceSettingsShape(BaseModel):
    default_payment_method: Reference | None = None


class CustomerShape(Moded):
    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    description: Text | None = None
    address: dict[str, str | None] | None = None
    shipping: dict[str, Any] | None = None
    balance: Whole = 0
    currency: Currency | None = None
    delinquent: bool | None = False
    invoice_prefix: Text | None = None
    next_invoice_sequence: Whole | None = 1
    invoice_settings: InvoiceSettingsShape = InvoiceSettingsShape()
    preferred_locales: list[str] | None = []
    tax_exempt: str | None = "none"
    metadata: Metadata = {}


class TaxIdShape(Moded):
    customer: Reference
    type: Code
    value: Code
    country: str | None = None
    verification: dict[str, Any] | None = None


class PaymentMethodShape(Moded):
    customer: Reference | None = None
    type: Code
    card: dict[str, Any] | None = None
    sepa_debit: dict[str, Any] | None = None
    us_bank_account: dict[str, Any] | None = None


class DiscountShape(Shape):
    start: Instant = 0
    end: Instant | None = None
    coupon: Reference | None = None
    source: dict[str, Any] | None = None
    promotion_code: Reference | None = None

    @property
    def coupon_id(self) -> str | None:
        """The coupon, where older and newer versions of the objects keep it."""
        found = _id_of((self.source or {}).get("coupon")) or self.coupon
        return str(found) if found else None


class TaxRateShape(BaseModel):
    """A rate as a whole: its percentage decides amounts, so an id alone is not enough."""

    id: Code
    display_name: Text = ""
    percentage: Annotated[Decimal, Field(ge=0, le=100)]
    inclusive: bool


class ItemShape(Shape):
    price: Reference
    quantity: Whole | None = None
    created: Instant = 0
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    tax_rates: list[TaxRateShape] | None = None
    metadata: Metadata = {}


class SubscriptionShape(Moded):
    customer: Reference
    status: Literal[
        "active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"
    ]
    currency: Currency
    description: Text | None = None
    collection_method: Literal["charge_automatically", "send_invoice"] = "charge_automatically"
    days_until_due: Whole | None = None
    start_date: Instant
    billing_cycle_anchor: Instant
    billing_mode: dict[str, Any] | None = None
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    trial_start: Instant | None = None
    trial_end: Instant | None = None
    cancel_at: Instant | None = None
    cancel_at_period_end: bool = False
    canceled_at: Instant | None = None
    ended_at: Instant | None = None
    cancellation_details: dict[str, Any] | None = None
    pause_collection: dict[str, Any] | None = None
    status_details: dict[str, Any] | None = None
    pending_update: dict[str, Any] | None = None
    default_payment_method: Reference | None = None
    latest_invoice: Reference | None = None
    on_behalf_of: Reference | None = None
    items: Annotated[list[ItemShape], BeforeValidator(_data_of)]
    discounts: list[DiscountShape] = []
    default_tax_rates: list[TaxRateShape] | None = None
    metadata: Metadata = {}


class PeriodShape(BaseModel):
    start: Instant
    end: Instant


class LineShape(Shape):
    amount: Whole
    currency: Currency
    description: Text | None = None
    discountable: bool = True
    discount_amounts: list[dict[str, Any]] | None = []
    taxes: list[dict[str, Any]] | None = []
    period: PeriodShape
    quantity: Whole | None = None
    pricing: dict[str, Any] | None = None
    parent: dict[str, Any] | None = None
    proration: bool | None = None

    @property
    def total(self) -> int:
        """What the line adds to its invoice."""
        off = sum(part.get("amount") or 0 for part in self.discount_amounts or ())
        on_top = (tax.get("amount") or 0 for tax in self.taxes or () if tax.get("tax_behavior") == "exclusive")
        return self.amount - off + sum(on_top)

    @property
    def credited_line_id(self) -> str | None:
        """The one line that a credit credits; of several, none can be told from the others."""
        credited = (self.details().get("proration_details") or {}).get("credited_items") or {}
        lines: list[Any] = credited.get("invoice_line_items") or []
        return str(lines[0]) if len(lines) == 1 else None

    def details(self) -> dict[str, Any]:
        """The part of `parent` that tells where the line comes from."""
        parent = self.parent or {}
        return parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}


class InvoiceShape(Moded):
    customer: Reference
    number: Text | None = None
    status: Literal["draft", "open", "paid", "uncollectible", "void"]
    currency: Currency
    billing_reason: str | None = None
    collection_method: Literal["charge_automatically", "send_invoice"] = "charge_automatically"
    description: Text | None = None
    footer: Text | None = None
    period_start: Instant
    period_end: Instant
    due_date: Instant | None = None
    subtotal: Whole
    total: Whole
    total_excluding_tax: Whole | None = None
    amount_due: Whole
    amount_paid: Whole
    amount_remaining: Whole
    starting_balance: Whole = 0
    ending_balance: Whole | None = None
    total_discount_amounts: list[dict[str, Any]] | None = []
    total_taxes: list[dict[str, Any]] | None = []
    attempt_count: Whole = 0
    next_payment_attempt: Instant | None = None
    status_transitions: dict[str, int | None] = {}
    account_name: Text | None = None
    customer_name: Text | None = None
    customer_email: Text | None = None
    customer_phone: Text | None = None
    customer_address: dict[str, str | None] | None = None
    customer_shipping: dict[str, Any] | None = None
    customer_tax_ids: list[dict[str, Any]] | None = []
    on_behalf_of: Reference | None = None
    parent: dict[str, Any] | None = None
    subscription: Reference | None = None
    lines: Annotated[list[LineShape], BeforeValidator(_data_of)]
    metadata: Metadata | None = {}

    @property
    def subscription_id(self) -> str | None:
        """The subscription, where older and newer versions of the objects keep it."""
        details = (self.parent or {}).get("subscription_details") or {}
        found = _id_of(details.get("subscription")) or self.subscription
        return str(found) if found else None


SHAPES: dict[str, type[Shape]] = {
    "account": AccountShape,
    "product": ProductShape,
    "price": PriceShape,
    "coupon": CouponShape,
    "customer": CustomerShape,
    "tax_id": TaxIdShape,
    "payment_method": PaymentMethodShape,
    "subscription": SubscriptionShape,
    "invoice": InvoiceShape,
}
