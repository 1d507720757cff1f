"""Billing information: only allowed members can be changed, validation is on the server, and no input is lost."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.customers import billing_information
from portal_site.billing.models import Customer, Event, TaxId
from portal_site.billing.rules.portal.portal_features import CustomerUpdate, Features
from tests import world
from tests.client import PortalClient, parse, text
from tests.conftest import Visit, enter
from tests.world import reading

EDIT = "/billing-information/edit"


def _stored(customer: Customer) -> Any:
    with reading() as connection:
        return connection.execute(select(Customer.__table__).where(Customer.id == customer.id)).one()


def _submit(client: PortalClient, **changed: str | bytes) -> Any:
    return client.send(EDIT, {**client.form(EDIT), **changed})


@pytest.mark.both_databases
def test_billing_information_is_changed(visit: Visit) -> None:
    customer = world.scene().customer
    client = visit(customer)
    response = _submit(
        client, name="Berg & Co", email="new@acme.example", phone="06 98 76 54 32", address_line1="2 quai Voltaire",
        address_city="Paris", address_postal_code="75007",
    )  # fmt: skip
    assert (response.status_code, response.location) == (303, "/billing-information")
    stored = _stored(customer)
    assert (stored.name, stored.email, stored.phone) == ("Berg & Co", "new@acme.example", "+33698765432")
    assert stored.address == {
        "line1": "2 quai Voltaire", "line2": None, "city": "Paris", "state": None, "postal_code": "75007", "country": "FR",
    }  # fmt: skip
    page = text(client.get("/billing-information").text)
    assert "Your billing information was updated." in page
    assert "75007 Paris" in page
    with reading() as connection:
        event = connection.execute(select(Event.__table__).where(Event.type == "customer.updated")).one()
    assert event.data["previous_attributes"]["name"] == "Hedda Berg"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"email": ""}, "E-mail is required."),
        ({"email": "   "}, "E-mail is required."),
        ({"email": "nonsense"}, "Enter an e-mail address"),
        ({"email": "a@b@c.example"}, "Enter an e-mail address"),
        ({"email": "x" * 600 + "@acme.example"}, "Use at most 512 characters."),
        ({"name": "x" * 257}, "Use at most 256 characters."),
        ({"name": "4242 4242 4242 4242"}, "looks like a card number"),
        ({"phone": "12"}, "Enter a phone number"),
        ({"phone": "+99999999999"}, "Enter a phone number"),
        ({"phone": "call me"}, "Enter a phone number"),
        ({"address_postal_code": "ABC"}, "Postal code is not valid for this country."),
        ({"address_city": ""}, "City is required."),
        ({"address_line1": ""}, "Address is required."),
        ({"address_country": "XX"}, "Country is not valid"),
        ({"address_country": ""}, "Country is required."),
        ({"address_line1": "x" * 501}, "Use at most 500 characters."),
        ({"shipping_name": "Reception", "shipping_country": "US", "shipping_line1": "1 Main St"}, "City is required."),
        ({"shipping_phone": "nonsense"}, "Enter a phone number"),
    ],
)
def test_errors_are_at_their_fields_and_input_is_kept(visit: Visit, changed: dict[str, str], said: str) -> None:
    customer = world.scene().customer
    before = _stored(customer)
    response = _submit(visit(customer), **changed)
    assert response.status_code == 422
    page = parse(response.text)
    typed = {f.get("name"): f.get("value") for f in page.iter("input")} | {
        s.get("name"): next((o.get("value") for o in s.iter("option") if o.get("selected") is not None), "")
        for s in page.iter("select")
    }
    for name, value in changed.items():
        if name in typed and value != "XX":
            assert (typed[name] or "") == value.strip()
    summary = next(e for e in page.iter("div") if e.get("class") == "error-summary")
    assert said in " ".join(" ".join(summary.itertext()).split())
    wrong = [e for e in page.iter() if e.get("aria-invalid") == "true"]
    links = {a.get("href", "").removeprefix("#") for a in summary.iter("a")}
    assert {field.get("id") for field in wrong} == links
    assert response.text.index("<title>Error:")
    assert _stored(customer) == before


@pytest.mark.case("B6")
def test_fields_that_are_not_allowed_are_not_there_and_not_taken(visit: Visit) -> None:
    features = Features(customer_update=CustomerUpdate(allowed_updates=("phone",)))
    customer = world.scene(features=features).customer
    client = visit(customer)
    assert set(client.form(EDIT)) == {"csrf_token", "phone"}
    evil = {
        "name": "Evil",
        "email": "evil@acme.example",
        "balance": "-100000",
        "account_id": "acct_evil",
        "livemode": "1",
    }
    evil |= {"address_country": "US", "tax_exempt": "exempt", "default_payment_method_id": "pm_evil", "metadata": "x"}
    assert _submit(client, phone="+33698765432", **evil).status_code == 303
    stored = _stored(customer)
    assert (stored.name, stored.email, stored.balance, stored.phone) == (
        "Hedda Berg",
        "hedda@acme.example",
        0,
        "+33698765432",
    )
    assert stored.address["country"] == "FR"


def test_when_only_tax_ids_may_change_there_is_no_form(visit: Visit) -> None:
    client = visit(world.scene(features=Features(customer_update=CustomerUpdate(allowed_updates=("tax_id",)))).customer)
    assert client.get(EDIT).status_code == 404
    assert client.get("/tax-ids/new").status_code == 200


def test_when_tax_ids_may_not_change_they_have_no_page(visit: Visit) -> None:
    client = visit(world.scene(features=Features()).customer)
    client.get("/")
    assert client.get("/tax-ids/new").status_code == 404
    assert client.send("/tax-ids", {"type": "us_ein", "value": "123456789"}).status_code == 404


@pytest.mark.parametrize(
    ("country", "labels", "absent"),
    [
        ("US", ["State", "ZIP code"], ["Region"]),
        ("JP", ["Prefecture", "Postal code", "Osaka"], ["ZIP code"]),
        ("IE", ["Eircode"], ["ZIP code"]),
        ("HK", ["District"], ["Postal code"]),
        ("CA", ["Province", "Postal code"], ["ZIP code"]),
    ],
)
def test_the_fields_follow_the_country_with_and_without_script(
    visit: Visit, country: str, labels: list[str], absent: list[str]
) -> None:
    client = visit(world.scene().customer)
    typed = {**client.form(EDIT), "address_country": country, "name": "Still here"}
    whole = client.send("/billing-information/country", typed)
    part = client.send("/billing-information/address/fields", typed)
    assert whole.status_code == part.status_code == 200
    assert "Still here" in whole.text
    inside = text(part.text)
    for label in labels:
        assert label in inside
    for label in absent:
        assert label not in inside
    assert part.text.strip().split("\n")[0] in whole.text


@pytest.mark.both_databases
def test_an_address_can_be_emptied(visit: Visit) -> None:
    customer = world.scene().customer
    emptied = {"address_line1": "", "address_city": "", "address_postal_code": "", "phone": "", "name": ""}
    assert _submit(visit(customer), **emptied).status_code == 303
    stored = _stored(customer)
    assert (stored.address, stored.phone, stored.name) == (None, None, None)


@pytest.mark.case("D21")
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Zoe\u0301 \U0001f984", "Zoé \U0001f984"),
        ("شركة النور", "شركة النور"),
        ("a\u200db", "a\u200db"),
        ("a\u202eb\u0000c\x1bd", "a\u202ebcd"),
        ("<b>&\"'", "<b>&\"'"),
        ("Ρaypal", "Ρaypal"),
        ("é" * 256, "é" * 256),
        (b"a\xed\xa0\x80b", "a%ED%A0%80b"),
    ],
    ids=[
        "decomposed and emoji",
        "right to left",
        "joiner",
        "controls",
        "markup",
        "look-alike",
        "longest",
        "lone surrogate",
    ],
)
@pytest.mark.both_databases
def test_names_are_kept_as_people_mean_them_and_shown_isolated(visit: Visit, typed: str | bytes, kept: str) -> None:
    customer = world.scene().customer
    client = visit(customer)
    assert _submit(client, name=typed).status_code == 303
    assert _stored(customer).name == kept
    page = parse(client.get("/billing-information").text)
    assert kept in ["".join(e.itertext()) for e in page.iter("bdi")]


@pytest.mark.case("D21")
def test_a_name_of_500_characters_is_shown_when_there_and_refused_when_typed(visit: Visit) -> None:
    customer = world.scene().customer
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == customer.id).values(name="é" * 500))
    client = visit(customer)
    page = parse(client.get("/billing-information").text)
    assert "é" * 500 in ["".join(e.itertext()) for e in page.iter("bdi")]
    assert _submit(client).status_code == 303  # what was stored is not refused as long as nobody touches it
    refused = _submit(client, name="è" * 500)
    assert refused.status_code == 422
    assert "Use at most 256 characters." in refused.text
    assert _submit(client, name="Hedda", address_line1="é" * 500).status_code == 303
    assert _stored(customer).address["line1"] == "é" * 500


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.dictionaries(
        st.sampled_from(["name", "email", "phone", "address_country", "address_line1", "address_state", "address_postal_code",
                         "address_city", "shipping_country", "shipping_phone", "shipping_state", "nonsense"]),
        st.text(max_size=60), max_size=12,
    )
)  # fmt: skip
def test_any_input_is_stored_or_refused(lite_app: Any, data: dict[str, str]) -> None:
    client = _CLIENTS.get("one")
    if client is None or client.get("/").status_code != 200:
        client = _CLIENTS["one"] = enter(lite_app, world.scene().customer)
        client.get("/")
    safe = {name: value.encode("utf-8", "ignore").decode() for name, value in data.items()}
    assert client.send(EDIT, safe).status_code in (303, 422)
    assert client.send("/billing-information/country", safe).status_code == 200


_CLIENTS: dict[str, PortalClient] = {}


# --- what was not changed, and what people type -----------------------------------------------------------------------------


def _put(customer: Customer, **values: Any) -> None:
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == customer.id).values(**values))


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
    _put(customer, **values)
    before = _stored(customer)
    assert _submit(visit(customer), name="Hedda Holm").status_code == 303
    after = _stored(customer)
    assert after.name == "Hedda Holm"
    for member in ("email", "phone", "address", "shipping"):
        assert getattr(after, member) == getattr(before, member)


@pytest.mark.both_databases
def test_saving_without_a_change_writes_nothing(visit: Visit) -> None:
    customer = world.scene().customer
    _put(customer, email="x@corp.local", phone="555-1234", address={"country": "DE"}, shipping={"phone": "1"})
    before = _stored(customer)
    assert _submit(visit(customer)).status_code == 303
    assert _stored(customer) == before
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
    _put(customer, address=stored)
    assert _submit(visit(customer), **typed).status_code == 303
    found = _stored(customer).address
    assert (found and {name: value for name, value in found.items() if value}) == kept


def test_fields_that_another_country_did_not_show_come_back_with_the_first(visit: Visit) -> None:
    customer = world.scene().customer
    _put(
        customer,
        address={"country": "US", "line1": "1 Main St", "city": "Austin", "state": "TX", "postal_code": "78701"},
    )
    client = visit(customer)
    typed = client.form(EDIT)
    away = {name: value for name, value in typed.items() if name != "address_state"} | {"address_country": "FR"}
    back = {name: value for name, value in away.items() if name != "address_country"} | {"address_country": "US"}
    assert 'selected value="TX"' in client.send("/billing-information/country", back).text
    assert client.send(EDIT, back).status_code == 303
    assert _stored(customer).address["state"] == "TX"


def test_what_is_stored_is_checked_once_somebody_changes_it(visit: Visit) -> None:
    customer = world.scene().customer
    _put(
        customer, email="x@corp.local", phone="555-1234", address={"country": "DE", "city": "Bonn", "postal_code": "1"}
    )
    client = visit(customer)
    for typed in (
        {"email": "y@corp.local"},
        {"phone": "555"},
        {"address_postal_code": "2"},
        {"address_city": ""},
    ):
        assert _submit(client, **typed).status_code == 422


@pytest.mark.parametrize("email", ["billing@corp.local", "nobody"])
def test_an_email_address_that_no_mail_gets_to_can_be_emptied(visit: Visit, email: str) -> None:
    customer = world.scene().customer
    _put(customer, email=email)
    assert _submit(visit(customer), email="").status_code == 303
    assert _stored(customer).email is None


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("ｈｅｄｄａ＠ａｃｍｅ．ｅｘａｍｐｌｅ", "hedda@acme.example"), (" hedda @ACME.example ", "hedda@acme.example")],
)
def test_an_email_address_is_taken_as_any_keyboard_writes_it(visit: Visit, typed: str, kept: str) -> None:
    customer = world.scene().customer
    assert _submit(visit(customer), email=typed).status_code == 303
    assert _stored(customer).email == kept


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
    response = _submit(visit(customer), **{f"address_{name}": value for name, value in address.items()})
    assert response.status_code == 303
    stored = _stored(customer).address
    assert (stored["city"], stored["postal_code"], stored["state"] or "") == (city, kept, state)


def test_a_code_of_another_state_is_called_that_and_an_example_is_shown(visit: Visit) -> None:
    customer = world.scene().customer
    address = {"address_country": "US", "address_line1": "1 Main St", "address_city": "Austin", "address_state": "TX"}
    client = visit(customer)
    other = text(_submit(client, **address, address_postal_code="94107").text)
    assert "ZIP code does not fit the state (Texas). There it looks like 75000." in other
    spain = {**address, "address_country": "ES", "address_state": "Sevilla", "address_postal_code": "28039"}
    assert "Postal code does not fit the state (Sevilla)." in (said := text(_submit(client, **spain).text))
    assert "There it looks like" not in said  # the list knows no code of this state
    wrong = text(_submit(client, address_postal_code="7500").text)
    assert "Postal code is not valid for this country. It looks like 33380." in wrong


@pytest.mark.parametrize(
    ("field", "typed", "kept"),
    [("phone", "+55 11 91234-5676", "+5511912345676"), ("shipping_phone", "+86 138 0013 8002", "+8613800138002")],
)
def test_a_phone_number_is_not_taken_for_a_card_number(visit: Visit, field: str, typed: str, kept: str) -> None:
    customer = world.scene().customer
    assert _submit(visit(customer), **{field: typed}).status_code == 303
    stored = _stored(customer)
    assert (stored.phone if field == "phone" else stored.shipping["phone"]) == kept


def test_a_phone_alone_is_read_in_the_stored_country(visit: Visit) -> None:
    features = Features(customer_update=CustomerUpdate(allowed_updates=("phone",)))
    customer = world.scene(features=features).customer
    assert _submit(visit(customer), phone="０６ ９８ ７６ ５４ ３２").status_code == 303
    assert _stored(customer).phone == "+33698765432"


@pytest.mark.parametrize("siret", ["73282932000074", "35600000000048"])
def test_a_tax_id_is_not_taken_for_a_card_number(visit: Visit, siret: str) -> None:
    client = visit(world.scene().customer)
    client.get("/tax-ids/new")
    assert client.send("/tax-ids", {"type": "fr_siret", "value": siret}).status_code == 303


# --- tax ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_tax_id_is_added_shown_and_removed(visit: Visit) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    form = client.form("/tax-ids/new", "/tax-ids")
    response = client.send("/tax-ids", {**form, "type": "eu_vat", "value": "fr 12 345678901"})
    assert response.location == "/billing-information"
    page = client.get("/billing-information")
    assert "FR12345678901" in text(page.text)
    assert "being verified" in text(page.text)
    with reading() as connection:
        tax_id = connection.execute(select(TaxId.__table__)).one()
    assert (tax_id.country, tax_id.verification_status) == ("FR", "pending")
    assert "FR12345678901" in text(client.get(f"/tax-ids/{tax_id.id}/removal").text)
    assert client.send(f"/tax-ids/{tax_id.id}/removal").location == "/billing-information"
    assert "FR12345678901" not in text(client.get("/billing-information").text)


@pytest.mark.parametrize(
    ("kind", "value", "field", "said"),
    [
        ("eu_vat", "", "value", "Number is required."),
        ("eu_vat", "12", "value", "It looks like DE123456789."),
        ("eu_vat", "x" * 51, "value", "Use at most 50 characters."),
        ("nonsense", "FR12345678901", "type", "Choose a type of tax ID from the list."),
        ("", "FR12345678901", "type", "Choose a type of tax ID from the list."),
        ("eu_vat", "FR12345678901", "value", "You have already added this tax ID."),
    ],
)
def test_a_wrong_tax_id_is_refused_at_the_field(visit: Visit, kind: str, value: str, field: str, said: str) -> None:
    scene = world.scene()
    billing_information.add_tax_id(scene.customer.id, "eu_vat", "FR12345678901", clock.now())
    client = visit(scene.customer)
    client.get("/tax-ids/new")
    response = client.send("/tax-ids", {"type": kind, "value": value})
    assert response.status_code == 422
    assert said in text(response.text)
    wrong = [e.get("name") for e in parse(response.text).iter() if e.get("aria-invalid") == "true"]
    assert wrong == [field]


@pytest.mark.both_databases
def test_the_number_of_tax_ids_is_limited(visit: Visit) -> None:
    scene = world.scene()
    for number in range(5):
        billing_information.add_tax_id(scene.customer.id, "us_ein", f"12345678{number}", clock.now())
    client = visit(scene.customer)
    client.get("/tax-ids/new")
    response = client.send("/tax-ids", {"type": "us_ein", "value": "987654321"})
    assert response.status_code == 422
    assert "You can have up to 5 tax IDs." in text(response.text)
