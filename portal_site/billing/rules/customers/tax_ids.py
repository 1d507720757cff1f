"""Format check and normalization of tax ids. Whether a number was ever issued is not checked."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from portal_site.billing.rules.customers.tax_id_types import COUNTRIES, EU_FORMS, FORMS, GREECE

LONGEST = 50
PUNCTUATION = re.compile(r"[\s.\-/]")  # in the examples
SIGNS = "&+*"  # a Mexican RFC may have the first, an Irish VAT number the others
# Letters other than the country's code that people write before a number or leave out.
LETTERS = {
    "ch_uid": ("CHE",),
    "ch_vat": ("CHE",),
    "li_uid": ("CHE",),
    "jp_trn": ("T",),
    "ca_pst_bc": ("PST",),
    "mu_vat": ("VAT",),
}
ENDINGS = {"ch_vat": "MWST"}  # the number is the same with MWST, TVA, IVA or VAT behind it
# The types that an authority can verify: VIES, ABR and HMRC.
VERIFIABLE = frozenset({"eu_vat", "au_abn", "gb_vat"})
# In test mode, as with Stripe, a number that repeats one of these digits has a fixed verification result.
TEST_OUTCOMES = {"0": "verified", "1": "unverified"}


@dataclass(frozen=True, slots=True)
class TaxIdType:
    """A type of tax id. `country` is None for the types of the European Union."""

    code: str
    country: str | None
    name: str
    form: re.Pattern[str]
    example: str


class TaxIdInvalid(ValueError):
    """The number does not match the format of its type. `example` is a number that does."""

    def __init__(self, kind: str, example: str) -> None:
        super().__init__(f"not a {kind}, which looks like {example}")
        self.kind = kind
        self.example = example


def _type(code: str, name: str, form: str, example: str) -> TaxIdType:
    if code == "eu_vat":
        form = "|".join(f"{letters}({digits})" for letters, digits in EU_FORMS.items())
    return TaxIdType(code, COUNTRIES.get(code, code[:2].upper()), name, re.compile(form, re.ASCII), example)


TYPES: Mapping[str, TaxIdType] = {row[0]: _type(*row) for row in FORMS}


def check(kind: str, typed: str, country: str = "") -> str:
    """The number in its usual notation, taken in any case, with any punctuation, with its country before it or without.

    `country` is the customer's, which a European VAT number without letters is taken to be of. Raises TaxIdInvalid for a wrong
    format and KeyError for an unknown type.
    """
    tax_id_type = TYPES[kind]
    compact = _compact(typed[: LONGEST + 1])
    found = next(filter(tax_id_type.form.fullmatch, _readings(tax_id_type, compact, country)), None)
    if len(typed) > LONGEST or found is None:
        raise TaxIdInvalid(kind, tax_id_type.example)
    return _written_like(tax_id_type.example, found)


def _compact(text: str) -> str:
    """The letters and digits alone, in capitals; full-width ones as the usual ones. Some numbers have signs, of `SIGNS`."""
    usual = unicodedata.normalize("NFKC", text).upper()
    return "".join(sign for sign in usual if sign.isalnum() or sign in SIGNS)


def _readings(kind: TaxIdType, compact: str, country: str) -> Iterator[str]:
    """The number as it was typed, and with or without the country's letters where people are free to write these."""
    yield compact
    for letters in (kind.country, *LETTERS.get(kind.code, ())):
        if letters is not None:
            yield compact.removeprefix(letters)
            yield letters + compact
    if kind.code in ENDINGS:
        yield compact + ENDINGS[kind.code]
    if kind.code == "eu_vat":
        prefixes = {own: prefix for prefix, own in GREECE.items()}
        yield prefixes.get(compact[:2], compact[:2]) + compact[2:]
        yield prefixes.get(country, country) + compact


def _written_like(example: str, compact: str) -> str:
    """The number with the example's punctuation, 12345678901 → 12-34567890-1; unchanged if the lengths differ."""
    if len(PUNCTUATION.sub("", example)) != len(compact):
        return compact
    rest = iter(compact)
    return "".join(sign if PUNCTUATION.fullmatch(sign) else next(rest) for sign in example)


def country_of(kind: str, value: str) -> str | None:
    """The country that issued a checked number; None if the type does not determine it."""
    country = TYPES[kind].country
    if country is not None or kind != "eu_vat":
        return country
    return GREECE.get(value[:2], value[:2])


def has_european_vat(country: str) -> bool:
    """Whether VAT numbers of the European Union are given there."""
    return country in EU_FORMS.keys() - GREECE.keys() or country in GREECE.values()


def types_of(country: str) -> list[TaxIdType]:
    """The types that are used in this country (ISO code of two letters, or empty), the likeliest first."""
    own = {code for code, kind in TYPES.items() if kind.country == country}
    if has_european_vat(country):
        own |= {"eu_vat", "eu_oss_vat"}
    return sorted((TYPES[code] for code in own), key=lambda kind: (kind.code != "eu_vat", kind.code))


def initial_verification(kind: str, value: str, livemode: bool) -> str:
    """The verification status of a new number: `pending` until the authority answers, `unavailable` if there is none.

    In test mode some numbers have a fixed result; see TEST_OUTCOMES.
    """
    if kind not in VERIFIABLE:
        return "unavailable"
    digits = {sign for sign in value if sign.isdigit()}
    if not livemode and len(digits) == 1:
        return TEST_OUTCOMES.get(digits.pop(), "pending")
    return "pending"
