"""Parsing and formatting of telephone numbers. They are stored in E.164 format."""

from collections.abc import Iterable

import phonenumbers


def parse(text: str, countries: Iterable[str]) -> str | None:
    """A number in E.164 format: `06 12 34 56 78` in France → `+33612345678`. None for an invalid number.

    A number without its country's code is read as one of the first of `countries` in which it is valid. An extension is kept,
    as RFC 3966 writes it: `+16502530000;ext=12`.
    """
    for country in (*countries, None):
        try:
            number = phonenumbers.parse(text, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return f"{written};ext={number.extension}" if number.extension else written
    # Dialled from abroad: without a country nobody knows that 00 stands for the plus.
    return parse(f"+{text[2:]}", ()) if text.startswith("00") else None


def example(country: str) -> str:
    """A made-up number of the country, in international format; of France if the country has no telephone numbers."""
    number = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    if number is None:
        return example("FR")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def pretty(number: str) -> str:
    """A number in international format: `+33612345678` → `+33 6 12 34 56 78`. Other text is returned unchanged."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
