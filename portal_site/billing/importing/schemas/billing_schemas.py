"""Schemas of exported subscriptions, subscription schedules and invoices."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from portal_site.billing.importing.schemas.catalog_schemas import AddressShape, Discounts, ShippingShape, TaxRates
from portal_site.billing.importing.schemas.field_types import (
    DATA,
    MOST_AN_AMOUNT,
    Amount,
    Code,
    Currency,
    Days,
    HasLivemode,
    Instant,
    Metadata,
    Part,
    Precise,
    Quantity,
    Reference,
    Shape,
    Text,
    Times,
)
from portal_site.db.json_columns import JsonObject

MOST_ITEMS = 20  # Stripe's limit

CollectionMethod = Literal["charge_automatically", "send_invoice"]


class ItemShape(Shape):
    id: Code
    price: Reference
    quantity: Quantity | None = None
    created: Instant = 0
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    tax_rates: TaxRates = Field(default_factory=list)
    discounts: Discounts = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class AutomaticTaxShape(Part):
    enabled: bool = False


class BillingModeShape(Part):
    type: Literal["classic", "flexible"] = "classic"


class CancellationShape(Part):
    comment: Text | None = None
    feedback: Text | None = None
    reason: Text | None = None


class PauseCollectionShape(Part):
    behavior: Literal["keep_as_draft", "mark_uncollectible", "void"]
    resumes_at: Instant | None = None


class PausedShape(Part):
    type: Text | None = None
    transitioned_at: Instant | None = None
    resumes_at: Instant | None = None


class StatusDetailsShape(Part):
    paused: PausedShape | None = None


class EndBehaviorShape(Part):
    missing_payment_method: Literal["cancel", "create_invoice", "pause"] = "create_invoice"


class TrialSettingsShape(Part):
    end_behavior: EndBehaviorShape = Field(default_factory=EndBehaviorShape)


class SubscriptionShape(HasLivemode):
    customer: Reference
    status: Literal[
        "active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"
    ]
    currency: Currency
    description: Text | None = None
    collection_method: CollectionMethod = "charge_automatically"
    days_until_due: Days | None = None
    start_date: Instant
    billing_cycle_anchor: Instant
    billing_mode: BillingModeShape = Field(default_factory=BillingModeShape)
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    trial_start: Instant | None = None
    trial_end: Instant | None = None
    trial_settings: TrialSettingsShape | None = None
    cancel_at: Instant | None = None
    cancel_at_period_end: bool = False
    canceled_at: Instant | None = None
    ended_at: Instant | None = None
    cancellation_details: CancellationShape | None = None
    pause_collection: PauseCollectionShape | None = None
    status_details: StatusDetailsShape | None = None
    # Read only to count and report it. The update is not imported, because the other system collects its payment and applies it.
    pending_update: JsonObject | None = None
    default_payment_method: Reference | None = None
    latest_invoice: Reference | None = None
    on_behalf_of: Reference | None = None
    items: Annotated[list[ItemShape], DATA, Field(min_length=1, max_length=MOST_ITEMS)]
    discounts: Discounts = Field(default_factory=list)
    automatic_tax: AutomaticTaxShape = Field(default_factory=AutomaticTaxShape)
    default_tax_rates: TaxRates = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class PhaseDiscountShape(Part):
    """What a phase takes off: a new discount from a coupon or a promotion code, or one that is there already."""

    coupon: Reference | None = None
    promotion_code: Reference | None = None
    discount: Reference | None = None


class PhaseItemShape(Part):
    price: Reference
    quantity: Quantity | None = None


class PhaseShape(Part):
    start_date: Instant
    end_date: Instant | None = None
    proration_behavior: Literal["none", "create_prorations", "always_invoice"] = "create_prorations"
    discounts: list[PhaseDiscountShape] = Field(default_factory=list)
    items: Annotated[list[PhaseItemShape], DATA, Field(min_length=1, max_length=MOST_ITEMS)]


class CurrentPhaseShape(Part):
    start_date: Instant = 0
    end_date: Instant | None = None


class ScheduleShape(HasLivemode):
    customer: Reference
    subscription: Reference | None = None
    status: Literal["active", "canceled", "completed", "not_started", "released"]
    end_behavior: Literal["cancel", "none", "release", "renew"] = "release"
    released_at: Instant | None = None
    canceled_at: Instant | None = None
    completed_at: Instant | None = None
    current_phase: CurrentPhaseShape = Field(default_factory=CurrentPhaseShape)
    phases: list[PhaseShape]
    metadata: Metadata = Field(default_factory=dict)


class PeriodShape(Part):
    start: Instant
    end: Instant


class DiscountAmountShape(Part):
    amount: Amount
    discount: Reference


class TaxRateDetailsShape(Part):
    tax_rate: Reference | None = None


class TaxShape(Part):
    amount: Amount
    tax_behavior: Literal["exclusive", "inclusive"]
    taxable_amount: Amount | None = None
    tax_rate_details: TaxRateDetailsShape | None = None


class PriceDetailsShape(Part):
    price: Reference | None = None
    product: Reference | None = None


class PricingShape(Part):
    price_details: PriceDetailsShape = Field(default_factory=PriceDetailsShape)
    unit_amount_decimal: Precise | None = None


class CreditedItemsShape(Part):
    invoice_line_items: list[Reference] = Field(default_factory=list)


class ProrationDetailsShape(Part):
    credited_items: CreditedItemsShape = Field(default_factory=CreditedItemsShape)


class OriginShape(Part):
    subscription: Reference | None = None
    subscription_item: Reference | None = None
    proration: bool = False
    proration_details: ProrationDetailsShape = Field(default_factory=ProrationDetailsShape)

    @property
    def credited_line_id(self) -> str | None:
        """The id of the line that a credit refers to; None if it refers to several, since they cannot be told apart."""
        lines = self.proration_details.credited_items.invoice_line_items
        return lines[0] if len(lines) == 1 else None


class LineParentShape(Part):
    subscription_item_details: OriginShape | None = None
    invoice_item_details: OriginShape | None = None


class LineShape(Shape):
    id: Code
    amount: Amount
    currency: Currency
    description: Text | None = None
    discountable: bool = True
    discount_amounts: list[DiscountAmountShape] = Field(default_factory=list)
    taxes: list[TaxShape] = Field(default_factory=list)
    period: PeriodShape
    quantity: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    pricing: PricingShape = Field(default_factory=PricingShape)
    parent: LineParentShape = Field(default_factory=LineParentShape)
    proration: bool = False

    @property
    def total(self) -> int:
        """The line's part of the invoice's total in minor units: amount − discounts + exclusive taxes."""
        off = sum([part.amount for part in self.discount_amounts])  # lists: generators take twice as long here
        return self.amount - off + sum([tax.amount for tax in self.taxes if tax.tax_behavior == "exclusive"])

    @property
    def origin(self) -> OriginShape:
        """The subscription item that the line bills, from its place in older or newer API versions."""
        details = self.parent.subscription_item_details or self.parent.invoice_item_details
        return details or OriginShape(proration=self.proration)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if abs(self.total) > MOST_AN_AMOUNT:
            raise PydanticCustomError("total", "Its amounts add up to more than an invoice can have")
        return self


class TransitionsShape(Part):
    finalized_at: Instant | None = None
    paid_at: Instant | None = None
    voided_at: Instant | None = None
    marked_uncollectible_at: Instant | None = None


class PrintedTaxIdShape(Part):
    type: Code
    value: Text | None = None


class SubscriptionDetailsShape(Part):
    subscription: Reference | None = None


class InvoiceParentShape(Part):
    subscription_details: SubscriptionDetailsShape = Field(default_factory=SubscriptionDetailsShape)


class InvoiceShape(HasLivemode):
    customer: Reference
    number: Text | None = None
    status: Literal["draft", "open", "paid", "uncollectible", "void"]
    currency: Currency
    billing_reason: Text | None = None
    collection_method: CollectionMethod = "charge_automatically"
    description: Text | None = None
    footer: Text | None = None
    period_start: Instant
    period_end: Instant
    due_date: Instant | None = None
    subtotal: Amount
    total: Amount
    total_excluding_tax: Amount | None = None
    amount_due: Amount
    amount_paid: Amount
    amount_remaining: Amount
    starting_balance: Amount = 0
    ending_balance: Amount | None = None
    total_discount_amounts: list[DiscountAmountShape] = Field(default_factory=list)
    total_taxes: list[TaxShape] = Field(default_factory=list)
    pre_payment_credit_notes_amount: Amount = 0
    post_payment_credit_notes_amount: Amount = 0
    attempt_count: Times = 0
    next_payment_attempt: Instant | None = None
    status_transitions: TransitionsShape = Field(default_factory=TransitionsShape)
    account_name: Text | None = None
    account_tax_ids: list[Reference] = Field(default_factory=list)
    customer_name: Text | None = None
    customer_email: Text | None = None
    customer_phone: Text | None = None
    customer_address: AddressShape | None = None
    customer_shipping: ShippingShape | None = None
    customer_tax_ids: list[PrintedTaxIdShape] = Field(default_factory=list)
    customer_tax_exempt: Literal["none", "exempt", "reverse"] | None = None
    on_behalf_of: Reference | None = None
    parent: InvoiceParentShape = Field(default_factory=InvoiceParentShape)
    subscription: Reference | None = None
    lines: Annotated[list[LineShape], DATA]
    metadata: Metadata = Field(default_factory=dict)

    @property
    def subscription_id(self) -> str | None:
        """The id of the subscription, from its place in older or newer API versions."""
        return self.parent.subscription_details.subscription or self.subscription

    @property
    def subtotal_of_lines(self) -> int:
        """The subtotal before all discounts. Stripe's has those of lines taken off already, and `total_discount_amounts` too."""
        lines = sum(line.amount for line in self.lines)
        off = sum(part.amount for part in self.total_discount_amounts)
        added = sum(tax.amount for tax in self.total_taxes if tax.tax_behavior == "exclusive")
        return lines if lines - off + added == self.total else self.subtotal


class InvoiceItemParentShape(Part):
    subscription_details: OriginShape = Field(default_factory=OriginShape)


class InvoiceItemShape(HasLivemode):
    """A pending line. `date` is when it was made."""

    id: Code
    customer: Reference
    amount: Amount
    currency: Currency
    date: Instant = 0
    description: Text | None = None
    discountable: bool = True
    discounts: Discounts = Field(default_factory=list)
    invoice: Reference | None = None
    period: PeriodShape
    proration: bool = False
    quantity: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    pricing: PricingShape = Field(default_factory=PricingShape)
    parent: InvoiceItemParentShape = Field(default_factory=InvoiceItemParentShape)
    tax_rates: TaxRates = Field(default_factory=list)


Reduced = Annotated[int, Field(ge=0, le=MOST_AN_AMOUNT)]


class CreditNoteLineShape(Shape):
    """A part of a credit note: of a line of the invoice, or of the invoice as a whole if it names none."""

    id: Code
    amount: Reduced
    discount_amount: Reduced = 0
    description: Text | None = None
    invoice_line_item: Reference | None = None
    taxes: list[TaxShape] = Field(default_factory=list)

    @property
    def net(self) -> int:
        """What it takes off before exclusive taxes, in minor units; Stripe's `amount` is before the line's discounts."""
        return max(0, self.amount - self.discount_amount)

    @property
    def total(self) -> int:
        """What it takes off in all."""
        return self.net + sum(tax.amount for tax in self.taxes if tax.tax_behavior == "exclusive")


class CreditNoteShape(HasLivemode):
    """A credit note. Its invoice has the sums of all of its own; this one tells which lines it takes them off."""

    customer: Reference
    invoice: Reference
    status: Literal["issued", "void"] = "issued"
    number: Text
    currency: Currency
    amount: Reduced
    pre_payment_amount: Reduced = 0
    post_payment_amount: Reduced = 0
    reason: Text | None = None
    lines: Annotated[list[CreditNoteLineShape], DATA] = Field(default_factory=list)
