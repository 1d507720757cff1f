"""Telephone numbers: read as people write them, kept in international form."""

import phonenumbers


def parse(text: str, country: str | None) -> str | None:
    """`06 12 34 56 78` in France → `+33612345678`; None for what cannot be a number anywhere."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number) or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def pretty(number: str) -> str:
    """`+33612345678` → `+33 6 12 34 56 78`; whatever else is stored comes back as it is."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
