"""API keys: what lets a request in, and what does not."""

import base64
import re

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.api_access import api_keys
from portal_site.billing.errors import BillingError
from portal_site.billing.models import ApiKey
from tests import world
from tests.api.calls import SESSIONS, Program, error
from tests.world import reading

ROUTES = {
    "api.create_portal_session": ("POST", SESSIONS, "customer_portal", "write"),
    "api.list_configurations": ("GET", "/v1/billing_portal/configurations", "customer_portal", "read"),
    "api.retrieve_configuration": ("GET", "/v1/billing_portal/configurations/bpc_x", "customer_portal", "read"),
    "api.list_customers": ("GET", "/v1/customers", "customers", "read"),
    "api.search_customers": ("GET", "/v1/customers/search", "customers", "read"),
    "api.retrieve_customer": ("GET", "/v1/customers/cus_x", "customers", "read"),
    "api.create_customer": ("POST", "/v1/customers", "customers", "write"),
    "api.update_customer": ("POST", "/v1/customers/cus_x", "customers", "write"),
    "api.delete_customer": ("DELETE", "/v1/customers/cus_x", "customers", "write"),
    "api.create_payment_method": ("POST", "/v1/payment_methods", "payment_methods", "write"),
    "api.list_payment_methods": ("GET", "/v1/payment_methods", "payment_methods", "read"),
    "api.retrieve_payment_method": ("GET", "/v1/payment_methods/pm_x", "payment_methods", "read"),
    "api.update_payment_method": ("POST", "/v1/payment_methods/pm_x", "payment_methods", "write"),
    "api.attach_payment_method": ("POST", "/v1/payment_methods/pm_x/attach", "payment_methods", "write"),
    "api.detach_payment_method": ("POST", "/v1/payment_methods/pm_x/detach", "payment_methods", "write"),
    "api.list_methods_of_customer": ("GET", "/v1/customers/cus_x/payment_methods", "payment_methods", "read"),
    "api.retrieve_method_of_customer": ("GET", "/v1/customers/cus_x/payment_methods/pm_x", "payment_methods", "read"),
    "api.create_setup_intent": ("POST", "/v1/setup_intents", "setup_intents", "write"),
    "api.list_setup_intents": ("GET", "/v1/setup_intents", "setup_intents", "read"),
    "api.retrieve_setup_intent": ("GET", "/v1/setup_intents/seti_x", "setup_intents", "read"),
    "api.confirm_setup_intent": ("POST", "/v1/setup_intents/seti_x/confirm", "setup_intents", "write"),
    "api.cancel_setup_intent": ("POST", "/v1/setup_intents/seti_x/cancel", "setup_intents", "write"),
    "api.retrieve_mandate": ("GET", "/v1/mandates/mandate_x", "setup_intents", "read"),
    "api.create_checkout_session": ("POST", "/v1/checkout/sessions", "checkout_sessions", "write"),
    "api.list_checkout_sessions": ("GET", "/v1/checkout/sessions", "checkout_sessions", "read"),
    "api.retrieve_checkout_session": ("GET", "/v1/checkout/sessions/cs_x", "checkout_sessions", "read"),
    "api.expire_checkout_session": ("POST", "/v1/checkout/sessions/cs_x/expire", "checkout_sessions", "write"),
    "api.create_payment_intent": ("POST", "/v1/payment_intents", "payment_intents", "write"),
    "api.list_payment_intents": ("GET", "/v1/payment_intents", "payment_intents", "read"),
    "api.retrieve_payment_intent": ("GET", "/v1/payment_intents/pi_x", "payment_intents", "read"),
    "api.update_payment_intent": ("POST", "/v1/payment_intents/pi_x", "payment_intents", "write"),
    "api.confirm_payment_intent": ("POST", "/v1/payment_intents/pi_x/confirm", "payment_intents", "write"),
    "api.cancel_payment_intent": ("POST", "/v1/payment_intents/pi_x/cancel", "payment_intents", "write"),
    "api.capture_payment_intent": ("POST", "/v1/payment_intents/pi_x/capture", "payment_intents", "write"),
    "api.list_charges": ("GET", "/v1/charges", "charges", "read"),
    "api.retrieve_charge": ("GET", "/v1/charges/ch_x", "charges", "read"),
    "api.create_refund": ("POST", "/v1/refunds", "charges", "write"),
    "api.list_refunds": ("GET", "/v1/refunds", "charges", "read"),
    "api.retrieve_refund": ("GET", "/v1/refunds/re_x", "charges", "read"),
    "api.update_refund": ("POST", "/v1/refunds/re_x", "charges", "write"),
    "api.retrieve_balance": ("GET", "/v1/balance", "balance", "read"),
    "api.retrieve_account": ("GET", "/v1/account", "account", "read"),
    "api.list_events": ("GET", "/v1/events", "events", "read"),
    "api.retrieve_event": ("GET", "/v1/events/evt_x", "events", "read"),
    "api.retry_event": ("POST", "/v1/events/evt_x/retry", "events", "write"),
    "api.create_webhook_endpoint": ("POST", "/v1/webhook_endpoints", "webhook_endpoints", "write"),
    "api.list_webhook_endpoints": ("GET", "/v1/webhook_endpoints", "webhook_endpoints", "read"),
    "api.retrieve_webhook_endpoint": ("GET", "/v1/webhook_endpoints/we_x", "webhook_endpoints", "read"),
    "api.update_webhook_endpoint": ("POST", "/v1/webhook_endpoints/we_x", "webhook_endpoints", "write"),
    "api.delete_webhook_endpoint": ("DELETE", "/v1/webhook_endpoints/we_x", "webhook_endpoints", "write"),
}
each_route = pytest.mark.parametrize("endpoint", ROUTES)


def test_every_route_is_in_the_table(sqlite_app: Flask) -> None:
    found = {rule.endpoint for rule in sqlite_app.url_map.iter_rules() if rule.endpoint.startswith("api.")}
    assert found == {*ROUTES, "api.refuse_unknown"}
    for endpoint, (method, _path, right, level) in ROUTES.items():
        assert sqlite_app.view_functions[endpoint].needed_right == (right, level)  # type: ignore[attr-defined]
        assert (method == "GET") == (level == "read")


@pytest.mark.case("A6")
def test_only_the_hash_of_a_key_is_stored(app: Flask) -> None:
    scene = world.scene()
    made = api_keys.create(scene.account_id, clock.now(), livemode=False, name="Shop")
    assert re.fullmatch(r"sk_test_[0-9A-Za-z]{44}", made.token)
    with reading() as connection:
        row = connection.execute(select(ApiKey.__table__).where(ApiKey.account_id == scene.account_id)).one()
    assert made.token not in str(row)
    assert row.redacted == f"sk_test_…{made.token[-4:]}"
    assert api_keys.create(scene.account_id, clock.now(), livemode=True).token.startswith("sk_live_")
    restricted = api_keys.create(scene.account_id, clock.now(), livemode=False, rights={"customers": "read"})
    assert restricted.token.startswith("rk_test_")


@pytest.mark.case("B1")
@each_route
def test_nobody_is_let_in_without_a_key(lite_app: Flask, endpoint: str) -> None:
    method, path, _right, _level = ROUTES[endpoint]
    client = lite_app.test_client()
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": "nonsense"}, {"Authorization": "Basic !"}):
        response = client.open(path, method=method, headers=header)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.content_type == "application/json"
    program = Program(lite_app, world.scene().account_id)
    program.token = "sk_test_" + "x" * 44
    status, words, code, _param = error(program.call(method, path))
    assert (status, code) == (401, None)
    assert "x" * 20 not in words


@pytest.mark.case("B1")
@each_route
def test_a_restricted_key_can_do_what_it_says(lite_app: Flask, endpoint: str) -> None:
    method, path, right, level = ROUTES[endpoint]
    account = world.scene().account_id
    other = "customers" if right == "customer_portal" else "customer_portal"
    assert Program(lite_app, account, **{right: level}).call(method, path).status_code != 403
    assert Program(lite_app, account, **{right: "write"}).call(method, path).status_code != 403
    refused = [Program(lite_app, account, **{other: "write"})]
    refused += [Program(lite_app, account, **{right: "read"})] if level == "write" else []
    for program in refused:
        status, words, _code, _param = error(program.call(method, path))
        assert (status, f"{right}={level}" in words) == (403, True)


@pytest.mark.case("B1")
def test_a_key_of_the_other_mode_or_account_finds_nothing(lite_app: Flask) -> None:
    scene, other = world.scene(), world.scene("Other")
    for program in (Program(lite_app, scene.account_id, livemode=True), Program(lite_app, other.account_id)):
        missing = error(program.get(f"/v1/customers/{scene.customer.id}"))
        assert missing == (404, f"No such customer: '{scene.customer.id}'", "resource_missing", "id")
        found = [customer["id"] for customer in program.get("/v1/customers").json["data"]]  # type: ignore[index]
        assert scene.customer.id not in found
        refused = error(program.post(SESSIONS, {"customer": scene.customer.id}))
        assert refused == (400, f"No such customer: '{scene.customer.id}'", "resource_missing", "customer")


def test_basic_authentication_takes_the_key_as_the_user(lite_app: Flask) -> None:
    program = Program(lite_app, world.scene().account_id)
    basic = "Basic " + base64.b64encode(f"{program.token}:".encode()).decode()
    assert program.get("/v1/customers", Authorization=basic).status_code == 200


@pytest.mark.both_databases
def test_a_revoked_key_works_no_more(app: Flask) -> None:
    program = Program(app, world.scene().account_id)
    api_keys.revoke(program.key.account_id, program.key.id, clock.now())
    status, words, code, _param = error(program.get("/v1/customers"))
    assert (status, code) == (401, "api_key_expired")
    assert program.token not in words
    with pytest.raises(BillingError):
        api_keys.revoke(program.key.account_id, program.key.id, clock.now())


def test_a_rolled_key_works_beside_the_new_one_for_a_while(lite_app: Flask) -> None:
    program = Program(lite_app, world.scene().account_id, customers="read")
    new = api_keys.roll(program.key.account_id, program.key.id, clock.now(), kept=3600)
    assert new.row.rights == {"customers": "read"}
    assert program.get("/v1/customers").status_code == 200
    with time_machine.travel(clock.now() + 3601, tick=False):
        assert program.get("/v1/customers").status_code == 401
        program.token = new.token
        assert program.get("/v1/customers").status_code == 200


@pytest.mark.parametrize("rights", [{"everything": "write"}, {"customers": "delete"}])
def test_a_right_that_does_not_exist_is_refused(lite_app: Flask, rights: dict[str, str]) -> None:
    with pytest.raises(BillingError, match="Unknown right"):
        api_keys.create(world.scene().account_id, clock.now(), livemode=False, rights=rights)
