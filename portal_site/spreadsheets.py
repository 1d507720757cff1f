"""Texts of others in tables that are opened with a spreadsheet."""

import re

# What a spreadsheet would take for a formula.
FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if FORMULA.match(text) else text
