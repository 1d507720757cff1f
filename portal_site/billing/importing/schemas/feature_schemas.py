"""Schema of an exported portal configuration, and its conversion to `rules.portal.portal_features`.

A feature that is missing in the export is off. Members that this program does not support are counted and ignored.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from portal_site.billing.importing.schemas.field_types import (
    Code,
    Count,
    HasLivemode,
    Instant,
    Link,
    Metadata,
    Part,
    Quantity,
    Text,
)
from portal_site.billing.rules.portal.portal_features import MOST, Features, Retention, SubscriptionUpdate
from portal_site.db.json_columns import JsonObject

Proration = Literal["none", "create_prorations", "always_invoice"]


def _valid_retention(document: JsonObject) -> JsonObject:
    Retention.of(document)  # raises ValueError
    return document


class ToggleShape(Part):
    enabled: bool = False


class CustomerUpdateShape(ToggleShape):
    allowed_updates: list[Literal["name", "email", "address", "phone", "shipping", "tax_id"]] = Field(
        default_factory=list
    )


class ReasonShape(ToggleShape):
    options: list[
        Literal[
            "too_expensive", "missing_features", "switched_service", "unused",
            "customer_service", "too_complex", "low_quality", "other",
        ]
    ] = Field(default_factory=list)  # fmt: skip


class CancelShape(ToggleShape):
    """The last four members do not exist in Stripe; a merchant adds them to the export by hand."""

    mode: Literal["at_period_end", "immediately"] = "at_period_end"
    proration_behavior: Proration = "none"
    cancellation_reason: ReasonShape = Field(default_factory=ReasonShape)
    retention: Annotated[JsonObject, AfterValidator(_valid_retention)] = Field(default_factory=dict)
    link_label: Text | None = None
    confirm_label: Text | None = None
    acknowledgement: bool = False


class SpanShape(Part):
    interval: Literal["day", "week", "month", "year"]
    interval_count: Count = 1


class DurationShape(Part):
    type: Literal["indefinite", "interval_options"] = "interval_options"
    interval_options: Annotated[list[SpanShape], Field(min_length=1)] | None = None


class PauseShape(ToggleShape):
    duration: DurationShape = Field(default_factory=DurationShape)


class AdjustableShape(Part):
    enabled: bool
    minimum: Quantity = 1
    maximum: Annotated[int, Field(ge=1)] | None = None


class OfferedShape(Part):
    product: Code
    prices: list[Code]
    adjustable_quantity: AdjustableShape | None = None


class ConditionShape(Part):
    type: Literal["decreasing_item_amount", "shortening_interval"]


class AtPeriodEndShape(Part):
    conditions: list[ConditionShape] = Field(default_factory=list)


class UpdateShape(ToggleShape):
    """`add_ons` and `stack_promotion_codes` do not exist in Stripe; a merchant adds them to the export by hand."""

    default_allowed_updates: list[Literal["price", "promotion_code", "quantity"]] = Field(default_factory=list)
    products: list[OfferedShape] = Field(default_factory=list)
    add_ons: list[OfferedShape] = Field(default_factory=list)
    proration_behavior: Proration = "none"
    billing_cycle_anchor: Literal["now", "unchanged"] = "unchanged"
    schedule_at_period_end: AtPeriodEndShape = Field(default_factory=AtPeriodEndShape)
    trial_update_behavior: Literal["end_trial", "continue_trial"] = "end_trial"
    stack_promotion_codes: bool = False

    @model_validator(mode="after")
    def _check_add_ons(self) -> Self:
        products, add_ons = (
            [{"product": each.product} for each in offered] for offered in (self.products, self.add_ons)
        )
        SubscriptionUpdate(products=tuple(products), add_ons=tuple(add_ons))  # raises ValueError
        return self


class FeaturesShape(Part):
    customer_update: CustomerUpdateShape = Field(default_factory=CustomerUpdateShape)
    invoice_history: ToggleShape = Field(default_factory=ToggleShape)
    payment_method_update: ToggleShape = Field(default_factory=ToggleShape)
    subscription_cancel: CancelShape = Field(default_factory=CancelShape)
    subscription_pause: PauseShape = Field(default_factory=PauseShape)
    subscription_restart: ToggleShape = Field(default_factory=ToggleShape)
    subscription_update: UpdateShape = Field(default_factory=UpdateShape)

    def translated(self) -> JsonObject:
        """The features as a stored document: Stripe's names, but with less nesting."""
        document = self.model_dump()
        duration = document["subscription_pause"].pop("duration")
        document["subscription_pause"]["duration_type"] = duration["type"]
        if duration["interval_options"]:
            document["subscription_pause"]["interval_options"] = duration["interval_options"]
        update = document["subscription_update"]
        for name in ("products", "add_ons"):
            update[name] = [_offered(product) for product in update[name]]
        conditions = update["schedule_at_period_end"]["conditions"]
        update["schedule_at_period_end"] = [condition["type"] for condition in conditions]
        return Features.of(document).as_document()


def _offered(product: JsonObject) -> JsonObject:
    adjustable = product["adjustable_quantity"]
    if adjustable is not None:
        adjustable["maximum"] = min(adjustable["maximum"] or MOST, MOST)
    return product


class PublicShape(Part):
    headline: Text | None = None
    privacy_policy_url: Link | None = None
    terms_of_service_url: Link | None = None


class LoginPageShape(Part):
    enabled: bool = False


class ConfigurationShape(HasLivemode):
    updated: Instant | None = None
    active: bool = True
    is_default: bool = False
    name: Text | None = None
    business_profile: PublicShape = Field(default_factory=PublicShape)
    default_return_url: Link | None = None
    login_page: LoginPageShape = Field(default_factory=LoginPageShape)
    features: FeaturesShape = Field(default_factory=FeaturesShape)
    metadata: Metadata = Field(default_factory=dict)
