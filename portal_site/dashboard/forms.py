"""Form fields that several pages of the dashboard have."""

from collections.abc import Iterable
from typing import Any

from babel import Locale
from wtforms import PasswordField, SelectField, StringField
from wtforms.validators import Length

from portal_site.billing.accounts import accounts
from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.errors import BillingError
from portal_site.web.input import postal_addresses
from portal_site.web.input.forms import PortalForm, Required, choices, clean, text_field, translated
from portal_site.web.security import CONTENT_SECURITY_POLICY

LONGEST_EMAIL = 254
MOST = 2**53


class BusinessForm(PortalForm):
    """What is asked of a new account's business."""

    business_name = text_field("Business name", accounts.LONGEST_NAME, True)
    country = SelectField("Country", validators=[Required()])
    currency = SelectField("Currency", validators=[Required()])
    timezone = StringField("Time zone", filters=[clean], validators=[Required(), Length(max=64)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.country.choices = choices(postal_addresses.countries(), blank=True)
        names = Locale("en").currencies
        self.currency.choices = choices(
            sorted((code, f"{names.get(code.upper(), code)} ({code.upper()})") for code in accounts.CURRENCIES),
            blank=True,
        )

    @property
    def wanted(self) -> NewAccount:
        """The account as it was typed."""
        return NewAccount(
            self.business_name.data or "", self.country.data or "", self.currency.data or "", self.timezone.data or ""
        )


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
