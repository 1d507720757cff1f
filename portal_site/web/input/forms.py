"""Shared parts of forms: text cleaning, validators, and translation of billing errors."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, Optional, StopValidation, ValidationError

from portal_site.billing.errors import BillingError
from portal_site.web.rendering import filters

SHORTEST_CARD, LONGEST_CARD = 13, 19


def translated(refusal: BillingError) -> str:
    """A billing error's message in the page's language, with numbers in the locale's format."""
    values = {name: filters.number(value) if type(value) is int else value for name, value in refusal.values.items()}
    return _(refusal.message, **values) if values else _(refusal.message)


def clean(text: str | None) -> str:
    """The text in NFC, without control characters, unassigned characters and surrounding blanks."""
    if not text:
        return ""
    printable = "".join(
        c for c in text if c in "\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn")
    )
    return unicodedata.normalize("NFC", printable).strip()


def looks_like_card_number(text: str) -> bool:
    """Whether the text could be a card number: 13 to 19 digits that pass the Luhn check, and no letters."""
    digits = [int(c) for c in text if c.isascii() and c.isdigit()]
    if not SHORTEST_CARD <= len(digits) <= LONGEST_CARD or any(c.isalpha() for c in text):
        return False
    doubled = [d if i % 2 == 0 else (d * 2 - 9 if d > 4 else d * 2) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def no_card_number(_form: Any, field: Field) -> None:
    """A validator against card numbers in other form fields, which would store them in the database."""
    if looks_like_card_number(field.data or ""):
        raise ValidationError(_("This looks like a card number. Payment methods are added on their own page."))


class Required(InputRequired):
    """The form field must be filled in. Blanks count as empty."""

    def __call__(self, _form: Any, field: Field) -> None:
        if not (field.data or "").strip():
            field.errors = []
            raise StopValidation(_("%(field)s is required.", field=field.label.text))


def choices(pairs: Iterable[tuple[str, str]], *, blank: bool) -> list[SelectChoice]:
    """The options of a select element from (value, label) pairs, starting with an empty one if `blank`."""
    return [SelectChoice(value, label) for value, label in ([("", "")] if blank else []) + list(pairs)]


def text_field(label: Any, most: int, required: bool = False) -> StringField:
    """A form field for one line of free text, at most `most` characters, in the direction of its script."""
    return checked_field(label, most, required, no_card_number, render_kw={"dir": "auto"})


def checked_field(label: Any, most: int, required: bool, *checks: Any, **options: Any) -> StringField:
    """The same for a value with a format of its own, which only `checks` or the operation check.

    Such fields accept long numbers, one in ten of which passes the check for card numbers by chance.
    """
    length = Length(max=most, message=_l("Use at most %(max)d characters."))
    presence = Required() if required else Optional(strip_whitespace=True)
    return StringField(label, filters=[clean], validators=[presence, length, *checks], **options)


class PortalForm(FlaskForm):
    """The base of all forms. The CSRF token is not checked here, because it is checked for every request before the view."""

    class Meta:
        csrf = False

        def wrap_formdata(self, _form: Any, formdata: Any) -> Any:
            """Accept form data only. Files or JSON could bring values that are not strings into text fields."""
            return None if formdata is None else request.form or None

    def wrong_fields(self) -> Iterator[Field] | list[Field]:
        """The form fields with errors, in the form's order."""
        return [field for field in self if field.errors]

    def group_of(self, _field: Field) -> str:
        """The title of the form field's group; empty if its label is clear without it."""
        return ""

    def error_summary(self) -> dict[str, str]:
        """The errors of the form fields by their ids, each with the field's label unless its words have it."""
        return {field.id: self._in_summary(field) for field in self.wrong_fields()}

    def _in_summary(self, field: Field) -> str:
        words, label = str(field.errors[0]), str(field.label.text)
        place = ", ".join(filter(None, (self.group_of(field), "" if label.casefold() in words.casefold() else label)))
        return filters.labelled(place, words) if place else words


def field_attributes(field: Field, hint: str, extra: Mapping[str, str], **given: str) -> dict[str, str]:
    """The attributes of a form field's element: those given, and those that refer to its hint and error."""
    described = [field.id + suffix for suffix, there in (("-hint", hint), ("-error", field.errors)) if there]
    found = {"aria-describedby": " ".join(described), "aria-invalid": "true" if field.errors else "", **given}
    return {**extra, **{name: value for name, value in found.items() if value}}
