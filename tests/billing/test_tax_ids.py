"""Tax ids: every type of Stripe's with its format, and numbers in the notation of their country."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_site.billing.rules.customers import tax_ids
from tests.conftest import SHARED

EU = (
    "ATU12345678 BE0123456789 BG0123456789 CY12345678X CZ12345678 DE123456789 DK12345678 EE123456789 ESA1234567Z FI12345678 "
    "FR12345678901 EL123456789 HR12345678912 HU12345678 IE1234567AB IT12345678912 LT123456789123 LU12345678 LV12345678912 "
    "MT12345678 NL123456789B12 PL1234567890 PT123456789 RO1234567891 SE123456789123 SI12345678 SK1234567891 XI123456789"
).split()


@pytest.mark.parametrize("kind", tax_ids.TYPES)
def test_each_types_example_is_right_and_written_as_it_is(kind: str) -> None:
    assert tax_ids.check(kind, tax_ids.TYPES[kind].example) == tax_ids.TYPES[kind].example


def test_the_types_are_stripes() -> None:
    listed = SHARED / "tax_id_types.txt"
    if not listed.exists():
        pytest.skip("the field's list is not here")
    rows = [line.split("\t") for line in listed.read_text().splitlines() if not line.startswith("#")]
    assert {row[0] for row in rows} == set(tax_ids.TYPES)
    for kind, _, example, *_ in (row for row in rows if len(row) > 2 and row[2] and row[0] != "eu_vat"):
        tax_ids.check(kind, example)


@pytest.mark.parametrize("number", EU)
def test_a_vat_number_of_each_member_state(number: str) -> None:
    assert tax_ids.check("eu_vat", number) == number
    assert tax_ids.country_of("eu_vat", number) == {"EL": "GR"}.get(number[:2], number[:2])


@pytest.mark.parametrize(
    ("kind", "typed", "kept"),
    [
        ("eu_vat", " de 123.456-789 ", "DE123456789"),
        ("us_ein", "123456789", "12-3456789"),
        ("br_cnpj", "01234456543210", "01.234.456/5432-10"),
        ("ch_vat", "CHE123456789TVA", "CHE123456789TVA"),
    ],
)
def test_it_is_kept_as_it_is_usually_written(kind: str, typed: str, kept: str) -> None:
    assert tax_ids.check(kind, typed) == kept


@pytest.mark.parametrize("kind", tax_ids.TYPES)
def test_spelling_does_not_matter(kind: str) -> None:
    example = tax_ids.TYPES[kind].example
    wide = "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else "\u3000" for sign in example)
    bare = "".join(sign for sign in example if sign.isalnum())
    for typed in (example.lower(), wide, bare, " ".join(bare), f"'{example}'", example.replace("-", "\u2011")):
        assert tax_ids.check(kind, typed) == example


@pytest.mark.parametrize(
    ("kind", "typed", "country", "kept"),
    [
        ("eu_vat", "GR 123456789", "", "EL123456789"),
        ("eu_vat", "123456789", "DE", "DE123456789"),
        ("eu_vat", "123456789", "GR", "EL123456789"),
        ("eu_vat", "ATU12345678", "DE", "ATU12345678"),
        ("pl_nip", "PL 123-456-78-90", "", "123-456-78-90"),
        ("au_abn", "AU12345678912", "", "12 345 678 912"),
        ("es_cif", "ES-A12345678", "", "A12345678"),
        ("om_vat", "1234567890", "", "OM1234567890"),
        ("jp_trn", "1234567891234", "", "T1234567891234"),
        ("ch_uid", "123.456.789", "", "CHE123456789"),
        ("ch_vat", "CHE-123.456.789", "", "CHE-123.456.789 MWST"),
        ("ca_pst_bc", "1234-5678", "", "PST-1234-5678"),
    ],
)
def test_letters_that_people_add_or_leave_out(kind: str, typed: str, country: str, kept: str) -> None:
    assert tax_ids.check(kind, typed, country) == kept


@pytest.mark.parametrize(
    ("kind", "typed"),
    [("eu_vat", "123456789"), ("eu_vat", "GB123456789"), ("us_ein", "12345678"), ("us_ein", "١٢٣٤٥٦٧٨٩"), ("gb_vat", ""),
     ("in_gst", "x" * 60), ("de_stn", "<script>")],
)  # fmt: skip
def test_another_form_is_refused_with_an_example(kind: str, typed: str) -> None:
    with pytest.raises(tax_ids.TaxIdInvalid) as error:
        tax_ids.check(kind, typed)
    assert error.value.example == tax_ids.TYPES[kind].example


@given(st.sampled_from(list(tax_ids.TYPES)), st.text(max_size=80))
def test_whatever_is_typed_is_a_number_or_a_refusal_and_checking_again_changes_nothing(kind: str, typed: str) -> None:
    try:
        kept = tax_ids.check(kind, typed)
    except tax_ids.TaxIdInvalid:
        return
    assert tax_ids.check(kind, kept) == kept


@pytest.mark.case("C18")
@pytest.mark.parametrize("sign", ["1", "A", "-", " ", "é"])
def test_no_input_takes_long(sign: str) -> None:
    began = time.thread_time()
    for kind in tax_ids.TYPES:
        with pytest.raises(tax_ids.TaxIdInvalid):
            tax_ids.check(kind, sign * 65_536)
    assert time.thread_time() - began < 0.05 * len(tax_ids.TYPES)


def test_the_types_of_a_country_begin_with_the_european_number() -> None:
    assert [kind.code for kind in tax_ids.types_of("FR")] == ["eu_vat", "eu_oss_vat", "fr_siren", "fr_siret", "fr_spi"]
    assert tax_ids.types_of("US")[0].code == "us_ein"
    assert tax_ids.types_of("") == []


@pytest.mark.parametrize(
    ("kind", "value", "livemode", "state"),
    [
        ("eu_vat", "FR12345678901", True, "pending"),
        ("eu_vat", "DE000000000", False, "verified"),
        ("eu_vat", "DE000000000", True, "pending"),
        ("gb_vat", "GB111111111", False, "unverified"),
        ("us_ein", "12-3456789", True, "unavailable"),
    ],
)
def test_verification_begins(kind: str, value: str, livemode: bool, state: str) -> None:
    assert tax_ids.initial_verification(kind, value, livemode) == state
