"""Tax ids: whether a number has the form of its type, and how it is written; whether it was ever given out is not known here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from portal_site.billing.rules.customers.tax_id_types import COUNTRIES, EU_FORMS, FORMS, GREECE

LONGEST = 50
PUNCTUATION = re.compile(r"[\s.\-/_,:·–—]+")
# The authorities that answer whether a number is in force: VIES, ABR and HMRC.
VERIFIABLE = frozenset({"eu_vat", "au_abn", "gb_vat"})
# In test mode, as in the field, the digits of a number decide what its verification comes to.
TEST_OUTCOMES = {"0": "verified", "1": "unverified"}


@dataclass(frozen=True, slots=True)
class TaxIdType:
    """A kind of tax id; `country` is None for those of the European Union."""

    code: str
    country: str | None
    name: str
    form: re.Pattern[str]
    example: str


class TaxIdInvalid(ValueError):
    """The number does not have the form of its type; `example` does."""

    def __init__(self, kind: str, example: str) -> None:
        super().__init__(f"not a {kind}, which looks like {example}")
        self.kind = kind
        self.example = example


def _type(code: str, name: str, form: str, example: str) -> TaxIdType:
    if code == "eu_vat":
        form = "|".join(f"{letters}({digits})" for letters, digits in EU_FORMS.items())
    return TaxIdType(code, COUNTRIES.get(code, code[:2].upper()), name, re.compile(form, re.ASCII), example)


TYPES: Mapping[str, TaxIdType] = {row[0]: _type(*row) for row in FORMS}


def check(kind: str, typed: str) -> str:
    """The number as it is usually written. Raises TaxIdInvalid when it does not have its type's form, KeyError without type."""
    found = TYPES[kind]
    compact = PUNCTUATION.sub("", typed[: LONGEST + 1]).upper()
    if len(typed) > LONGEST or not found.form.fullmatch(compact):
        raise TaxIdInvalid(kind, found.example)
    return _written_like(found.example, compact)


def _written_like(example: str, compact: str) -> str:
    """The characters with the example's punctuation between them, when they are as many: 12345678901 → 12-34567890-1."""
    if len(PUNCTUATION.sub("", example)) != len(compact):
        return compact
    rest = iter(compact)
    return "".join(sign if PUNCTUATION.fullmatch(sign) else next(rest) for sign in example)


def country_of(kind: str, value: str) -> str | None:
    """The country that gave out a checked number; None when the type does not tell."""
    found = TYPES[kind]
    if found.country is not None or kind != "eu_vat":
        return found.country
    return GREECE.get(value[:2], value[:2])


def types_for(country: str) -> list[TaxIdType]:
    """All types, those of a customer in this country (two letters, may be empty) first."""
    own = {code for code, kind in TYPES.items() if kind.country == country}
    if country in EU_FORMS or country in GREECE.values():
        own |= {"eu_vat", "eu_oss_vat"}
    return sorted(TYPES.values(), key=lambda kind: (kind.code not in own, kind.code != "eu_vat", kind.code))


def initial_verification(kind: str, value: str, livemode: bool) -> str:
    """The state in which a new number begins: `pending_lines` while an authority is asked, `unavailable` where none can be."""
    if kind not in VERIFIABLE:
        return "unavailable"
    digits = {sign for sign in value if sign.isdigit()}
    if not livemode and len(digits) == 1:
        return TEST_OUTCOMES.get(digits.pop(), "pending")
    return "pending"
