"""Parsing and formatting of telephone numbers. They are stored in E.164 format."""

import phonenumbers


def parse(text: str, country: str | None) -> str | None:
    """A number in E.164 format: `06 12 34 56 78` in France → `+33612345678`. None for an invalid number."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number) or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def pretty(number: str) -> str:
    """A number in international format: `+33612345678` → `+33 6 12 34 56 78`. Other text is returned unchanged."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
