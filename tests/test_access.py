"""Access to every route: each has a row in the table here, and a route without one fails the build."""

from dataclasses import dataclass, replace

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal_site import clock
from portal_site.billing.customers import billing_information
from portal_site.billing.models import CancellationAttempt, Invoice, PaymentAttempt, SetupIntent
from portal_site.billing.rules.portal.portal_features import (
    CustomerUpdate,
    Features,
    InvoiceHistory,
    PaymentMethodUpdate,
    SubscriptionCancel,
)
from tests import world
from tests.client import PortalClient
from tests.conftest import enter
from tests.world import reading

PUBLIC = {
    "asset", "theme", "brand_asset",
    "sessions.follow_link", "sessions.show_session_over", "sessions.show_logged_out", "sessions.choose_language",
    "replacements.show_login", "replacements.ask_for_code", "replacements.show_code", "replacements.enter_code",
    "replacements.choose_customer",
    "logins.show_login", "logins.ask_for_code", "logins.show_code", "logins.enter_code", "logins.choose_customer",
    # Let in by what is signed into them: tests/portal/test_email_links.py
    "cancellation_requests.show_form", "cancellation_requests.send_request", "cancellation_requests.show_sent",
    "email_links.show", "email_links.go_on", "email_links.download_invoice", "email_links.download_receipt",
    "sandbox.show_setup", "sandbox.submit_setup", "sandbox.show_setup_challenge", "sandbox.answer_setup",
    "sandbox.show_challenge", "sandbox.answer_charge",
    "returns.show",  # asks the sandbox about what an id names that cannot be guessed: tests/api/payments
    "gateways.receive_event",  # let in by its signature: tests/test_gateway_events.py
    "gateways.store_event",  # by its signature: tests/stripe/test_events.py
    "tls_ask.answer",  # for proxies of the own network, and no secret: tests/domains/test_tls_ask.py
}  # fmt: skip
API = {  # let in by a key: tests/api/test_rights.py
    "api.create_portal_session", "api.list_configurations", "api.retrieve_configuration", "api.list_customers",
    "api.retrieve_customer", "api.search_customers", "api.refuse_unknown",
    "api.list_events", "api.retrieve_event", "api.retry_event", "api.create_webhook_endpoint", "api.list_webhook_endpoints",
    "api.retrieve_webhook_endpoint", "api.update_webhook_endpoint", "api.delete_webhook_endpoint",
    "api.create_customer", "api.update_customer", "api.delete_customer", "api.create_payment_method",
    "api.list_payment_methods", "api.retrieve_payment_method", "api.update_payment_method",
    "api.attach_payment_method", "api.detach_payment_method", "api.list_methods_of_customer",
    "api.retrieve_method_of_customer", "api.create_setup_intent", "api.list_setup_intents",
    "api.retrieve_setup_intent", "api.confirm_setup_intent", "api.cancel_setup_intent", "api.retrieve_mandate",
    "api.create_checkout_session", "api.list_checkout_sessions", "api.retrieve_checkout_session",
    "api.expire_checkout_session", "api.create_payment_intent", "api.list_payment_intents",
    "api.retrieve_payment_intent", "api.update_payment_intent", "api.confirm_payment_intent",
    "api.cancel_payment_intent", "api.capture_payment_intent", "api.list_charges", "api.retrieve_charge",
    "api.create_refund", "api.list_refunds", "api.retrieve_refund", "api.update_refund", "api.retrieve_balance",
    "api.retrieve_account",
}  # fmt: skip

STAFF = ("dashboard.", "sign_in.", "setup.", "invitations.")  # blueprints: tests/dashboard/test_access.py


@dataclass(frozen=True)
class Route:
    """A route as one knocks on it; `{…}` stands for an id of the customer's own."""

    method: str
    address: str
    feature: str = ""
    data: tuple[tuple[str, str], ...] = ()
    ok: tuple[int, ...] = (200,)


DONE = (303,)
ROUTES = {
    "portal.show_overview": Route("GET", "/"),
    "portal.show_flow_end": Route("GET", "/flow/end", ok=DONE),
    "portal.show_devices": Route("GET", "/devices", ok=(404,)),
    "portal.forget_device": Route("POST", "/devices/dev_none/removal", ok=(404,)),
    "portal.forget_devices": Route("POST", "/devices/removal", ok=DONE),
    "portal.log_out": Route("POST", "/log-out", ok=DONE),
    "portal.show_subscriptions": Route("GET", "/subscriptions"),
    "portal.show_subscription_list": Route("GET", "/subscriptions/list"),
    "portal.show_subscription": Route("GET", "/subscriptions/{subscription}"),
    "portal.show_plan_change": Route("GET", "/subscriptions/{subscription}/plan-change", "subscription_update"),
    "portal.show_plan_change_quote": Route("GET", "/subscriptions/{subscription}/plan-change/quote", "subscription_update"),
    "portal.change_plan": Route("POST", "/subscriptions/{subscription}/plan-change", "subscription_update", ok=(409,)),
    "portal.apply_promotion_code": Route(
        "POST", "/subscriptions/{subscription}/promotion-code", "subscription_update", (("promotion_code", "X"),), (422,)
    ),
    "portal.pay_plan_change": Route("POST", "/subscriptions/{subscription}/plan-change/payment", "subscription_update", ok=DONE),
    "portal.finish_plan_change": Route("GET", "/subscriptions/{subscription}/plan-change/return", "subscription_update", ok=DONE),
    "portal.withdraw_plan_change": Route(
        "POST", "/subscriptions/{subscription}/plan-change/withdrawal", "subscription_update", ok=DONE
    ),
    "portal.undo_planned_change": Route(
        "POST", "/subscriptions/{subscription}/planned-change/removal", "subscription_update", ok=DONE
    ),
    "portal.show_cancellation": Route("GET", "/subscriptions/{subscription}/cancellation", "subscription_cancel"),
    "portal.tell_reason": Route("POST", "/subscriptions/{subscription}/cancellation/reason", "subscription_cancel", ok=DONE),
    "portal.show_cancellation_end": Route("GET", "/subscriptions/{subscription}/cancellation/end", "subscription_cancel"),
    "portal.cancel_subscription": Route("POST", "/subscriptions/{subscription}/cancellation", "subscription_cancel", ok=(409,)),
    "portal.show_offer": Route(
        "GET", "/subscriptions/{subscription}/cancellation/offer?attempt={attempt}", "subscription_cancel"
    ),
    "portal.accept_offer": Route(
        "POST", "/subscriptions/{subscription}/cancellation/offer/acceptance", "subscription_cancel", ok=(409,)
    ),
    "portal.decline_offer": Route(
        "POST", "/subscriptions/{subscription}/cancellation/offer/refusal", "subscription_cancel",
        (("attempt", "{attempt}"),), DONE,
    ),
    "portal.keep_subscription": Route(
        "POST", "/subscriptions/{subscription}/cancellation/removal", "subscription_cancel", ok=DONE
    ),
    "portal.download_acknowledgement": Route(
        "GET", "/subscriptions/{subscription}/cancellation/acknowledgement", "subscription_cancel", ok=(404,)
    ),
    "portal.finish_final_payment": Route(
        "GET", "/subscriptions/{subscription}/cancellation/invoices/{invoice}/return", "subscription_cancel", ok=DONE
    ),
    "portal.show_pause": Route("GET", "/subscriptions/{subscription}/pause", "subscription_pause"),
    "portal.pause_subscription": Route("POST", "/subscriptions/{subscription}/pause", "subscription_pause", ok=(422,)),
    "portal.show_resumption": Route("GET", "/subscriptions/{subscription}/resumption", "subscription_pause"),
    "portal.resume_subscription": Route("POST", "/subscriptions/{subscription}/resumption", "subscription_pause", ok=(409,)),
    "portal.show_restart": Route("GET", "/subscriptions/{subscription}/restart", "subscription_restart"),
    "portal.restart_subscription": Route("POST", "/subscriptions/{subscription}/restart", "subscription_restart", ok=(409,)),
    "portal.pay_first_invoice": Route("POST", "/subscriptions/{subscription}/first-payment", "subscription_restart", ok=DONE),
    "portal.finish_first_payment": Route(
        "GET", "/subscriptions/{subscription}/first-payment/return", "subscription_restart", ok=DONE
    ),
    "portal.show_payment_methods": Route("GET", "/payment-methods", "payment_method_update"),
    "portal.show_payment_method_list": Route("GET", "/payment-methods/list", "payment_method_update"),
    "portal.new_payment_method": Route("GET", "/payment-methods/new", "payment_method_update"),
    "portal.add_payment_method": Route("POST", "/payment-methods", ok=DONE),  # switched off for who owes nothing: below
    "portal.finish_payment_method": Route("GET", "/payment-methods/setups/{setup}", ok=DONE),
    "portal.make_default_payment_method": Route("POST", "/payment-methods/{method}/default", "payment_method_update", ok=DONE),
    "portal.confirm_removal": Route("GET", "/payment-methods/{method}/removal", "payment_method_update"),
    "portal.remove_payment_method": Route("POST", "/payment-methods/{method}/removal", "payment_method_update", ok=(422,)),
    "portal.show_billing_information": Route("GET", "/billing-information", "customer_update"),
    "portal.show_billing_summary": Route("GET", "/billing-information/summary", "customer_update"),
    "portal.edit_billing_information": Route("GET", "/billing-information/edit", "customer_update"),
    "portal.update_billing_information": Route(
        "POST", "/billing-information/edit", "customer_update", (("email", "new@acme.example"),), DONE
    ),
    "portal.choose_country": Route("POST", "/billing-information/country", "customer_update"),
    "portal.show_address_fields": Route("POST", "/billing-information/address/fields", "customer_update"),
    "portal.new_tax_id": Route("GET", "/tax-ids/new", "customer_update"),
    "portal.add_tax_id": Route("POST", "/tax-ids", "customer_update", (("type", "us_ein"), ("value", "12-3456789")), DONE),
    "portal.confirm_tax_id_removal": Route("GET", "/tax-ids/{tax_id}/removal", "customer_update"),
    "portal.remove_tax_id": Route("POST", "/tax-ids/{tax_id}/removal", "customer_update", ok=DONE),
    "portal.show_invoices": Route("GET", "/invoices", "invoice_history"),
    "portal.show_invoice_rows": Route("GET", "/invoices/rows", "invoice_history"),
    # What is owed can be paid whatever is switched off; any other invoice is hidden then: below.
    "portal.show_invoice": Route("GET", "/invoices/{invoice}"),
    "portal.show_paid": Route("GET", "/invoices/{invoice}/paid", ok=(200, 303)),
    "portal.download_invoice": Route("GET", "/invoices/{invoice}/pdf"),
    "portal.download_receipt": Route("GET", "/invoices/{paid_invoice}/receipt.pdf", "invoice_history"),
    "portal.download_credit_note": Route("GET", "/credit-notes/{credit_note}/pdf"),
    "portal.download_year": Route("GET", "/invoices/export/2026.zip", "invoice_history"),
    "portal.download_list": Route("GET", "/invoices/export.csv", "invoice_history"),
    "portal.confirm_payment": Route("GET", "/invoices/{invoice}/payment"),
    "portal.pay_invoice": Route(
        "POST", "/invoices/{invoice}/payment", data=(("amount", "2400"), ("payment_method", "{method}")), ok=DONE
    ),
    "portal.finish_payment": Route("GET", "/invoices/{invoice}/payment/return", ok=DONE),
}  # fmt: skip
OFF = Features(
    customer_update=CustomerUpdate(enabled=False),
    invoice_history=InvoiceHistory(enabled=False),
    payment_method_update=PaymentMethodUpdate(enabled=False),
    subscription_cancel=SubscriptionCancel(enabled=False),
)
MISSING = {
    "subscription": "sub_none",
    "method": "pm_none",
    "invoice": "in_none",
    "paid_invoice": "in_none",
    "credit_note": "cn_none",
    "tax_id": "txi_none",
    "setup": "seti_none",
    "attempt": "cxl_none",
}
each_door = pytest.mark.parametrize("endpoint", ROUTES)
each_door_to_a_thing = pytest.mark.parametrize(
    "endpoint", [name for name, route in ROUTES.items() if "{" in route.address]
)


def own_things(app: Flask, scene: world.Scene, route: Route | None = None) -> dict[str, str]:
    """The ids of what a customer has, one of each kind, or of those that this route names."""
    kinds = {
        "subscription": lambda: scene.subscription.id,
        "method": lambda: scene.method.id,
        "invoice": lambda: _invoice(scene, "open"),
        "paid_invoice": lambda: _invoice(scene, "paid"),
        "credit_note": lambda: world.credit_note(_invoice(scene, "open"), "cn_access").id,
        "tax_id": lambda: billing_information.add_tax_id(scene.customer.id, "eu_vat", "FR12345678901", clock.now()).id,
        "setup": lambda: _setup(app, scene),
        "attempt": lambda: _attempt(scene),
    }
    named = f"{route.address} {route.data}" if route else None
    return {kind: make() for kind, make in kinds.items() if named is None or f"{{{kind}}}" in named}


def _invoice(scene: world.Scene, status: str) -> str:
    with reading() as connection:
        mine = select(Invoice.id).where(Invoice.status == status, Invoice.customer_id == scene.customer.id)
        return str(connection.scalar(mine.limit(1)))


def _setup(app: Flask, scene: world.Scene) -> str:
    """A payment method that is being added."""
    client = enter(app, scene.customer)
    client.get("/payment-methods")
    reference = client.send("/payment-methods").location.rpartition("/")[2]
    with reading() as connection:
        return str(connection.scalar(select(SetupIntent.id).where(SetupIntent.gateway_reference == reference)))


def _attempt(scene: world.Scene) -> str:
    """An attempt to cancel in which the customer is asked to talk first."""
    offer = {"offer": {"type": "contact", "url": "https://acme.example/talk"}, "offer_outcome": "shown"}
    with world.transaction() as session:
        attempt = CancellationAttempt.of(scene.subscription, clock.now(), **offer)
        session.add(attempt)
    return str(attempt.id)


def _send(client: PortalClient, route: Route, things: dict[str, str], **headers: str) -> TestResponse:
    address = route.address.format(**things)
    if route.method == "GET":
        return client.get(address, headers=headers)
    if not client.token:
        client.get("/")
    return client.send(address, {name: value.format(**things) for name, value in route.data}, headers=headers)


@pytest.mark.case("B1")
def test_every_route_has_a_row(app: Flask) -> None:
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert {name for name in endpoints if not name.startswith(STAFF)} == PUBLIC | set(ROUTES) | API
    for rule in app.url_map.iter_rules():
        if rule.endpoint in ROUTES:
            assert ROUTES[rule.endpoint].method in (rule.methods or ())


@pytest.mark.case("B1")
@each_door
def test_every_route_answers_its_own_customer(app: Flask, endpoint: str) -> None:
    scene = world.scene(last="open")
    things = own_things(app, scene, ROUTES[endpoint])
    response = _send(enter(app, scene.customer), ROUTES[endpoint], things)
    assert response.status_code in ROUTES[endpoint].ok


@pytest.mark.case("B1")
@each_door
def test_a_page_without_a_session_links_back_to_the_merchant(lite_app: Flask, endpoint: str) -> None:
    client: PortalClient = lite_app.test_client()  # type: ignore[assignment]
    route = ROUTES[endpoint]
    client.token = "none"
    if route.method == "GET":
        response = _send(client, route, MISSING)
        assert response.status_code == 403
        assert "Your session has ended" in response.text
        fragment = _send(client, route, MISSING, **{"HX-Request": "true"})
        assert (fragment.status_code, fragment.data) == (401, b"")
    else:
        assert _send(client, route, MISSING).status_code in (400, 403)


@pytest.mark.case("B1")
@pytest.mark.case("B2")
@each_door_to_a_thing
def test_a_row_of_another_customer_is_answered_as_missing(lite_app: Flask, endpoint: str) -> None:
    scene = world.scene(last="open")
    things = own_things(lite_app, scene, ROUTES[endpoint])
    with world.merchant("Other") as other:
        elsewhere = other.customer("Else", "else@other.example", "of another merchant")
    with world.transaction() as session:
        made = world.Merchant(session, clock.now(), session.get(world.Account, scene.account_id))
        next_door = made.customer("Next", "next@acme.example", "of the same merchant")
    for stranger in (elsewhere, next_door):
        client = enter(lite_app, stranger)
        theirs, none = (_send(client, ROUTES[endpoint], which) for which in (things, MISSING))
        assert theirs.status_code == none.status_code == 404
        assert theirs.data == none.data


@pytest.mark.case("A15")
@pytest.mark.parametrize("endpoint", [name for name, route in ROUTES.items() if route.feature])
def test_every_route_is_refused_when_its_feature_is_off(lite_app: Flask, endpoint: str) -> None:
    scene = world.scene(last="open")
    things = own_things(lite_app, scene, ROUTES[endpoint])
    client = enter(lite_app, scene.customer)
    client.get("/")
    with world.transaction() as session:
        configuration = session.scalar(
            select(world.PortalConfiguration).where(world.PortalConfiguration.account_id == scene.account_id)
        )
        assert configuration is not None
        configuration.features = OFF.as_document()
    assert _send(client, ROUTES[endpoint], things).status_code == 404


@pytest.mark.case("A15")
@pytest.mark.parametrize("status", ["paid", "void"])
def test_without_the_history_only_payable_invoices_are_reachable(app: Flask, status: str) -> None:
    scene = world.scene(last="open", features=OFF)
    with world.transaction() as session:
        mine = Invoice.customer_id == scene.customer.id
        session.execute(Invoice.__table__.update().where(mine).values(status=status, amount_remaining=0))
    with reading() as connection:
        ids = list(connection.scalars(select(Invoice.id)))
    client = enter(app, scene.customer)
    client.get("/")
    for invoice in ids[:3]:
        for place in ("", "/payment", "/pdf", "/receipt.pdf"):
            assert client.get(f"/invoices/{invoice}{place}").status_code == 404
        paid = client.send(f"/invoices/{invoice}/payment", {"amount": "2400", "payment_method": scene.method.id})
        assert (paid.status_code, paid.location) == (303, "/")
        assert client.get(f"/invoices/{invoice}/payment/return").location == "/"
    assert client.send("/payment-methods").status_code == 404
    with reading() as connection:
        assert connection.scalars(select(PaymentAttempt.id)).all() == []


@pytest.mark.case("A2")
@each_door
def test_an_hour_without_a_click_ends_the_session(lite_app: Flask, endpoint: str) -> None:
    with time_machine.travel(1_790_000_000, tick=False) as traveller:
        client = enter(lite_app, world.scene().customer)
        client.get("/")
        traveller.shift(3600)
        response = _send(client, replace(ROUTES[endpoint], data=()), MISSING)
    assert response.status_code == 403
    assert "Acme" in response.text
    assert "Hedda" not in response.text


@pytest.mark.case("D21")
@pytest.mark.parametrize("endpoint", [name for name, route in ROUTES.items() if "{" in route.address])
def test_a_url_with_a_nul_byte_is_not_found(app: Flask, endpoint: str) -> None:
    scene = world.scene()
    client = enter(app, scene.customer)
    client.get("/")
    route = ROUTES[endpoint]
    things = dict.fromkeys(MISSING, "a%00b")
    data = tuple((name, value.replace("{", "").replace("}", "") + "\0") for name, value in route.data)
    assert _send(client, replace(route, data=data), things).status_code == 404


def test_a_form_with_a_nul_byte_finds_nothing(app: Flask) -> None:
    scene = world.scene(last="open")
    things = own_things(app, scene)
    client = enter(app, scene.customer)
    client.get("/")
    there = f"/subscriptions/{things['subscription']}/cancellation/offer/refusal"
    assert client.send(there, {"attempt": "cxl_\0"}).status_code == 404
    paid = client.send(f"/invoices/{things['invoice']}/payment", {"amount": "2400", "payment_method": "pm_\0"})
    assert paid.status_code == 422
