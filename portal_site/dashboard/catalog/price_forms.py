"""The form for a new price: an amount for each unit, or tiers. What it costs never changes afterwards."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from wtforms import BooleanField, Field, FieldList, FormField, SelectField

from portal_site.billing.catalog import prices
from portal_site.billing.rules.catalog import members
from portal_site.billing.rules.catalog.price_definitions import PriceDefinition, PriceTier, Recurring, TransformQuantity
from portal_site.dashboard.catalog import typed
from portal_site.dashboard.catalog.forms import CatalogForm, amount_field, currency_field, number_field
from portal_site.dashboard.settings.sections import one_of
from portal_site.web.input.forms import PortalForm, checked_field, choices, text_field

ROWS = 5  # of tiers at first, and so many more at a time
MOST_ROWS = 100  # that can be typed here; the API takes more
EACH, ONCE = "each", "once"
SCHEMES = (
    (EACH, "The same for each unit"),
    ("graduated", "Graduated: each unit costs what its own tier says"),
    ("volume", "Volume: all units cost what the tier of the whole quantity says"),
)
INTERVALS = (("month", "months"), ("year", "years"), ("week", "weeks"), ("day", "days"), (ONCE, "Once, not repeated"))
TAXES = (("unspecified", "Not settled"), ("exclusive", "Added to the amount"), ("inclusive", "Included in the amount"))
TIER = re.compile(r"tiers\[(\d+)\]\[(up_to|unit_amount|flat_amount)(?:_decimal)?\]")


class TierForm(PortalForm):
    """A tier. One without anything in it is left out."""

    up_to = number_field("Up to")
    unit_amount = amount_field("Each")
    flat_amount = amount_field("Flat")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed into it."""
        return not any((field.raw_data or [""])[0].strip() if field.raw_data else field.data for field in self)


class PriceForm(CatalogForm):
    """A price, with the amounts as they are typed."""

    currency = currency_field()
    scheme = one_of("What it costs", SCHEMES)
    amount = amount_field("Amount", "Such as 12.50, or 0.005 for a fraction of a cent.")
    tiers = FieldList(FormField(TierForm), "Tiers", min_entries=ROWS, max_entries=MOST_ROWS)
    interval_count = number_field("Billed every")
    interval = SelectField("Interval", choices=choices(INTERVALS, blank=False))
    divide_by = number_field("Units in a package", "The amount is for so many units. Without a number it is for one.")
    full = BooleanField("Only full packages count", description="Otherwise one that is begun counts too.")
    trial_days = number_field("Days of trial", "What a subscription usually begins with, if your team starts it.")
    tax_behavior = SelectField("Tax", choices=choices(TAXES, blank=False))
    nickname = text_field("Nickname", members.LONGEST_TEXT)
    lookup_key = checked_field("Lookup key", prices.LONGEST_KEY, False)
    transfer = BooleanField("Take the lookup key from the price that has it")
    PARAMS: ClassVar[Mapping[str, str]] = {
        "unit_amount": "amount", "unit_amount_decimal": "amount", "recurring[interval]": "interval",
        "recurring[interval_count]": "interval_count", "tiers_mode": "scheme", "tiers": "scheme",
        "recurring[trial_period_days]": "trial_days", "transform_quantity[divide_by]": "divide_by",
    }  # fmt: skip
    NEEDED = ("currency", "amount", "interval_count", "interval", "tax_behavior")

    @classmethod
    def empty(cls, currency: str) -> "PriceForm":
        """The form as it is first shown."""
        usual = {"currency": currency, "scheme": EACH, "interval": "month", "interval_count": 1}
        return cls(formdata=None, data=usual)

    def add_rows(self) -> None:
        """Some more empty tiers."""
        for _ in range(min(ROWS, MOST_ROWS - len(self.tiers))):
            self.tiers.append_entry()

    def definition(self) -> PriceDefinition:
        """What was typed. Raises BillingError, with `param` set."""
        currency, is_tiered = self.currency.data or "", self.scheme.data != EACH
        exact = None if is_tiered else typed.exact(self.amount.data, currency, "unit_amount")
        is_whole = exact is not None and exact == exact.to_integral_value()
        return PriceDefinition(
            currency,
            unit_amount=int(exact) if exact is not None and is_whole else None,
            unit_amount_decimal=None if is_whole else exact,
            recurring=None if self.interval.data == ONCE else self._recurring(),
            tiers_mode=self.scheme.data if is_tiered else None,
            tiers=tuple(self._tiers(currency)) if is_tiered else (),
            transform_quantity=None
            if is_tiered or self.divide_by.data is None
            else self._packages(self.divide_by.data),
            tax_behavior=self.tax_behavior.data or "",
        )

    def _recurring(self) -> Recurring:
        if self.interval_count.data is None:
            raise members.missing("recurring[interval_count]")
        return Recurring(self.interval.data or "", self.interval_count.data, self.trial_days.data)

    def _packages(self, size: int) -> TransformQuantity:
        return TransformQuantity(size, "down" if self.full.data else "up")

    def _tiers(self, currency: str) -> Sequence[PriceTier]:
        found = []
        for number, form in enumerate(self._filled()):
            param = f"tiers[{number}]"
            exact = typed.exact(form.unit_amount.data, currency, f"{param}[unit_amount]")
            is_whole = exact is not None and exact == exact.to_integral_value()
            found.append(
                PriceTier(
                    form.up_to.data,
                    unit_amount=int(exact) if exact is not None and is_whole else None,
                    unit_amount_decimal=None if is_whole else exact,
                    flat_amount=typed.whole(form.flat_amount.data, currency, f"{param}[flat_amount]"),
                )
            )
        return found

    def _filled(self) -> list[TierForm]:
        return [entry.form for entry in self.tiers if not entry.form.is_empty]

    def field_of(self, param: str) -> Field | None:
        """A tier's fields are those of its row; empty rows do not count."""
        found, rows = TIER.fullmatch(param), self._filled()
        if found and int(found[1]) < len(rows):
            return rows[int(found[1])][found[2]]
        return super().field_of(param)

    def error_summary(self) -> dict[str, str]:
        """The errors by the ids of their fields, with those of the tiers."""
        own = {field.id: self._in_summary(field) for field in self if field.errors and field is not self.tiers}
        rows = enumerate((entry.form for entry in self.tiers), 1)
        wrong = [(number, field) for number, form in rows for field in form if field.errors]
        return own | {field.id: f"Tier {number}, {field.label.text}: {field.errors[0]}" for number, field in wrong}

    def wrong_fields(self) -> list[Field]:
        """The fields with errors; a refused tier's is in its row."""
        return [field for form in (self, *(entry.form for entry in self.tiers)) for field in form if field.errors]


class PriceChangesForm(CatalogForm):
    """What can be changed of a price."""

    nickname = text_field("Nickname", members.LONGEST_TEXT)
    lookup_key = checked_field("Lookup key", prices.LONGEST_KEY, False)
