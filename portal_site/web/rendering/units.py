"""Quantities with unit labels: 25 seats, 1 seat. Merchants use the singular or the plural for a label."""

from flask_babel import get_locale

ENDINGS = ("s", "x", "z", "ch", "sh")
VOWELS = "aeiou"


def named(count: str, quantity: int, label: str) -> str:
    """The formatted count with the label in its singular or plural."""
    return f"{count} {of_count(quantity, label)}"


def of_count(quantity: int, label: str) -> str:
    """The label as it stands beside this quantity, in its singular or plural."""
    return singular(label) if quantity == 1 else plural(label)


def plural(label: str) -> str:
    """The plural of the label. Only plain words of the pages' languages are changed: GB and 席 stay as they are."""
    if not _is_word(label) or label.endswith("s"):
        return label
    if _is_french():
        return label if label.endswith(("x", "z")) else f"{label}s"
    if label.endswith("y") and label[-2:-1] not in VOWELS:
        return f"{label[:-1]}ies"
    return f"{label}es" if label.endswith(ENDINGS) else f"{label}s"


def singular(label: str) -> str:
    """The singular of the label."""
    if not _is_word(label) or not label.endswith("s") or label.endswith("ss"):
        return label
    if _is_french():
        return label[:-1]
    if label.endswith("ies") and len(label) > 4:
        return f"{label[:-3]}y"
    return label[:-2] if label.endswith(("xes", "ches", "shes", "sses")) else label[:-1]


def _is_word(label: str) -> bool:
    return len(label) > 2 and label.isalpha() and label.islower()


def _is_french() -> bool:
    return str(get_locale()).startswith("fr")
