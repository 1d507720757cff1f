"""Schemas of exported catalogue and customer objects. Subscriptions and invoices are in `billing_schemas`."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from portal_site.billing.importing.schemas.field_types import (
    MOST_AN_AMOUNT,
    Amount,
    Code,
    Count,
    Currency,
    Days,
    HasLivemode,
    Instant,
    Link,
    Metadata,
    Part,
    Reference,
    Shape,
    Text,
    Times,
    UnitAmount,
    UnitAmountDecimal,
)
from portal_site.billing.rules.amounts import promotion_codes


class AddressShape(Part):
    line1: Text | None = None
    line2: Text | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    country: Text | None = None


class BusinessProfileShape(Part):
    name: Text | None = None
    support_address: AddressShape | None = None
    support_email: Text | None = None
    support_phone: Text | None = None
    support_url: Link | None = None


class CompanyShape(Part):
    address: AddressShape | None = None


class AccountTaxIdShape(Part):
    type: Code
    value: Code


class AccountShape(Shape):
    created: Instant = 0
    country: Text | None = None
    default_currency: Currency | None = None
    business_profile: BusinessProfileShape = Field(default_factory=BusinessProfileShape)
    company: CompanyShape = Field(default_factory=CompanyShape)
    # Not a member of Stripe's, which has tax ids without a customer instead; both are taken.
    tax_ids: list[AccountTaxIdShape] = Field(default_factory=list)

    @property
    def address(self) -> AddressShape | None:
        """What customers are told of where the business is, else where the company is. A person's home is nobody's business."""
        places = (self.business_profile.support_address, self.company.address)
        return next((place for place in places if place and any((place.line1, place.city, place.postal_code))), None)


class MarketingFeatureShape(Part):
    name: Text


class ProductShape(HasLivemode):
    id: Code
    name: Text
    active: bool = True
    description: Text | None = None
    unit_label: Text | None = None
    marketing_features: list[MarketingFeatureShape] = Field(default_factory=list)
    updated: Instant | None = None
    metadata: Metadata = Field(default_factory=dict)


class RecurringShape(Part):
    interval: Literal["day", "week", "month", "year"]
    interval_count: Count = 1
    usage_type: Literal["licensed", "metered"] = "licensed"
    trial_period_days: Days | None = None


class TierShape(Part):
    up_to: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    unit_amount: UnitAmount | None = None
    unit_amount_decimal: UnitAmountDecimal | None = None
    flat_amount: UnitAmount | None = None
    flat_amount_decimal: UnitAmountDecimal | None = None

    @model_validator(mode="after")
    def _costs_something(self) -> Self:
        amounts = (self.unit_amount, self.unit_amount_decimal, self.flat_amount, self.flat_amount_decimal)
        if all(amount is None for amount in amounts):
            raise PydanticCustomError("tier", "A tier needs its amount")
        return self


class TransformShape(Part):
    divide_by: Annotated[int, Field(ge=1, lt=2**53)]
    round: Literal["up", "down"] = "up"


class CurrencyOptionShape(Part):
    """What a price costs in another currency than its own."""

    unit_amount: UnitAmount | None = None
    unit_amount_decimal: UnitAmountDecimal | None = None
    tax_behavior: Literal["exclusive", "inclusive", "unspecified"] = "unspecified"
    tiers: Annotated[list[TierShape], Field(max_length=1000)] = Field(default_factory=list)


class PriceShape(HasLivemode):
    id: Code
    product: Reference
    currency: Currency
    active: bool = True
    nickname: Text | None = None
    lookup_key: Text | None = None
    type: Literal["recurring", "one_time"] = "recurring"
    billing_scheme: Literal["per_unit", "tiered"] = "per_unit"
    unit_amount: UnitAmount | None = None
    unit_amount_decimal: UnitAmountDecimal | None = None
    recurring: RecurringShape | None = None
    tax_behavior: Literal["exclusive", "inclusive", "unspecified"] = "unspecified"
    tiers_mode: Literal["graduated", "volume"] | None = None
    tiers: Annotated[list[TierShape], Field(max_length=1000)] = Field(default_factory=list)
    transform_quantity: TransformShape | None = None
    currency_options: dict[str, CurrencyOptionShape] = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _costs_something(self) -> Self:
        """Refuse a price without an amount, which would be free.

        Stripe omits tiers from an export unless they are expanded, so this catches an incomplete export too.
        """
        ends = [tier.up_to for tier in self.tiers]
        limits = [end for end in ends if end is not None]
        ordered = ends[len(limits) :] == [None] and limits == sorted(set(limits)) == ends[:-1]
        if self.billing_scheme == "tiered" and not (self.tiers_mode and ordered):
            words = "A tiered price needs its mode and its tiers, the last without end: export with expand[]=data.tiers"
            raise PydanticCustomError("tiers", words)
        if self.type == "recurring" and self.recurring is None:
            raise PydanticCustomError("recurring", "A recurring price needs its interval")
        amounts = (self.unit_amount, self.unit_amount_decimal)
        if self.type == "recurring" and self.billing_scheme == "per_unit" and amounts == (None, None):
            raise PydanticCustomError("unit_amount", "A price needs its amount")
        return self


class AppliesToShape(Part):
    products: list[Code] | None = None


class CouponShape(HasLivemode):
    id: Code
    name: Text | None = None
    percent_off: Annotated[float, Field(gt=0, le=100)] | None = None
    amount_off: Annotated[int, Field(gt=0, le=MOST_AN_AMOUNT)] | None = None
    currency: Currency | None = None
    duration: Literal["once", "repeating", "forever"] = "once"
    duration_in_months: Count | None = None
    redeem_by: Instant | None = None
    max_redemptions: Times | None = None
    times_redeemed: Times = 0
    valid: bool = True
    applies_to: AppliesToShape = Field(default_factory=AppliesToShape)
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _takes_something_off(self) -> Self:
        if (self.percent_off is None) == (self.amount_off is None or self.currency is None):
            raise PydanticCustomError("coupon", "A coupon needs a percentage, or an amount with its currency")
        return self


class SourceShape(Part):
    coupon: Reference | None = None


class DiscountShape(Shape):
    id: Code
    start: Instant = 0
    end: Instant | None = None
    coupon: Reference | None = None
    source: SourceShape | None = None
    promotion_code: Reference | None = None

    @property
    def coupon_id(self) -> str | None:
        """The id of the coupon, from its place in older or newer API versions."""
        return (self.source and self.source.coupon) or self.coupon

    @model_validator(mode="after")
    def _has_a_coupon(self) -> Self:
        if self.coupon_id is None:
            raise PydanticCustomError("coupon", "A discount needs its coupon")
        return self


def _expanded(value: Any) -> Any:
    """Refuse a discount that is an id: it does not say what the discount takes off."""
    if isinstance(value, str):
        words = "{discount} is an id alone: export with expand[]=data.discounts, or data.items.data.discounts for items"
        raise PydanticCustomError("discount", words, {"discount": value[:80]})
    return value


Discounts = list[Annotated[DiscountShape, BeforeValidator(_expanded)]]


class RestrictionsShape(Part):
    first_time_transaction: bool = False
    minimum_amount: Amount | None = None
    minimum_amount_currency: Currency | None = None


class PromotionCodeShape(HasLivemode):
    code: Annotated[str, Field(min_length=1, max_length=promotion_codes.LONGEST)]
    active: bool = True
    coupon: Reference | None = None
    promotion: SourceShape | None = None
    customer: Reference | None = None
    expires_at: Instant | None = None
    max_redemptions: Times | None = None
    times_redeemed: Times = 0
    restrictions: RestrictionsShape = Field(default_factory=RestrictionsShape)
    metadata: Metadata = Field(default_factory=dict)

    @property
    def coupon_id(self) -> str | None:
        """The id of the coupon, from its place in older or newer API versions."""
        return (self.promotion and self.promotion.coupon) or self.coupon

    @model_validator(mode="after")
    def _has_a_coupon(self) -> Self:
        if self.coupon_id is None:
            raise PydanticCustomError("coupon", "A promotion code needs its coupon")
        return self


class ShippingShape(Part):
    name: Text | None = None
    phone: Text | None = None
    address: AddressShape | None = None


class InvoiceSettingsShape(Part):
    default_payment_method: Reference | None = None


class CustomerShape(HasLivemode):
    id: Code
    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    description: Text | None = None
    address: AddressShape | None = None
    shipping: ShippingShape | None = None
    balance: Amount = 0
    currency: Currency | None = None
    delinquent: bool = False
    discount: DiscountShape | None = None
    invoice_prefix: Text | None = None
    next_invoice_sequence: Annotated[int, Field(ge=1, lt=2**53)] = 1
    invoice_settings: InvoiceSettingsShape = Field(default_factory=InvoiceSettingsShape)
    preferred_locales: list[Text] = Field(default_factory=list)
    tax_exempt: Literal["none", "exempt", "reverse"] = "none"
    metadata: Metadata = Field(default_factory=dict)


class VerificationShape(Part):
    status: Literal["pending", "verified", "unverified", "unavailable"] = "unavailable"
    verified_name: Text | None = None
    verified_address: Text | None = None


class TaxIdOwnerShape(Part):
    type: Text = "self"
    account: Reference | None = None


class TaxIdShape(HasLivemode):
    customer: Reference | None = None
    owner: TaxIdOwnerShape = TaxIdOwnerShape()
    type: Code
    value: Code
    country: Text | None = None
    verification: VerificationShape = Field(default_factory=VerificationShape)

    @property
    def is_the_accounts(self) -> bool:
        """Whether it is one of the merchant's own."""
        return self.customer is None and self.owner.type in ("self", "account")


class MethodShape(Part):
    brand: Text | None = None
    last4: Annotated[str, Field(max_length=4)] = ""
    exp_month: Annotated[int, Field(ge=1, le=12)] | None = None
    exp_year: Annotated[int, Field(ge=1970, lt=4000)] | None = None
    funding: Text | None = None
    country: Text | None = None
    fingerprint: Text | None = None
    # What people recognize it by where it has no digits. The members are named differently for each type.
    email: Text | None = None
    payer_email: Text | None = None
    cashtag: Text | None = None
    vpa: Text | None = None
    pay_id: Text | None = None
    display_name: Text | None = None
    bank: Text | None = None

    @property
    def label(self) -> str | None:
        """An e-mail address, a cashtag or another name that its owner knows it by; None if it has none."""
        bank = self.bank and (self.bank.upper() if len(self.bank) < 4 else self.bank.replace("_", " ").title())
        names = (self.email, self.payer_email, self.cashtag, self.vpa, self.pay_id, self.display_name, bank)
        return next(filter(None, names), None)

    @model_validator(mode="after")
    def _expires_in_a_month(self) -> Self:
        if (self.exp_month is None) != (self.exp_year is None):
            raise PydanticCustomError("expiry", "The month and the year of its end belong together")
        return self


class PaymentMethodShape(HasLivemode):
    customer: Reference | None = None
    type: Code
    card: MethodShape | None = None
    sepa_debit: MethodShape | None = None
    us_bank_account: MethodShape | None = None
    details: MethodShape = Field(default_factory=MethodShape)

    @model_validator(mode="before")
    @classmethod
    def _details_of_its_type(cls, value: Any) -> Any:
        """Put what the member named after its type says into `details`, for the types that are not declared."""
        kind = value.get("type") if isinstance(value, dict) else None
        if isinstance(kind, str) and isinstance(value.get(kind), dict) and kind not in cls.model_fields:
            return {**value, "details": value[kind]}
        return value


class TaxRateShape(Shape):
    """A tax rate of a subscription. It must be expanded in the export: its percentage determines amounts."""

    id: Code
    display_name: Text = ""
    percentage: Annotated[Decimal, Field(ge=0, le=100, max_digits=16, strict=False)]
    inclusive: bool


class CatalogTaxRateShape(TaxRateShape, HasLivemode):
    """A tax rate that can be chosen."""

    active: bool = True
    description: Text | None = None
    country: Text | None = None
    state: Text | None = None
    jurisdiction: Text | None = None
    metadata: Metadata = Field(default_factory=dict)


def _at_most_100_percent(rates: list[TaxRateShape]) -> list[TaxRateShape]:
    """Limit the sum of the rates: the 64-bit limit of amounts allows for 100 % tax (see pricing.MOST_A_UNIT)."""
    if sum(rate.percentage for rate in rates) > 100:
        raise PydanticCustomError("rates", "Tax rates should add up to 100 percent at most")
    return rates


TaxRates = Annotated[list[TaxRateShape], AfterValidator(_at_most_100_percent)]
