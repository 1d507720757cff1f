"""The form for starting a customer's subscription: prices, trial, discount, tax, and how it is paid."""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from wtforms import Field, FieldList, FormField, SelectField, SelectMultipleField, StringField
from wtforms.validators import Length

from portal_site.billing.changes.starts import StartRequest
from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts.promotion_codes import LONGEST as LONGEST_CODE
from portal_site.billing.rules.amounts.promotion_codes import USED
from portal_site.billing.rules.subscriptions.starts import MOST_ITEMS, WantedPrice, WantedTrial
from portal_site.dashboard.catalog import typed
from portal_site.dashboard.catalog.forms import CatalogForm, day_field, number_field
from portal_site.dashboard.reads.sold_prices import Sold
from portal_site.dashboard.settings.sections import one_of, some_of
from portal_site.web.input.forms import PortalForm, checked_field, choices, clean

ROWS = 2  # of add-ons at first, and so many more at a time
LONGEST_ID = 255
USUAL_DAYS = 30  # until an invoice is due
NONE, AS_PRICED, DAYS, UNTIL = "none", "price", "days", "until"
TRIALS = (
    (AS_PRICED, "That of the plan, if it has one"), (NONE, "No trial"), (DAYS, "Some days"), (UNTIL, "Until a day"),
)  # fmt: skip
ENDS = (
    ("create_invoice", "Write the first invoice, which is unpaid until there is one"),
    ("cancel", "End the subscription"),
)
COLLECTIONS = (
    ("charge_automatically", "Charge the default payment method"),
    ("send_invoice", "Write invoices that the customer pays"),
)
PARAM = re.compile(r"items\[(\d+)\]\[(price|quantity)\]")
# What the engine tells customers of their codes, as it is said of a customer.
OF_THE_CUSTOMER = {
    USED: "This customer has used this code already.",
    "We could not find this code. Check what you entered.": "There is no such code for this customer.",
    "This code does not apply to your plan.": "This does not apply to any of the chosen products.",
    "Your order is below the minimum amount for this code.": "The chosen prices are below the minimum of this code.",
    "This code would not reduce any of your upcoming invoices, so it was not used.": (
        "This would not make any invoice cheaper."
    ),
}


def price_field(label: str) -> StringField:
    """The id of a price, which the template offers in a list."""
    return StringField(label, filters=[clean], validators=[Length(max=LONGEST_ID)])


class AddOnForm(PortalForm):
    """A further price. A row without a price is left out."""

    price = price_field("Add-on")
    quantity = number_field("Quantity")


class StartForm(CatalogForm):
    """What the subscription is to be like. The engine says what cannot be so."""

    price = price_field("Plan")
    quantity = number_field("Quantity")
    add_ons = FieldList(FormField(AddOnForm), "Add-ons", min_entries=ROWS, max_entries=MOST_ITEMS - 1)
    trial = one_of("Trial", TRIALS)
    trial_days = number_field("Days of trial")
    trial_last_day = day_field("Last day of the trial")
    missing_payment_method = one_of("Without a payment method at the end of the trial", ENDS)
    code = checked_field("Promotion code", LONGEST_CODE, False)
    coupon = SelectField("Coupon", validate_choice=False, validators=[Length(max=LONGEST_ID)])
    tax_rates: SelectMultipleField = some_of("Tax rates", ())
    collection_method = one_of("How it is paid", COLLECTIONS)
    days_until_due = number_field("Days until an invoice is due")
    PARAMS: ClassVar[Mapping[str, str]] = {
        "trial_period_days": "trial_days", "trial_end": "trial_last_day", "promotion_code": "code",
        "default_tax_rates": "tax_rates",
    }  # fmt: skip
    NEEDED = ("price", "quantity", "trial_days", "trial_last_day", "days_until_due")

    @classmethod
    def empty(cls) -> "StartForm":
        """The form as it is first shown."""
        usual = {"quantity": 1, "trial": AS_PRICED, "missing_payment_method": ENDS[0][0]}
        return cls(formdata=None, data={**usual, "collection_method": COLLECTIONS[0][0], "days_until_due": USUAL_DAYS})

    def offer(self, sold: Sold) -> "StartForm":
        """Fill in the account's coupons and tax rates."""
        self.coupon.choices = choices(sold.coupons, blank=True)
        self.tax_rates.choices = choices(sold.tax_rates, blank=False)
        return self

    def add_rows(self) -> None:
        """Some more empty rows for add-ons."""
        for _ in range(min(ROWS, MOST_ITEMS - 1 - len(self.add_ons))):
            self.add_ons.append_entry()

    def request(self, timezone: str) -> StartRequest:
        """What was typed. Raises BillingError, with `param` set."""
        if not self.price.data:
            raise BillingError("Choose a plan.", "", "price")
        further = [WantedPrice(row.price.data or "", row.quantity.data) for row in self._filled()]
        return StartRequest(
            [WantedPrice(self.price.data, self.quantity.data), *further],
            self._trial(timezone),
            self.code.data or "",
            self.coupon.data or "",
            self.collection_method.data or "",
            self.days_until_due.data,
            self.tax_rates.data or (),
        )

    def _trial(self, timezone: str) -> WantedTrial:
        kind = self.trial.data
        if kind == DAYS and self.trial_days.data is None:
            raise BillingError("Enter a number of days.", "", "trial_days")
        if kind == UNTIL and self.trial_last_day.data is None:
            raise BillingError("Choose a day.", "", "trial_last_day")
        return WantedTrial(
            self.trial_days.data if kind == DAYS else None,
            typed.end_of(self.trial_last_day.data if kind == UNTIL else None, timezone, "trial_last_day"),
            kind == AS_PRICED,
            self.missing_payment_method.data or "",
        )

    def _rows(self) -> Iterator[AddOnForm]:
        return (entry.form for entry in self.add_ons)

    def _filled(self) -> list[AddOnForm]:
        return [row for row in self._rows() if row.price.data]

    def field_of(self, param: str) -> Field | None:
        """The first item is the plan, the others are the add-ons that are filled in."""
        found, rows = PARAM.fullmatch(param), self._filled()
        if found and found[1] == "0":
            return super().field_of(found[2])
        if found and int(found[1]) <= len(rows):
            return rows[int(found[1]) - 1][found[2]]
        return super().field_of(param)

    def refuse(self, refusal: BillingError) -> str:
        """Put a refusal at its field, in words about a customer."""
        words = OF_THE_CUSTOMER.get(refusal.message)
        return super().refuse(BillingError(words, refusal.code, refusal.param) if words else refusal)

    def error_summary(self) -> dict[str, str]:
        """The errors by the ids of their fields, with those of the add-ons."""
        own = {field.id: self._in_summary(field) for field in self if field.errors and field is not self.add_ons}
        wrong = [(number, field) for number, row in enumerate(self._rows(), 1) for field in row if field.errors]
        return own | {field.id: f"Add-on {number}, {field.label.text}: {field.errors[0]}" for number, field in wrong}

    def wrong_fields(self) -> list[Field]:
        """The fields with errors; a refused add-on's is in its row."""
        return [field for form in (self, *self._rows()) for field in form if field.errors and field is not self.add_ons]
