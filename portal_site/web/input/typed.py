"""What people type, reduced to what it means: the same text in another case, width, script of digits or punctuation."""

import unicodedata

LONG_VOWEL = "ー"  # what a Japanese keyboard writes for a hyphen between digits; to Unicode it is a letter


def plain(text: str) -> str:
    """The text with full-width and other compatible signs as the usual ones, and the digits of every script as 0 to 9."""
    usual = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in usual)


def compact(text: str) -> str:
    """The letters and digits alone, in capitals: `1012 js` → `1012JS`."""
    return "".join(sign for sign in plain(text) if sign.isalnum() and sign != LONG_VOWEL).upper()


def key(text: str) -> str:
    """What two spellings of a name have in common: no accents, case, blanks or punctuation. `São Paulo` → `saopaulo`."""
    apart = unicodedata.normalize("NFKD", plain(text)).casefold().replace("ı", "i")
    return "".join(sign for sign in apart if sign.isalnum())
