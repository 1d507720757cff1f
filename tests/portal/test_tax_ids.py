"""Tax IDs of a customer: adding, removing, and what is refused."""

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.customers import billing_information
from portal_site.billing.models import TaxId
from portal_site.billing.rules.customers import tax_ids
from tests import world
from tests.client import parse, text
from tests.conftest import Visit, enter
from tests.world import reading


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


@pytest.mark.parametrize(
    ("language", "first", "in_order"),
    [
        ("en", "European Union: VAT", ["Albania:", "Germany: ", "United Arab Emirates:", "Zimbabwe:"]),
        ("fr", "Union européenne", ["Albanie", "Égypte", "États-Unis", "Zimbabwe"]),
    ],
)
def test_types_are_sorted_by_country_in_the_pages_language_after_the_customers_own(
    lite_app: Flask, language: str, first: str, in_order: list[str]
) -> None:
    page = enter(lite_app, world.scene().customer, locale=language).get("/tax-ids/new").text
    options = ["".join(option.itertext()) for option in parse(page).iter("option")]
    assert len(options) == len(set(options)) == len(tax_ids.TYPES)
    assert options[0].startswith(first)
    places = [next(place for place, name in enumerate(options) if name.startswith(start)) for start in in_order]
    assert places == sorted(places)
    assert max(place for place, name in enumerate(options) if name.startswith("France")) < places[0]


def test_the_example_is_one_of_the_chosen_type(visit: Visit) -> None:
    client = visit(world.scene().customer)
    assert "for example DE123456789" in text(client.get("/tax-ids/new").text)
    refused = client.send("/tax-ids", {"type": "gb_vat", "value": "7"})
    assert "for example GB123456789" in text(refused.text)
