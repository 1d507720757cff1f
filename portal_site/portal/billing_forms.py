"""The form for billing information: just the fields that the configuration allows and the chosen country has."""

from collections.abc import Collection, Mapping
from typing import Any

from email_validator import EmailNotValidError, validate_email
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import Field, SelectField
from wtforms.validators import ValidationError

from portal_site.web import phones, postal_addresses
from portal_site.web.forms import PortalForm, choices, text_field

LONGEST_NAME, LONGEST_EMAIL, LONGEST_PHONE, LONGEST_LINE = 256, 512, 40, 500
HOME = "US"


class BillingForm(PortalForm):
    """Built by `billing_form`; its fields depend on what is allowed and on the countries."""

    parts: tuple[str, ...] = ()

    def validate(self, extra_validators: Any = None) -> bool:
        """Check each field, then each address as a whole."""
        valid = super().validate(extra_validators)
        return all([valid, *(self._check_address(part) for part in self.parts)])

    def _check_address(self, part: str) -> bool:
        typed = self.address(part)
        if not any(value for name, value in typed.items() if name != "country"):
            return True  # no address at all is allowed; half of one is not
        normal, faults = postal_addresses.check(typed)
        for name, kind in faults.items():
            field = self[f"{part}_{name}"]
            if not field.errors:
                field.errors = [_fault(field, kind)]
        if not faults:
            for name, value in normal.items():
                self[f"{part}_{name}"].data = value
        return not faults

    def address(self, part: str) -> dict[str, str]:
        """What was typed of one address, by field; empty for fields that its country lacks."""
        prefix = f"{part}_"
        return {name: self[prefix + name].data or "" for name in postal_addresses.FIELDS if prefix + name in self}

    def address_fields(self, part: str) -> list[Field]:
        """The fields of one address in its country's order, without the country itself."""
        names = {f"{part}_{name}" for name in postal_addresses.FIELDS if name != "country"}
        return [field for field in self if field.short_name in names]

    def changes(self) -> dict[str, Any]:
        """The values to store, only of what this form may change; an emptied field becomes None."""
        values: dict[str, Any] = {name: self[name].data or None for name in ("name", "email", "phone") if name in self}
        for part in self.parts:
            typed = self.address(part)
            given = any(value for name, value in typed.items() if name != "country")
            whole = {name: typed.get(name) or None for name in postal_addresses.FIELDS} if given else None
            if part == "address":
                values["address"] = whole
            else:
                name, phone = self["shipping_name"].data or None, self["shipping_phone"].data or None
                values["shipping"] = {"name": name, "phone": phone, "address": whole} if whole or name else None
        return values


def _fault(field: Field, kind: str) -> str:
    if kind == "required":
        return str(_("%(field)s is required.", field=field.label.text))
    return str(_("%(field)s is not valid for this country.", field=field.label.text))


def _check_email(_form: Any, field: Field) -> None:
    try:
        # test_environment: merchants try the portal with addresses at example.test, and no mail is sent from here.
        found = validate_email(field.data, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValidationError(_("Enter an e-mail address such as name@example.com.")) from None
    field.data = found.normalized


class _PhoneCheck:
    """A number without its country's code is read as one of the country that is chosen beside it."""

    def __init__(self, country_field: str) -> None:
        self.country_field = country_field

    def __call__(self, form: Any, field: Field) -> None:
        country = form[self.country_field].data if self.country_field in form else None
        number = phones.parse(field.data, country or None)
        if number is None:
            raise ValidationError(_("Enter a phone number with its country code, such as +33 6 12 34 56 78."))
        field.data = number


def _address_fields(part: str, country: str) -> dict[str, Field]:
    shape = postal_addresses.address_format(country) or postal_addresses.address_format(HOME)
    assert shape is not None
    fields: dict[str, Field] = {
        f"{part}_country": SelectField(
            _l("Country"),
            choices=choices(postal_addresses.countries(), blank=True),
            validate_choice=False,
            filters=[lambda v: v or ""],
        )
    }
    for name in shape.fields:
        label = postal_addresses.label(shape, name)
        if name == "state" and shape.states:
            field = SelectField(label, choices=choices(shape.states, blank=True), validate_choice=False)
        else:
            field = text_field(label, LONGEST_LINE)
        fields[f"{part}_{name}"] = field
    return fields


def billing_form(
    allowed: Collection[str], customer: Mapping[str, Any], countries: Mapping[str, str], *, bound: bool
) -> BillingForm:
    """The form for what is allowed of name, email, phone, address and shipping.

    `countries` is the country chosen for `address` and for `shipping`. Unbound, it shows what is stored of `customer`.
    """
    members: dict[str, Any] = {"parts": tuple(part for part in ("address", "shipping") if part in allowed)}
    if "name" in allowed:
        members["name"] = text_field(_l("Name"), LONGEST_NAME)
    if "email" in allowed:
        members["email"] = text_field(_l("E-mail"), LONGEST_EMAIL, True, _check_email)
    if "phone" in allowed:
        members["phone"] = text_field(_l("Phone"), LONGEST_PHONE, False, _PhoneCheck("address_country"))
    if "address" in allowed:
        members |= _address_fields("address", countries.get("address", ""))
    if "shipping" in allowed:
        members["shipping_name"] = text_field(_l("Recipient"), LONGEST_NAME)
        members |= _address_fields("shipping", countries.get("shipping", ""))
        members["shipping_phone"] = text_field(
            _l("Recipient’s phone"), LONGEST_PHONE, False, _PhoneCheck("shipping_country")
        )
    kind = type("BillingForm", (BillingForm,), members)
    return kind() if bound else kind(formdata=None, data=_stored(customer, countries))


def _stored(customer: Mapping[str, Any], countries: Mapping[str, str]) -> dict[str, Any]:
    shipping = customer.get("shipping") or {}
    data = {"name": customer["name"], "email": customer["email"], "phone": phones.pretty(customer["phone"] or "")}
    data |= {"shipping_name": shipping.get("name"), "shipping_phone": phones.pretty(shipping.get("phone") or "")}
    for part, address in (("address", customer.get("address")), ("shipping", shipping.get("address"))):
        data |= {f"{part}_{name}": (address or {}).get(name) for name in postal_addresses.FIELDS}
        data[f"{part}_country"] = countries.get(part, "")
    return data


class TaxIdForm(PortalForm):
    """A tax id's type and number; the number is checked by the operation, which knows the types."""

    type = SelectField(_l("Type"), validate_choice=False)
    value = text_field(_l("Number"), 50, True)
