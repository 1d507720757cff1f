"""The forms for a new coupon, its name, and its promotion codes."""

from collections.abc import Mapping
from typing import Any, ClassVar

from wtforms import BooleanField, SelectMultipleField, StringField
from wtforms.validators import Length

from portal_site.billing.catalog import coupons
from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.promotion_codes import LONGEST as LONGEST_CODE
from portal_site.billing.rules.catalog.discount_definitions import CodeRestrictions, CouponDefinition
from portal_site.dashboard.catalog import typed
from portal_site.dashboard.catalog.forms import CatalogForm, amount_field, currency_field, day_field, number_field
from portal_site.dashboard.reads.catalogue import Catalogue
from portal_site.dashboard.settings.sections import one_of, some_of
from portal_site.web.input.forms import checked_field, choices, clean, text_field

PERCENT, AMOUNT = "percent", "amount"
KINDS = ((PERCENT, "A percentage"), (AMOUNT, "An amount"))
DURATIONS = (
    ("once", "One invoice"), ("repeating", "Some months"), ("forever", "As long as the subscription lasts"),
)  # fmt: skip
LONGEST_ID, LONGEST_PERCENTAGE, LONGEST_EMAIL = 255, 30, 254


class CouponNameForm(CatalogForm):
    """What can be changed of a coupon."""

    name = text_field("Name", coupons.LONGEST_NAME)


class CouponForm(CatalogForm):
    """A coupon, with amounts and days as they are typed."""

    name = text_field("Name", coupons.LONGEST_NAME)
    kind = one_of("It takes off", KINDS)
    percentage = StringField("Percentage", filters=[clean], validators=[Length(max=LONGEST_PERCENTAGE)])
    amount = amount_field("Amount")
    currency = currency_field()
    duration = one_of("For", DURATIONS)
    months = number_field("Months")
    redeem_by = day_field("Last day on which it can be redeemed")
    max_redemptions = number_field("How often it can be redeemed", "By all customers together.")
    products: SelectMultipleField = some_of("Only for these products", (), "Without any it is for all of them.")
    coupon_id = checked_field("ID", LONGEST_ID, False)
    PARAMS: ClassVar[Mapping[str, str]] = {
        "percent_off": "percentage", "amount_off": "amount", "duration_in_months": "months", "id": "coupon_id",
        "applies_to[products]": "products",
    }  # fmt: skip
    NEEDED = ("percentage", "amount", "months", "currency")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.coupon_id.description = "For your program. Without one a random ID is made."

    @classmethod
    def empty(cls, currency: str) -> "CouponForm":
        """The form as it is first shown."""
        return cls(formdata=None, data={"kind": PERCENT, "currency": currency, "duration": "once"})

    def offer(self, catalogue: Catalogue) -> "CouponForm":
        """Let it be limited to the products that there are."""
        pairs = [(product.id, product.name) for product in catalogue.products]
        self.products.choices = choices(pairs, blank=False)
        return self

    def definition(self, timezone: str) -> CouponDefinition:
        """What was typed. Raises BillingError, with `param` set."""
        currency = self.currency.data or ""
        if self.kind.data == AMOUNT:
            off: dict[str, Any] = {
                "amount_off": typed.whole(self.amount.data, currency, "amount"),
                "currency": currency,
            }
            if off["amount_off"] is None:
                raise BillingError("Enter an amount.", "", "amount")
        else:
            off = {"percent_off": typed.percentage(self.percentage.data, "percentage")}
            if off["percent_off"] is None:
                raise BillingError("Enter a percentage.", "", "percentage")
        return CouponDefinition(
            **off,
            duration=self.duration.data or "",
            duration_in_months=self.months.data if self.duration.data == "repeating" else None,
            redeem_by=typed.end_of(self.redeem_by.data, timezone, "redeem_by"),
            max_redemptions=self.max_redemptions.data,
        )


class CodeForm(CatalogForm):
    """A promotion code of a coupon."""

    code = checked_field("Code", LONGEST_CODE, False)
    max_redemptions = number_field("How often it can be redeemed", "By all customers together.")
    expires = day_field("Last day on which it can be redeemed")
    first_time = BooleanField("Only for customers who have paid nothing yet")
    minimum = amount_field("Minimum amount", "Of what is bought, before the discount.")
    currency = currency_field("Currency of the minimum")
    customer = StringField(
        "For one customer", filters=[clean], validators=[Length(max=LONGEST_EMAIL)], description="Email or ID."
    )
    PARAMS: ClassVar[Mapping[str, str]] = {
        "expires_at": "expires", "restrictions[minimum_amount]": "minimum",
        "restrictions[minimum_amount_currency]": "currency",
    }  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.code.description = "Letters, digits and dashes. Without one a random code is made."

    def restrictions(self, timezone: str, customer_id: str | None) -> CodeRestrictions:
        """What was typed. Raises BillingError, with `param` set."""
        currency = self.currency.data or ""
        minimum = typed.whole(self.minimum.data, currency, "minimum")
        return CodeRestrictions(
            customer_id=customer_id,
            expires_at=typed.end_of(self.expires.data, timezone, "expires"),
            max_redemptions=self.max_redemptions.data,
            first_time_transaction=self.first_time.data,
            minimum_amount=minimum,
            minimum_amount_currency=None if minimum is None else currency,
        )
