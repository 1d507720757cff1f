"""What customers type as billing information: unchanged values are kept, and others are normalized or refused."""

from typing import Any

import pytest
from sqlalchemy import select

from portal_site.billing.models import Event
from portal_site.billing.rules.portal.portal_features import CustomerUpdate, Features
from tests import world
from tests.client import text
from tests.conftest import Visit
from tests.portal.billing_form import EDIT, store, stored_customer, submit
from tests.world import reading

FOREIGN: list[dict[str, Any]] = [
    {"address": {"country": "DE"}},
    {"address": {"country": "US", "postal_code": "94107"}},
    {"address": {"country": "GB", "postal_code": "nonsense", "line1": "1 Mill Lane"}},
    {"address": {"country": "DE", "line1": "Am Markt 1", "city": "Bonn", "state": "NRW", "postal_code": "1"}},
    {
        "address": {
            "country": "HK",
            "line1": "1 Main St",
            "city": "Central",
            "postal_code": "999077",
            "state": "Kowloon",
        }
    },
    {"address": {"country": "US", "line1": "1 Main St", "city": "Austin", "state": "texas", "postal_code": "78701"}},
    {"address": {"country": "US", "line1": "1 Main St", "city": "Austin", "state": "Tejas", "postal_code": "78701"}},
    {"address": {"country": "us", "line1": "1 Main St"}},
    {"address": {"country": "Germany", "line1": "Am Markt 1", "city": "Bonn"}},
    {"address": {"line1": "somewhere", "city": "Bonn"}},
    {"address": {"line1": "two\nlines ", "country": "FR", "city": "Paris", "district": "7"}},
    {"address": None},
    {"email": "billing@corp.local"},
    {"email": None},
    {"phone": "555-1234"},
    {"phone": "+1 (555) 12"},
    {"shipping": {"name": "Reception", "phone": "ask", "address": {"country": "CA"}, "carrier": "Post"}},
    {"shipping": {"phone": "555-1234"}},
    {"shipping": {"name": None, "address": {"country": "JP", "state": "tokyo", "line1": "1-1"}}},
]


@pytest.mark.both_databases
@pytest.mark.parametrize("values", FOREIGN, ids=str)
def test_changing_one_field_keeps_the_others(visit: Visit, values: dict[str, Any]) -> None:
    customer = world.scene().customer
    store(customer, **values)
    before = stored_customer(customer)
    assert submit(visit(customer), name="Hedda Holm").status_code == 303
    after = stored_customer(customer)
    assert after.name == "Hedda Holm"
    for member in ("email", "phone", "address", "shipping"):
        assert getattr(after, member) == getattr(before, member)


@pytest.mark.both_databases
def test_saving_without_a_change_writes_nothing(visit: Visit) -> None:
    customer = world.scene().customer
    store(customer, email="x@corp.local", phone="555-1234", address={"country": "DE"}, shipping={"phone": "1"})
    before = stored_customer(customer)
    assert submit(visit(customer)).status_code == 303
    assert stored_customer(customer) == before
    with reading() as connection:
        assert connection.execute(select(Event.__table__).where(Event.type == "customer.updated")).all() == []


@pytest.mark.parametrize(
    ("stored", "typed", "kept"),
    [
        ({"country": "DE"}, {"address_country": "FR"}, {"country": "FR"}),
        ({"country": "DE", "state": "BY", "city": "Ulm"}, {"address_city": "Bonn"},
         {"country": "DE", "state": "BY", "city": "Bonn"}),
        ({"country": "US", "state": "Tejas", "city": "Ostin"}, {"address_city": "Austin"},
         {"country": "US", "state": "Tejas", "city": "Austin"}),
        ({"country": "US", "postal_code": "94107", "state": "CA"}, {"address_country": "HK", "address_line1": "1 Main St",
         "address_city": "Central", "address_state": "Kowloon"},
         {"country": "HK", "line1": "1 Main St", "city": "Central", "state": "Kowloon"}),
        ({"country": "DE", "district": "Mitte", "line1": "A 1"}, {"address_line1": "A 2"},
         {"country": "DE", "district": "Mitte", "line1": "A 2"}),
        ({"line1": "A 1", "city": "Bonn"}, {"address_city": "Ulm"}, {"line1": "A 1", "city": "Ulm"}),
        ({"country": "DE", "line1": "A 1", "city": "Bonn", "state": "NRW"}, {"address_line1": "", "address_city": ""}, None),
        ({"country": "DE"}, {"address_country": ""}, None),
    ],
)  # fmt: skip
def test_what_was_changed_of_an_address_is_written_into_it(
    visit: Visit, stored: dict[str, str], typed: dict[str, str], kept: dict[str, str] | None
) -> None:
    customer = world.scene().customer
    store(customer, address=stored)
    assert submit(visit(customer), **typed).status_code == 303
    found = stored_customer(customer).address
    assert (found and {name: value for name, value in found.items() if value}) == kept


def test_fields_that_another_country_did_not_show_come_back_with_the_first(visit: Visit) -> None:
    customer = world.scene().customer
    store(
        customer,
        address={"country": "US", "line1": "1 Main St", "city": "Austin", "state": "TX", "postal_code": "78701"},
    )
    client = visit(customer)
    typed = client.form(EDIT)
    away = {name: value for name, value in typed.items() if name != "address_state"} | {"address_country": "FR"}
    back = {name: value for name, value in away.items() if name != "address_country"} | {"address_country": "US"}
    assert 'selected value="TX"' in client.send("/billing-information/country", back).text
    assert client.send(EDIT, back).status_code == 303
    assert stored_customer(customer).address["state"] == "TX"


def test_what_is_stored_is_checked_once_somebody_changes_it(visit: Visit) -> None:
    customer = world.scene().customer
    store(
        customer, email="x@corp.local", phone="555-1234", address={"country": "DE", "city": "Bonn", "postal_code": "1"}
    )
    client = visit(customer)
    for typed in (
        {"email": "y@corp.local"},
        {"phone": "555"},
        {"address_postal_code": "2"},
        {"address_city": ""},
    ):
        assert submit(client, **typed).status_code == 422


@pytest.mark.parametrize("email", ["billing@corp.local", "nobody"])
def test_an_email_address_that_no_mail_gets_to_can_be_emptied(visit: Visit, email: str) -> None:
    customer = world.scene().customer
    store(customer, email=email)
    assert submit(visit(customer), email="").status_code == 303
    assert stored_customer(customer).email is None


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("ｈｅｄｄａ＠ａｃｍｅ．ｅｘａｍｐｌｅ", "hedda@acme.example"), (" hedda @ACME.example ", "hedda@acme.example")],
)
def test_an_email_address_is_taken_as_any_keyboard_writes_it(visit: Visit, typed: str, kept: str) -> None:
    customer = world.scene().customer
    assert submit(visit(customer), email=typed).status_code == 303
    assert stored_customer(customer).email == kept


@pytest.mark.parametrize(
    ("country", "state", "city", "typed", "kept"),
    [
        ("BR", "RJ", "Niteroi", "24020 125", "24020-125"),
        ("BR", "SP", "Sampa", "０１３１０１００", "01310-100"),
        ("KR", "서울특별시", "Seoul", "03051", "03051"),
        ("KR", "부산광역시", "haeundae", "48058", "48058"),
        ("TW", "台北市", "Taipei", "106", "106"),
        ("CN", "上海市", "Shanghai", "200000", "200000"),
        ("NL", "", "Den Haag", "2511cv", "2511 CV"),
        ("AT", "", "Wien", "A-1010", "1010"),
        ("CA", "QC", "Montreal", "h2x 1y4", "H2X 1Y4"),
    ],
)
def test_parts_of_an_address_have_the_countrys_names(
    visit: Visit, country: str, state: str, city: str, typed: str, kept: str
) -> None:
    customer = world.scene().customer
    address = {
        "country": country, "state": state, "city": city, "postal_code": typed, "line1": "1", "line2": ""
    }  # fmt: skip
    response = submit(visit(customer), **{f"address_{name}": value for name, value in address.items()})
    assert response.status_code == 303
    stored = stored_customer(customer).address
    assert (stored["city"], stored["postal_code"], stored["state"] or "") == (city, kept, state)


def test_a_code_of_another_state_is_called_that_and_an_example_is_shown(visit: Visit) -> None:
    customer = world.scene().customer
    address = {"address_country": "US", "address_line1": "1 Main St", "address_city": "Austin", "address_state": "TX"}
    client = visit(customer)
    other = text(submit(client, **address, address_postal_code="94107").text)
    assert "ZIP code does not fit the state (Texas). There it looks like 75000." in other
    spain = {**address, "address_country": "ES", "address_state": "Sevilla", "address_postal_code": "28039"}
    assert "Postal code does not fit the state (Sevilla)." in (said := text(submit(client, **spain).text))
    assert "There it looks like" not in said  # the list knows no code of this state
    wrong = text(submit(client, address_postal_code="7500").text)
    assert "Postal code is not valid for this country. It looks like 33380." in wrong


@pytest.mark.parametrize(
    ("field", "typed", "kept"),
    [("phone", "+55 11 91234-5676", "+5511912345676"), ("shipping_phone", "+86 138 0013 8002", "+8613800138002")],
)
def test_a_phone_number_is_not_taken_for_a_card_number(visit: Visit, field: str, typed: str, kept: str) -> None:
    customer = world.scene().customer
    assert submit(visit(customer), **{field: typed}).status_code == 303
    stored = stored_customer(customer)
    assert (stored.phone if field == "phone" else stored.shipping["phone"]) == kept


def test_a_phone_alone_is_read_in_the_stored_country(visit: Visit) -> None:
    features = Features(customer_update=CustomerUpdate(allowed_updates=("phone",)))
    customer = world.scene(features=features).customer
    assert submit(visit(customer), phone="０６ ９８ ７６ ５４ ３２").status_code == 303
    assert stored_customer(customer).phone == "+33698765432"


@pytest.mark.parametrize("siret", ["73282932000074", "35600000000048"])
def test_a_tax_id_is_not_taken_for_a_card_number(visit: Visit, siret: str) -> None:
    client = visit(world.scene().customer)
    client.get("/tax-ids/new")
    assert client.send("/tax-ids", {"type": "fr_siret", "value": siret}).status_code == 303
