"""What can be printed of a text that anybody may have typed."""

import unicodedata
from collections.abc import Callable, Collection
from typing import Any

LONGEST = 5000  # characters of one text
SUBSTITUTE = "?"
_JOINERS = "\u200c\u200d"  # they change the shape of Indic and Persian letters
_MARKS = ("Mn", "Me", "Mc")


def plain(text: str) -> str:
    """The text without what has no shape of its own: control characters, marks of direction, variations of emoji.

    An override of direction would let a name turn the figures beside it around.
    """
    valid = text[:LONGEST].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    lines = valid.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    kept = (_kept(sign) for sign in unicodedata.normalize("NFC", lines))
    return "".join(kept).strip()


def _kept(sign: str) -> str:
    if sign in _JOINERS or sign == "\n":
        return sign
    category = unicodedata.category(sign)
    if category in ("Cc", "Zs"):
        return sign if sign in "\u00a0\u202f" else " "
    is_variation = "\ufe00" <= sign <= "\ufe0f" or "\U000e0100" <= sign <= "\U000e01ef"
    return "" if category == "Cf" or is_variation else sign


def printable(text: str, known: Collection[int]) -> tuple[str, set[str]]:
    """The text with a question mark for what no font has, and what that was. Marks on a letter are left out instead."""
    missing = {sign for sign in text if ord(sign) not in known and sign != "\n"}
    if not missing:
        return text, missing
    absent = {
        ord(sign): "" if unicodedata.category(sign) in _MARKS or sign in _JOINERS else SUBSTITUTE for sign in missing
    }
    return text.translate(absent), {sign for sign in missing if absent[ord(sign)]}


def each(content: Any, change: Callable[[str], str]) -> Any:
    """The content with every text in it changed."""
    if isinstance(content, str):
        return change(content)
    if isinstance(content, dict):
        return {name: each(value, change) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [each(value, change) for value in content]
    return content
