"""Portal sessions through the API: what the merchant's program asks for is what the customer gets."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal_site.billing.models import Account, Customer, PortalConfiguration
from tests import world
from tests.api.calls import SESSIONS, Program, error, path_of
from tests.client import text

SCHEMAS = Path(__file__).parents[3] / "shared" / "data" / "stripe-openapi.json.gz"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "recorded-members.json"
NO_FACTS = pytest.mark.skipif(not SCHEMAS.exists(), reason="the recorded facts about the API are not here")


def _made(program: Program, scene: Any, **more: str) -> Any:
    response = program.post(SESSIONS, {"customer": scene.customer.id, **more})
    assert response.status_code == 200, response.text
    return response.json


@pytest.mark.both_databases
def test_the_link_opens_the_customers_portal(app: Flask) -> None:
    scene = world.scene()
    made = _made(Program(app, scene.account_id), scene)
    client = app.test_client()
    assert client.get(path_of(made["url"])).status_code == 303
    page = client.get("/")
    assert "Hedda Berg" in text(client.get("/billing-information").text)
    assert page.status_code == 200
    assert made["return_url"] is None
    assert made["customer"] == scene.customer.id


def test_locale_and_return_url_are_those_of_the_session(lite_app: Flask) -> None:
    scene = world.scene()
    made = _made(Program(lite_app, scene.account_id), scene, locale="fr", return_url="https://shop.example/account")
    client = lite_app.test_client()
    client.get(path_of(made["url"]))
    page = client.get("/").text
    assert '<html lang="fr"' in page
    assert 'href="https://shop.example/account"' in page


@pytest.mark.case("C1")
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//shop.example",
        "https://",
        "shop.example",
        "https://a b.example",
        "https://x\r\nX: y",
    ],
)
def test_an_unsafe_return_url_is_refused(lite_app: Flask, url: str) -> None:
    scene = world.scene()
    refused = error(
        Program(lite_app, scene.account_id).post(SESSIONS, {"customer": scene.customer.id, "return_url": url})
    )
    assert (refused[0], refused[3]) == (400, "return_url")


@pytest.mark.parametrize("member", ["configuration", "on_behalf_of"])
def test_what_belongs_to_others_is_refused(lite_app: Flask, member: str) -> None:
    scene, other = world.scene(), world.scene("Other")
    with world.transaction() as session:
        theirs = world.Merchant(session, world.START, session.get(Account, other.account_id)).configuration(
            world.Features(), is_default=False
        )
    foreign = {"configuration": theirs.id, "on_behalf_of": other.account_id}[member]
    refused = error(
        Program(lite_app, scene.account_id).post(SESSIONS, {"customer": scene.customer.id, member: foreign})
    )
    assert (refused[0], refused[2], refused[3]) == (400, "resource_missing", member)


def test_without_a_default_configuration_one_has_to_be_named(lite_app: Flask) -> None:
    scene = world.scene()
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == scene.account_id
        session.execute(update(PortalConfiguration).where(mine).values(is_default=False))
    program = Program(lite_app, scene.account_id)
    refused = error(program.post(SESSIONS, {"customer": scene.customer.id}))
    assert refused[1].startswith(
        "No configuration provided and your test mode default configuration has not been created."
    )
    [configuration] = program.get("/v1/billing_portal/configurations").json["data"]  # type: ignore[index]
    assert _made(program, scene, configuration=configuration["id"])["configuration"] == configuration["id"]


def test_the_configuration_comes_with_the_session_if_it_is_asked_for(lite_app: Flask) -> None:
    scene = world.scene()
    program = Program(lite_app, scene.account_id)
    short = _made(program, scene, **{"expand[]": "configuration"})["configuration"]
    assert "products" not in short["features"]["subscription_update"]
    path = "configuration.features.subscription_update.products"
    whole = _made(program, scene, **{"expand[0]": path})["configuration"]
    one = program.get(f"/v1/billing_portal/configurations/{whole['id']}", {"expand[]": path.partition(".")[2]}).json
    assert whole == one


def test_the_configurations_of_a_list_can_be_filtered(lite_app: Flask) -> None:
    program = Program(lite_app, world.scene().account_id)
    url = "/v1/billing_portal/configurations"
    for data, count in (({}, 1), ({"active": "true"}, 1), ({"active": "false"}, 0), ({"is_default": "false"}, 0)):
        assert len(program.get(url, data).json["data"]) == count  # type: ignore[index]
    assert error(program.get(url, {"active": "maybe"}))[3] == "active"
    assert error(program.get(f"{url}/bpc_none"))[0] == 404


def test_a_deleted_customer_is_told_to_be_deleted(lite_app: Flask) -> None:
    scene = world.scene()
    with world.transaction() as session:
        mine = Customer.account_id == scene.account_id, Customer.id == scene.customer.id
        session.execute(update(Customer).where(*mine).values(deleted_at=1))
    program = Program(lite_app, scene.account_id)
    assert program.get(f"/v1/customers/{scene.customer.id}").json == {
        "id": scene.customer.id, "object": "customer", "deleted": True,
    }  # fmt: skip
    assert program.get("/v1/customers").json["data"] == []  # type: ignore[index]
    assert error(program.post(SESSIONS, {"customer": scene.customer.id}))[2] == "resource_missing"


@NO_FACTS
def test_the_objects_have_the_members_that_clients_know(lite_app: Flask) -> None:
    scene = world.scene()
    program = Program(lite_app, scene.account_id)
    recorded = json.loads(RECORDED.read_text())
    session = _made(program, scene)
    assert set(recorded["billing_portal.session"]["always"]) == set(session)
    customer = program.get(f"/v1/customers/{scene.customer.id}").json
    assert set(recorded["customer"]["always"]) <= set(customer)  # type: ignore[arg-type]
    schemas = json.loads(gzip.decompress(SCHEMAS.read_bytes()))["components"]["schemas"]
    [configuration] = program.get("/v1/billing_portal/configurations").json["data"]  # type: ignore[index]
    assert set(schemas["billing_portal.configuration"]["properties"]) == set(configuration)
    known = schemas["portal_features"]["properties"]
    assert set(configuration["features"]) - set(known) == {"subscription_pause"}  # newer than the facts
    for name in known:
        part = configuration["features"][name]
        schema = schemas[known[name]["$ref"].rpartition("/")[2]]
        assert set(schema["required"]) <= set(part) <= set(schema["properties"]), name


def test_what_follows_an_expired_link_is_stored_and_echoed(lite_app: Flask) -> None:
    scene = world.scene()
    program = Program(lite_app, scene.account_id)
    made = _made(program, scene, **{"after_expiration[type]": "customer_login"})
    assert made["after_expiration"] == {"type": "customer_login", "customer_login": {"expires_at": None}}
    assert "after_expiration" not in _made(program, scene)
    for given, param in (
        ({"after_expiration[type]": "renew"}, "after_expiration[type]"),
        ({"after_expiration[customer_login][expires_at]": "1"}, "after_expiration[type]"),
        (
            {"after_expiration[type]": "customer_login", "after_expiration[customer_login][expires_at]": "1"},
            "after_expiration[customer_login][expires_at]",
        ),
    ):
        refused = error(program.post(SESSIONS, {"customer": scene.customer.id, **given}))
        assert (refused[0], refused[3]) == (400, param)
