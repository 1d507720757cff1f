"""Billing information: only allowed members can be changed, validation is on the server, and no input is lost."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from portal_site.billing.models import Customer, Event
from portal_site.billing.rules.portal.portal_features import CustomerUpdate, Features
from tests import world
from tests.client import PortalClient, parse, text
from tests.conftest import Visit, enter
from tests.portal.billing_form import EDIT, store, stored_customer, submit
from tests.world import reading


@pytest.mark.both_databases
def test_billing_information_is_changed(visit: Visit) -> None:
    customer = world.scene().customer
    client = visit(customer)
    response = submit(
        client, name="Berg & Co", email="new@acme.example", phone="06 98 76 54 32", address_line1="2 quai Voltaire",
        address_city="Paris", address_postal_code="75007",
    )  # fmt: skip
    assert (response.status_code, response.location) == (303, "/billing-information")
    stored = stored_customer(customer)
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
        ({"email": ""}, "Email is required."),
        ({"email": "   "}, "Email is required."),
        ({"email": "nonsense"}, "Enter an email address"),
        ({"email": "a@b@c.example"}, "Enter an email address"),
        ({"email": "x" * 600 + "@acme.example"}, "Use at most 512 characters."),
        ({"name": "x" * 257}, "Name: Use at most 256 characters."),
        ({"name": "4242 4242 4242 4242"}, "looks like a card number"),
        ({"phone": "12"}, "Enter a phone number with its country code, such as +33 6 12 34 56 78."),
        (
            {"phone": "12", "address_country": "GB"},
            "Enter a phone number with its country code, such as +44 7400 123456.",
        ),
        ({"phone": "+99999999999"}, "Enter a phone number"),
        ({"phone": "call me"}, "Enter a phone number"),
        ({"address_postal_code": "ABC"}, "Billing address: Postal code is not valid for this country."),
        ({"address_city": ""}, "Billing address: City is required."),
        ({"address_line1": ""}, "Billing address: Address line 1 is required."),
        ({"address_country": "XX"}, "Billing address: Choose a country."),
        ({"address_country": ""}, "Billing address: Country is required."),
        ({"address_line1": "x" * 501}, "Billing address, Address line 1: Use at most 500 characters."),
        (
            {"shipping_name": "Reception", "shipping_country": "US", "shipping_line1": "1 Main St"},
            "Shipping address: City is required.",
        ),
        ({"shipping_phone": "nonsense"}, "Enter a phone number"),
    ],
)
def test_errors_are_at_their_fields_and_input_is_kept(visit: Visit, changed: dict[str, str], said: str) -> None:
    customer = world.scene().customer
    before = stored_customer(customer)
    response = submit(visit(customer), **changed)
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
    assert stored_customer(customer) == before


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
    assert submit(client, phone="+33698765432", **evil).status_code == 303
    stored = stored_customer(customer)
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
    assert submit(visit(customer), **emptied).status_code == 303
    stored = stored_customer(customer)
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
    assert submit(client, name=typed).status_code == 303
    assert stored_customer(customer).name == kept
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
    assert submit(client).status_code == 303  # what was stored is not refused as long as nobody touches it
    refused = submit(client, name="è" * 500)
    assert refused.status_code == 422
    assert "Use at most 256 characters." in refused.text
    assert submit(client, name="Hedda", address_line1="é" * 500).status_code == 303
    assert stored_customer(customer).address["line1"] == "é" * 500


@pytest.mark.parametrize("part", ["address", "shipping"])
@pytest.mark.parametrize("country", ["a\x85b", "\ufffe", "XX", "Germany", "<b>", "\ue000" * 500])
def test_a_country_alone_has_to_be_one(visit: Visit, part: str, country: str) -> None:
    client = visit(world.scene().customer)
    blank = {f"{part}_{name}": "" for name in ("line1", "line2", "city", "state", "postal_code")}
    refused = submit(client, **blank, **{f"{part}_country": country})
    assert refused.status_code == 422
    assert "Choose a country." in refused.text
    client.get("/billing-information")
    assert submit(client, **blank, **{f"{part}_country": "DE"}).status_code == 303


@pytest.mark.parametrize(
    ("country", "names"),
    [
        ("JP", ["postal_code", "state", "city", "line1", "line2"]),
        ("AE", ["line1", "line2", "city", "state"]),
        ("DE", ["line1", "line2", "postal_code", "city"]),
    ],
)
def test_the_fields_are_in_the_order_of_the_country(visit: Visit, country: str, names: list[str]) -> None:
    client = visit(world.scene().customer)
    page = client.send("/billing-information/address/fields", {**client.form(EDIT), "address_country": country}).text
    assert (
        re.findall(r'<(?:input|select)[^>]* name="address_(?!country)(\w+)"', page.partition('type="hidden"')[0])
        == names
    )


def test_a_postal_code_outlives_a_country_that_has_none(visit: Visit) -> None:
    client = visit(world.scene().customer)
    form = {**client.form(EDIT), "address_country": "DE", "address_postal_code": "10115"}
    for country in ("HK", "DE"):
        form["address_country"] = country
        page = client.send("/billing-information/address/fields", form).text
        form = {**form, **dict(re.findall(r'name="(address_postal_code)"[^>]* value="([^"]*)"', page))}
        assert 'name="address_postal_code"' in page
    assert form["address_postal_code"] == "10115"


SHIPPING = {"name": "Reception", "phone": None, "address": {**world.PARIS, "line1": "2 quai d’Orsay"}}


@pytest.mark.parametrize(
    ("stored", "ticked"),
    [
        (None, True),
        ({"name": None, "phone": None, "address": world.PARIS}, True),
        (SHIPPING, False),
        ({"name": "Reception", "phone": None, "address": None}, False),
    ],
)
def test_a_shipping_address_that_is_the_billing_address_is_a_ticked_box(
    visit: Visit, stored: dict[str, Any] | None, ticked: bool
) -> None:
    customer = world.scene().customer
    store(customer, shipping=stored)
    client = visit(customer)
    form = client.form(EDIT)
    assert ("shipping_same" in form) == ticked
    assert client.send(EDIT, form).status_code == 303
    assert stored_customer(customer).shipping == stored  # what nobody touched is not written


def test_the_shipping_address_follows_the_billing_address_while_the_box_is_ticked(visit: Visit) -> None:
    customer = world.scene().customer
    store(customer, shipping={"name": "Reception", "phone": None, "address": world.PARIS})
    client = visit(customer)
    assert submit(client, address_line1="3 rue Neuve").status_code == 303
    new = {**world.PARIS, "line1": "3 rue Neuve"}
    assert stored_customer(customer).address == new
    assert stored_customer(customer).shipping == {"name": "Reception", "phone": None, "address": new}


def test_ticking_the_box_ignores_what_stands_in_the_fields_below(visit: Visit) -> None:
    customer = world.scene().customer
    store(customer, shipping=SHIPPING)
    client = visit(customer)
    wrong = {"shipping_same": "y", "shipping_line1": "", "shipping_postal_code": "nonsense", "shipping_phone": "12"}
    assert client.send(EDIT, {**client.form(EDIT), **wrong}).status_code == 303
    assert stored_customer(customer).shipping == {**SHIPPING, "address": world.PARIS}


def test_without_the_box_the_shipping_address_is_one_of_its_own(visit: Visit) -> None:
    customer = world.scene().customer
    client = visit(customer)
    form = client.form(EDIT)
    form.pop("shipping_same")
    new = {
        "shipping_line1": "2 quai d’Orsay",
        "shipping_city": "Paris",
        "shipping_postal_code": "75007",
        "shipping_country": "FR",
    }
    assert client.send(EDIT, {**form, **new}).status_code == 303
    assert stored_customer(customer).address == world.PARIS
    assert stored_customer(customer).shipping["address"] == {
        **world.PARIS,
        "line1": "2 quai d’Orsay",
        "postal_code": "75007",
    }


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
