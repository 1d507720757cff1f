"""The form for billing information, with the fields that the configuration allows and the chosen country has."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from email_validator import EmailNotValidError, validate_email
from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, Field, SelectField
from wtforms.validators import ValidationError

from portal_site.web.input import phones, postal_addresses, postal_codes
from portal_site.web.input.forms import PortalForm, checked_field, choices, clean, text_field
from portal_site.web.input.typed import plain

LONGEST_NAME, LONGEST_EMAIL, LONGEST_PHONE, LONGEST_LINE = 256, 512, 40, 500
HOME = "US"
PARTS = ("address", "shipping")
SAME = "shipping_same"


class BillingForm(PortalForm):
    """The form. `billing_form` creates it, because its fields depend on the configuration and on the countries.

    Unchanged values are neither checked nor written, so that values from other systems block nothing and are not
    lost. A field that was not submitted, because another country was shown, counts as unchanged too.
    """

    parts: tuple[str, ...] = ()
    stored: Mapping[str, Any] = MappingProxyType({})

    @property
    def ships_to_billing_address(self) -> bool:
        """Whether the box is ticked that says so. The fields of a shipping address then count for nothing."""
        return SAME in self and bool(self[SAME].data)

    def group_of(self, field: Field) -> str:
        """The title of its address, where there are two."""
        titles = {"address": _("Billing address"), "shipping": _("Shipping address")}
        part = str(field.short_name).partition("_")[0]
        return titles.get(part, "") if len(self.parts) == len(PARTS) else ""

    def validate(self, extra_validators: Any = None) -> bool:
        """Check each field that changed, then each address as a whole."""
        ignored = "shipping_" if self.ships_to_billing_address else None
        for field in self:
            if not _is_changed(field) or (ignored and field.short_name.startswith(ignored)):
                field.validators = ()
        valid = super().validate(extra_validators)
        checked = [part for part in self.parts if part != "shipping" or not ignored]
        return all([valid, *(self._check_address(part) for part in checked)])

    def _check_address(self, part: str) -> bool:
        typed, changed = self.address(part), self._changed(part)
        if not any(typed[name] for name in typed if name != "country"):
            return self._check_country_alone(part)
        normal, faults = postal_addresses.check(typed, changed)
        for name, kind in faults.items():
            field = self[f"{part}_{name}"]
            if not field.errors:
                field.errors = [_fault(field.label.text, kind, typed)]
        if not faults:
            for name, value in normal.items():
                self[f"{part}_{name}"].data = value
        return not faults

    def _check_country_alone(self, part: str) -> bool:
        """An empty address is allowed, and so is a country alone, as card forms ask for it; but it has to be one."""
        field = self[f"{part}_country"]
        if not field.data or not _is_changed(field) or postal_addresses.address_format(field.data):
            return True
        field.errors = [_("Choose a country.")]
        return False

    def address(self, part: str) -> dict[str, str]:
        """The submitted values of one address by field, without the fields that its country lacks."""
        prefix = f"{part}_"
        return {name: self[prefix + name].data or "" for name in postal_addresses.FIELDS if prefix + name in self}

    def _changed(self, part: str) -> set[str]:
        """The changed fields of one address: all of them if the country changed or there was no address before."""
        shown = self.address(part)
        changed = {name for name in shown if _is_changed(self[f"{part}_{name}"])}
        before = any(self[f"{part}_{name}"].object_data for name in shown if name != "country")
        return set(shown) if changed and ("country" in changed or not before) else changed

    def address_fields(self, part: str) -> list[Field]:
        """The fields of one address in its country's order, without the country itself."""
        names = {f"{part}_{name}" for name in postal_addresses.FIELDS if name != "country"}
        return [field for field in self if field.short_name in names]

    def kept_values(self, part: str) -> dict[str, str]:
        """What was submitted of an address for fields that its country lacks, in case another country is chosen after it."""
        names = (f"{part}_{name}" for name in postal_addresses.FIELDS if f"{part}_{name}" not in self)
        typed = {name: clean(request.form.get(name))[:LONGEST_LINE] for name in names}
        return {name: value for name, value in typed.items() if value}

    def changes(self) -> dict[str, Any]:
        """The changed values to store. An emptied field becomes None."""
        names = [name for name in ("name", "email", "phone") if name in self and _is_changed(self[name])]
        values: dict[str, Any] = {name: self[name].data or None for name in names}
        if "address" in self.parts and self._changed("address"):
            values["address"] = self._whole_address("address", self.stored.get("address"))
        if "shipping" in self.parts:
            stored = self.stored.get("shipping") or {}
            parts = self._changed_shipping(stored, values.get("address", self.stored.get("address")))
            if parts:
                whole = {"name": None, "phone": None, "address": None, **stored, **parts}
                values["shipping"] = whole if any(whole.values()) else None
        return values

    def _changed_shipping(self, stored: Mapping[str, Any], billing: Mapping[str, Any] | None) -> dict[str, Any]:
        """The changed parts of the shipping details. To ship to the billing address, nothing has to be stored."""
        if self.ships_to_billing_address:
            differs = any(stored.values()) and not _is_same(stored.get("address"), billing)
            return {"address": billing} if differs else {}
        fields = {name: self[f"shipping_{name}"] for name in ("name", "phone")}
        parts: dict[str, Any] = {name: field.data or None for name, field in fields.items() if _is_changed(field)}
        if self._changed("shipping"):
            parts["address"] = self._whole_address("shipping", stored.get("address"))
        return parts

    def _whole_address(self, part: str, stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The stored address with the changes; None if nothing but the old country is left."""
        typed, changed = self.address(part), self._changed(part)
        moved = _is_changed(self[f"{part}_country"])
        if not any(typed[name] for name in typed if name != "country" or moved):
            return None
        nothing = dict.fromkeys(postal_addresses.FIELDS)
        kept = {**nothing, **(stored or {})}
        if moved:
            kept |= nothing  # values without a field in the new country belong to the old address
        return kept | {name: typed[name] or None for name in changed}


def _is_same(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return all(clean((one or {}).get(name)) == clean((other or {}).get(name)) for name in postal_addresses.FIELDS)


def _is_changed(field: Field) -> bool:
    if isinstance(field, BooleanField):
        return bool(field.data != bool(field.object_data))
    return bool(clean(field.object_data) != (field.data or ""))


def _fault(label: str, kind: str, address: Mapping[str, str]) -> str:
    if kind == "required":
        return str(_("%(field)s is required.", field=label))
    if kind == "no_country":
        return str(_("Choose a country."))
    country, state = address["country"], address.get("state", "")
    if kind == "other_code":
        example = postal_codes.example(country, state) or postal_codes.example(country, "")
        return str(
            _("%(field)s is not valid for this country. It looks like %(example)s.", field=label, example=example)
        )
    if kind == "other_state":
        example = postal_codes.example(country, state)
        name = postal_addresses.state_name(country, postal_addresses.state_code(country, state) or state)
        if not example:
            return str(_("%(field)s does not fit the state (%(state)s).", field=label, state=name))
        sentence = _("%(field)s does not fit the state (%(state)s). There it looks like %(example)s.",
                     field=label, state=name, example=example)  # fmt: skip
        return str(sentence)
    return str(_("%(field)s is not valid for this country.", field=label))


def _usable_email(typed: str) -> str | None:
    """The e-mail address in its usual form, also if typed full-width or with blanks; None if it cannot receive mail."""
    for text in (typed, "".join(plain(typed).split())):
        try:
            # test_environment: merchants try the portal with addresses at example.test, and no mail is sent from here.
            return validate_email(text, check_deliverability=False, test_environment=True).normalized
        except EmailNotValidError:
            continue
    return None


def _check_email(_form: Any, field: Field) -> None:
    usual = _usable_email(field.data)
    if usual is None:
        raise ValidationError(_("Enter an email address such as name@example.com."))
    field.data = usual


class _PhoneCheck:
    """A number without a country code belongs to the country next to it in the form, else to one of the customer's."""

    def __init__(self, country_field: str, others: Collection[str]) -> None:
        self.country_field = country_field
        self.others = others

    def __call__(self, form: Any, field: Field) -> None:
        beside = [form[self.country_field].data] if self.country_field in form else []
        countries = [country for country in (*beside, *self.others) if country]
        number = phones.parse(field.data, countries)
        if number is None:
            example = phones.example(countries[0] if countries else HOME)
            raise ValidationError(
                _("Enter a phone number with its country code, such as %(example)s.", example=example)
            )
        field.data = number


def _address_fields(part: str, country: str, shown: Mapping[str, str]) -> dict[str, Field]:
    shape = postal_addresses.address_format(country) or postal_addresses.address_format(HOME)
    assert shape is not None
    countries = _with_shown(postal_addresses.countries(), shown[f"{part}_country"])
    fields: dict[str, Field] = {
        f"{part}_country": SelectField(
            _l("Country"), choices=choices(countries, blank=True), validate_choice=False, filters=[lambda v: v or ""]
        )
    }
    for name in shape.fields:
        label = postal_addresses.label(shape, name)
        if name == "state" and shape.states:
            states = _with_shown(shape.states, shown[f"{part}_state"])
            field = SelectField(label, choices=choices(states, blank=True), validate_choice=False)
        else:
            field = text_field(label, LONGEST_LINE)
        fields[f"{part}_{name}"] = field
    return fields


def _with_shown(pairs: Sequence[tuple[str, str]], value: str) -> Sequence[tuple[str, str]]:
    """The choices, with the stored value if it is not one of them: it would be lost otherwise."""
    return pairs if not value or value in dict(pairs) else (*pairs, (value, value))


def billing_form(
    allowed: Collection[str], customer: Mapping[str, Any], countries: Mapping[str, str], *, bound: bool
) -> BillingForm:
    """The form with the allowed ones of name, email, phone, address and shipping.

    `countries` is the country chosen for `address` and for `shipping`; a part without one has the stored country's fields.
    `customer` is the stored data: shown by an unbound form, and compared with what a bound one submits.
    """
    shown = _shown(customer, countries)
    own = [shown[f"{part}_country"] for part in PARTS]
    members: dict[str, Any] = {"parts": tuple(part for part in PARTS if part in allowed), "stored": customer}
    if "name" in allowed:
        members["name"] = text_field(_l("Name"), LONGEST_NAME)
    if "email" in allowed:
        # A stored address that cannot receive mail can be removed.
        required = bool(customer["email"]) and _usable_email(customer["email"]) is not None
        members["email"] = checked_field(_l("Email"), LONGEST_EMAIL, required, _check_email)
    if "phone" in allowed:
        check = _PhoneCheck("address_country", own)
        members["phone"] = checked_field(_l("Phone"), LONGEST_PHONE, False, check)
    if "address" in allowed:
        members |= _address_fields("address", countries.get("address", shown["address_country"]), shown)
    if "shipping" in allowed:
        if "address" in allowed:
            members[SAME] = BooleanField(_l("Same as billing address"))
        members["shipping_name"] = text_field(_l("Recipient"), LONGEST_NAME)
        members |= _address_fields("shipping", countries.get("shipping", shown["shipping_country"]), shown)
        check = _PhoneCheck("shipping_country", own)
        members["shipping_phone"] = checked_field(_l("Recipient’s phone"), LONGEST_PHONE, False, check)
    kind = type("BillingForm", (BillingForm,), members)
    data = {**shown, SAME: _ships_to_billing_address(customer)}
    return kind(data=data) if bound else kind(formdata=None, data=data)


def _ships_to_billing_address(customer: Mapping[str, Any]) -> bool:
    shipping = customer.get("shipping") or {}
    return not any(shipping.values()) or _is_same(shipping.get("address"), customer.get("address"))


def _shown(customer: Mapping[str, Any], countries: Mapping[str, str]) -> dict[str, str]:
    """The stored values by field, as the form shows them."""
    shipping = customer.get("shipping") or {}
    data = {"name": customer["name"], "email": customer["email"], "phone": phones.pretty(customer["phone"] or "")}
    data |= {"shipping_name": shipping.get("name"), "shipping_phone": phones.pretty(shipping.get("phone") or "")}
    for part, address in (("address", customer.get("address")), ("shipping", shipping.get("address"))):
        stored = {name: clean((address or {}).get(name)) for name in postal_addresses.FIELDS}
        if postal_addresses.address_format(stored["country"]):
            stored["country"] = stored["country"].upper()
            stored["state"] = postal_addresses.state_code(stored["country"], stored["state"]) or stored["state"]
        if countries.get(part, stored["country"]) != stored["country"]:
            stored |= {"state": "", "postal_code": ""}  # these two are of this form only
        data |= {f"{part}_{name}": value for name, value in stored.items()}
    return {name: clean(value) for name, value in data.items()}


class TaxIdForm(PortalForm):
    """The type and number of a tax id. The operation checks the number."""

    type = SelectField(_l("Type"), validate_choice=False)
    value = checked_field(_l("Number"), 50, True)
