"""Form fields that several pages of the dashboard have."""

from collections.abc import Iterable
from typing import Any

from wtforms import PasswordField, StringField
from wtforms.validators import Length

from portal_site.billing.errors import BillingError
from portal_site.web.input.forms import PortalForm, Required, clean, translated
from portal_site.web.security import CONTENT_SECURITY_POLICY

LONGEST_EMAIL = 254
MOST = 2**53


def email_field(label: str = "Email") -> StringField:
    """An e-mail address, which the operation checks."""
    return StringField(label, filters=[clean], validators=[Required(), Length(max=LONGEST_EMAIL)])


def password_field(label: str = "Password") -> PasswordField:
    """A password as it was typed, blanks included."""
    return PasswordField(label, validators=[Required()])


def code_field(label: str = "Code") -> StringField:
    """A code, however it was copied."""
    return StringField(label, filters=[clean], validators=[Required(), Length(max=40)])


def small_number(text: str | None) -> int | None:
    """A whole number that the database can compare with its own; None for anything else."""
    return min(int(text), MOST) if text and text.isascii() and text.isdecimal() and len(text) < 20 else None


def framing_policy() -> str:
    """The content security policy of a page with a preview in a frame."""
    return CONTENT_SECURITY_POLICY.replace("frame-ancestors", "frame-src 'self'; frame-ancestors")


def refuse(form: PortalForm, refusal: BillingError, among: Iterable[str] = ()) -> str:
    """Put a refusal at the form field that it is about; the words, if there is no such field."""
    words = translated(refusal)
    name = refusal.param
    field: Any = form[name] if name and name in form and (not among or name in among) else None
    if field is None:
        return words
    field.errors = [words]
    return ""
