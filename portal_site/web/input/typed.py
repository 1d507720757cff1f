"""Normalization of typed text: case, width, the script of digits, and punctuation."""

import unicodedata

LONG_VOWEL = "ー"  # Japanese keyboards write this for a hyphen between digits; in Unicode it is a letter


def plain(text: str) -> str:
    """The text with full-width and other compatibility characters as the usual ones, and all digits as 0 to 9."""
    usual = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in usual)


def compact(text: str) -> str:
    """The letters and digits alone, in capitals: `1012 js` → `1012JS`."""
    return "".join(sign for sign in plain(text) if sign.isalnum() and sign != LONG_VOWEL).upper()


def key(text: str) -> str:
    """The key by which names are compared: without accents, case, blanks and punctuation. `São Paulo` → `saopaulo`."""
    apart = unicodedata.normalize("NFKD", plain(text)).casefold().replace("ı", "i")
    return "".join(sign for sign in apart if sign.isalnum())
