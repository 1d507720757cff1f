"""What the forms of the catalogue share: fields, and where a refusal of the engine is shown."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from wtforms import DateField, Field, IntegerField, SelectField, StringField, TextAreaField
from wtforms.validators import Length, Optional

from portal_site.billing.errors import BillingError
from portal_site.billing.rules.amounts import money
from portal_site.web.input.amounts import LONGEST
from portal_site.web.input.forms import PortalForm, choices, clean, translated

ROWS = 4  # lines of a text that are seen at once
CURRENCIES = [(code, code.upper()) for code in sorted(money.SUPPORTED)]


def amount_field(label: str, description: str = "") -> StringField:
    """An amount as it is typed, in the major unit of the form's currency."""
    return StringField(label, filters=[clean], validators=[Length(max=LONGEST)], description=description)


def number_field(label: str, description: str = "") -> IntegerField:
    """A whole number, or nothing."""
    return IntegerField(label, validators=[Optional()], description=description)


def day_field(label: str, description: str = "") -> DateField:
    """A day, or none."""
    return DateField(label, validators=[Optional()], description=description)


def currency_field(label: str = "Currency") -> SelectField:
    """One of the currencies that prices can have."""
    return SelectField(label, choices=choices(CURRENCIES, blank=False))


def clean_lines(text: str | None) -> str:
    """The text with each of its lines cleaned."""
    return "\n".join(map(clean, (text or "").splitlines())).strip()


def lines_field(label: str, most: int, description: str = "") -> TextAreaField:
    """A text of several lines."""
    return TextAreaField(
        label, filters=[clean_lines], validators=[Length(max=most)], description=description, render_kw={"rows": ROWS}
    )


class CatalogForm(PortalForm):
    """A form of the catalogue. `PARAMS` names the field that a parameter of an operation is typed into, where it is another.

    `NEEDED` are fields that must be filled in while they are shown, which depends on a choice: the engine refuses them otherwise.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {}
    NEEDED: ClassVar[Sequence[str]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.NEEDED:
            self[name].flags.required = True

    def field_of(self, param: str) -> Field | None:
        """The field that a parameter is typed into."""
        name = self.PARAMS.get(param, param)
        found: Field | None = self._fields.get(name)
        return found

    def refuse(self, refusal: BillingError) -> str:
        """Put a refusal at the field that it is about; the words, if there is no such field."""
        field: Any = self.field_of(refusal.param or "")
        if field is None:
            return translated(refusal)
        field.errors = [translated(refusal)]
        return ""
