"""Who may do what in the dashboard: each route has a row here, and a route without one fails the build."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select

from portal_site.billing.accounts import connected, portal_configurations
from portal_site.billing.api_access import api_keys
from portal_site.billing.customers import new_customers
from portal_site.billing.customers.new_customers import NewCustomer
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Event
from portal_site.billing.webhooks import endpoints
from portal_site.dashboard import SIGNED_IN
from portal_site.db import Base
from portal_site.db.transactions import reading
from portal_site.staff import teams
from portal_site.staff.roles import RIGHTS, Right, Role
from tests import world
from tests.client import PortalClient
from tests.conftest import SECRET
from tests.dashboard.counter import COUPON, PRICE, START, paid_invoice, stock
from tests.dashboard.staff import BUSINESS, Employee, account, employ, sign_in
from tests.test_access import STAFF

AT = world.HALF
EVERYBODY = "everybody who is signed in"
PUBLIC = {
    # Let in by what they check: test_sign_in.py, test_passkey_pages.py, test_setup.py, test_team.py
    "sign_in.show_form", "sign_in.check_password", "sign_in.show_code", "sign_in.check_code", "sign_in.sign_out",
    "sign_in.show_second_step_setup", "sign_in.set_up_second_step", "sign_in.check_passkey", "sign_in.set_up_passkey",
    "setup.show_form", "setup.begin",
    "invitations.show", "invitations.accept", "invitations.join",
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    """A route as one knocks on it. `{account}` and the like are of the account that is knocked on."""

    method: str
    address: str
    right: Right | str
    data: tuple[tuple[str, str], ...] = ()
    ok: tuple[int, ...] = (200,)


DONE, REFUSED = (303,), (422,)
ONCE = (303, 404)  # what another role has done already
OF = "/{account}/test"
CATALOGUE = {
    "dashboard.show_products": Route("GET", f"{OF}/products", Right.VIEW_SETTINGS),
    "dashboard.show_new_product": Route("GET", f"{OF}/products/new", Right.EDIT_SETTINGS),
    "dashboard.create_product": Route("POST", f"{OF}/products", Right.EDIT_SETTINGS, (("name", "Team"),), DONE),
    "dashboard.show_product": Route("GET", f"{OF}/products/{{product}}", Right.VIEW_SETTINGS),
    "dashboard.save_product": Route(
        "POST", f"{OF}/products/{{product}}", Right.EDIT_SETTINGS, (("name", "Teams"),), DONE
    ),
    "dashboard.switch_product": Route("POST", f"{OF}/products/{{product}}/activity", Right.EDIT_SETTINGS, ok=DONE),
    "dashboard.show_new_price": Route("GET", f"{OF}/products/{{product}}/prices/new", Right.EDIT_SETTINGS),
    "dashboard.create_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/new", Right.EDIT_SETTINGS, tuple(PRICE.items()), DONE
    ),
    "dashboard.preview_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/preview", Right.EDIT_SETTINGS, tuple(PRICE.items())
    ),
    "dashboard.save_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/{{price}}", Right.EDIT_SETTINGS, (("nickname", "Usual"),), DONE
    ),
    "dashboard.switch_price": Route(
        "POST", f"{OF}/products/{{product}}/prices/{{price}}/activity", Right.EDIT_SETTINGS, ok=DONE
    ),
    "dashboard.show_coupons": Route("GET", f"{OF}/coupons", Right.VIEW_SETTINGS),
    "dashboard.show_new_coupon": Route("GET", f"{OF}/coupons/new", Right.EDIT_SETTINGS),
    "dashboard.create_coupon": Route("POST", f"{OF}/coupons", Right.EDIT_SETTINGS, tuple(COUPON.items()), DONE),
    "dashboard.show_coupon": Route("GET", f"{OF}/coupons/{{coupon}}", Right.VIEW_SETTINGS),
    "dashboard.save_coupon": Route("POST", f"{OF}/coupons/{{coupon}}", Right.EDIT_SETTINGS, (("name", "Ten"),), DONE),
    "dashboard.ask_to_delete_coupon": Route("GET", f"{OF}/coupons/{{coupon}}/deletion", Right.EDIT_SETTINGS),
    "dashboard.delete_coupon": Route("POST", f"{OF}/coupons/{{coupon}}/deletion", Right.EDIT_SETTINGS, ok=ONCE),
    "dashboard.create_promotion_code": Route(
        "POST", f"{OF}/coupons/{{coupon}}/codes", Right.EDIT_SETTINGS, (("currency", "eur"),), DONE
    ),
    "dashboard.switch_promotion_code": Route(
        "POST", f"{OF}/coupons/{{coupon}}/codes/{{code}}/activity", Right.EDIT_SETTINGS, ok=DONE
    ),
    "dashboard.show_tax_rates": Route("GET", f"{OF}/tax-rates", Right.VIEW_SETTINGS),
    "dashboard.create_tax_rate": Route(
        "POST", f"{OF}/tax-rates", Right.EDIT_SETTINGS, (("display_name", "VAT"), ("percentage", "20"), ("how", "added")), DONE
    ),
    "dashboard.switch_tax_rate": Route("POST", f"{OF}/tax-rates/{{tax_rate}}/activity", Right.EDIT_SETTINGS, ok=DONE),
}  # fmt: skip
KEYS = {
    "dashboard.show_api_keys": Route("GET", f"{OF}/api-keys", Right.MANAGE_KEYS),
    "dashboard.create_api_key": Route("POST", f"{OF}/api-keys", Right.MANAGE_KEYS, (("kind", "secret"),)),
    "dashboard.roll_api_key": Route(
        "POST", f"{OF}/api-keys/{{key}}/replacement", Right.MANAGE_KEYS, (("kept", "3600"),)
    ),
    "dashboard.ask_to_revoke_api_key": Route("GET", f"{OF}/api-keys/{{key}}/end", Right.MANAGE_KEYS),
    "dashboard.revoke_api_key": Route("POST", f"{OF}/api-keys/{{key}}/end", Right.MANAGE_KEYS, ok=(303, 422)),
}
HOOK = (("url", "https://shop.example/hook"), ("events", "invoice.paid"))
WEBHOOKS = {
    "dashboard.show_webhook_endpoints": Route("GET", f"{OF}/webhooks", Right.MANAGE_KEYS),
    "dashboard.create_webhook_endpoint": Route("POST", f"{OF}/webhooks", Right.MANAGE_KEYS, HOOK),
    "dashboard.show_webhook_endpoint": Route("GET", f"{OF}/webhooks/{{hook}}", Right.MANAGE_KEYS),
    "dashboard.save_webhook_endpoint": Route("POST", f"{OF}/webhooks/{{hook}}", Right.MANAGE_KEYS, HOOK, DONE),
    "dashboard.switch_webhook_endpoint": Route(
        "POST", f"{OF}/webhooks/{{hook}}/activity", Right.MANAGE_KEYS, (("enabled", "yes"),), DONE
    ),
    "dashboard.roll_webhook_secret": Route("POST", f"{OF}/webhooks/{{hook}}/secret", Right.MANAGE_KEYS),
    "dashboard.resend_event": Route("POST", f"{OF}/webhooks/{{hook}}/deliveries/{{event}}", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.ask_to_delete_webhook_endpoint": Route("GET", f"{OF}/webhooks/{{hook}}/end", Right.MANAGE_KEYS),
    "dashboard.delete_webhook_endpoint": Route("POST", f"{OF}/webhooks/{{hook}}/end", Right.MANAGE_KEYS, ok=ONCE),
}
SECOND_STEPS = {
    "dashboard.prove_with_passkey": Route("POST", "/proof/passkey", EVERYBODY, ok=REFUSED),
    "dashboard.show_new_passkey": Route("GET", "/profile/passkeys/new", EVERYBODY),
    "dashboard.add_passkey": Route("POST", "/profile/passkeys", EVERYBODY, (("name", "Phone"),), REFUSED),
    "dashboard.remove_passkey": Route("POST", "/profile/passkeys/pkey_none/removal", EVERYBODY, ok=(404,)),
    "dashboard.show_app_setup": Route("GET", "/profile/app", EVERYBODY, ok=DONE),
    "dashboard.set_up_app": Route("POST", "/profile/app", EVERYBODY, ok=REFUSED),
    "dashboard.remove_app": Route("POST", "/profile/app/removal", EVERYBODY, ok=REFUSED),
}
ROUTES = {
    "dashboard.show_accounts": Route("GET", "", EVERYBODY, ok=(200, 303)),
    "dashboard.ask_for_proof": Route("GET", "/proof", EVERYBODY),
    "dashboard.prove": Route("POST", "/proof", EVERYBODY, ok=REFUSED),
    "dashboard.show_profile": Route("GET", "/profile", EVERYBODY),
    "dashboard.change_password": Route("POST", "/profile/password", EVERYBODY, ok=REFUSED),
    "dashboard.replace_recovery_codes": Route("POST", "/profile/recovery-codes", EVERYBODY, ok=REFUSED),
    "dashboard.end_other_sessions": Route("POST", "/profile/sessions/removal", EVERYBODY, ok=DONE),
    "dashboard.end_session": Route("POST", "/profile/sessions/uses_none/removal", EVERYBODY, ok=DONE),
    "dashboard.show_home": Route("GET", "/{account}", Right.VIEW_SETTINGS),
    "dashboard.show_gateway": Route("GET", f"{OF}/gateway", Right.MANAGE_KEYS),
    "dashboard.connect_gateway": Route("POST", f"{OF}/gateway", Right.MANAGE_KEYS, (("key", "pk_test_x"),), REFUSED),
    "dashboard.check_gateway": Route("POST", f"{OF}/gateway/check", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.receive_gateway_events": Route("POST", f"{OF}/gateway/events", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.ask_to_disconnect_gateway": Route("GET", f"{OF}/gateway/end", Right.MANAGE_KEYS, ok=(200, 303)),
    "dashboard.disconnect_gateway": Route("POST", f"{OF}/gateway/end", Right.MANAGE_KEYS, ok=DONE),
    "dashboard.show_domain": Route("GET", "/{account}/domain", Right.MANAGE_DOMAIN),
    "dashboard.set_domain": Route(
        "POST", "/{account}/domain", Right.MANAGE_DOMAIN, (("host", "billing.acme.example"),), DONE
    ),
    "dashboard.check_domain": Route("POST", "/{account}/domain/check", Right.MANAGE_DOMAIN, ok=DONE),
    "dashboard.ask_to_remove_domain": Route("GET", "/{account}/domain/removal", Right.MANAGE_DOMAIN, ok=(200, 303)),
    "dashboard.remove_domain": Route("POST", "/{account}/domain/removal", Right.MANAGE_DOMAIN, ok=DONE),
    "dashboard.show_connected_accounts": Route("GET", "/{account}/connected-accounts", Right.MANAGE_CONNECTED),
    "dashboard.create_connected_account": Route(
        "POST", "/{account}/connected-accounts", Right.MANAGE_CONNECTED,
        (("business_name", "Shop"), ("country", "FR"), ("currency", "eur"), ("timezone", "UTC")), DONE,
    ),
    "dashboard.show_connected_account": Route(
        "GET", "/{account}/connected-accounts/{connected}", Right.MANAGE_CONNECTED
    ),
    "dashboard.set_provider_account": Route(
        "POST", "/{account}/connected-accounts/{connected}/money", Right.MANAGE_CONNECTED,
        (("provider_account", "acct_1"),), DONE,
    ),
    "dashboard.invite_owner": Route(
        "POST", "/{account}/connected-accounts/{connected}/owners", Right.MANAGE_CONNECTED, (("email", "own@x.example"),)
    ),
    "dashboard.show_team": Route("GET", "/{account}/team", Right.MANAGE_TEAM),
    "dashboard.invite": Route(
        "POST", "/{account}/team/invitations", Right.MANAGE_TEAM, (("email", "new@x.example"), ("role", "admin"))
    ),
    "dashboard.withdraw_invitation": Route(
        "POST", "/{account}/team/invitations/{invitation}/removal", Right.MANAGE_TEAM, ok=DONE
    ),
    "dashboard.change_role": Route("POST", "/{account}/team/{member}/role", Right.MANAGE_TEAM, (("role", "admin"),), DONE),
    "dashboard.remove_member": Route("POST", "/{account}/team/{member}/removal", Right.MANAGE_TEAM, ok=DONE),
    "dashboard.reset_second_step": Route(
        "POST", "/{account}/team/{member}/second-step/removal", Right.MANAGE_TEAM, ok=DONE
    ),
    "dashboard.show_configurations": Route("GET", "/{account}/settings", Right.VIEW_SETTINGS),
    "dashboard.show_settings": Route("GET", "/{account}/settings/{configuration}/words", Right.VIEW_SETTINGS),
    "dashboard.save_settings": Route(
        "POST", "/{account}/settings/{configuration}/words", Right.EDIT_SETTINGS,
        (("version", "3"), ("headline", "Hello")), DONE,
    ),
    "dashboard.show_preview": Route(
        "GET", "/{account}/settings/{configuration}/words/preview", Right.VIEW_SETTINGS
    ),
    "dashboard.preview_settings": Route(
        "POST", "/{account}/settings/{configuration}/words/preview", Right.VIEW_SETTINGS, (("headline", "Hello"),)
    ),
    "dashboard.show_history": Route("GET", "/{account}/settings/{configuration}/history", Right.VIEW_SETTINGS),
    "dashboard.restore_settings": Route(
        "POST", "/{account}/settings/{configuration}/history/1/restoration", Right.EDIT_SETTINGS, (("version", "3"),), DONE
    ),
    "dashboard.compare_settings": Route(
        "GET", "/{account}/settings/{configuration}/comparison", Right.VIEW_SETTINGS
    ),
    "dashboard.copy_configuration": Route(
        "POST", "/{account}/settings/{configuration}/copies", Right.EDIT_SETTINGS, (("name", "Copy"),), DONE
    ),
    "dashboard.show_login_page": Route("GET", "/{account}/settings/{configuration}/login-page", Right.VIEW_SETTINGS),
    "dashboard.save_login_page": Route(
        "POST", "/{account}/settings/{configuration}/login-page", Right.EDIT_SETTINGS, (("enabled", "on"),), DONE
    ),
    "dashboard.save_cancellation_page": Route(
        "POST", "/{account}/settings/{configuration}/cancellation-page", Right.EDIT_SETTINGS, (("enabled", "on"),), DONE
    ),
    "dashboard.send_test": Route(
        "POST", "/{account}/emails/test", Right.EDIT_SETTINGS, (("page", "receipt"),), DONE
    ),
    "dashboard.show_sender": Route("GET", "/{account}/emails/sender", Right.EDIT_SETTINGS),
    "dashboard.save_sender": Route(
        "POST", "/{account}/emails/sender", Right.EDIT_SETTINGS, (("name", "Books"),), (409,)
    ),
    "dashboard.set_sender_key": Route(
        "POST", "/{account}/emails/sender/key", Right.EDIT_SETTINGS, (("source", "new"),), (409,)
    ),
    "dashboard.withdraw_sender": Route("POST", "/{account}/emails/sender/withdrawal", Right.EDIT_SETTINGS, ok=(409,)),
    "dashboard.check_sender": Route("POST", "/{account}/emails/sender/check", Right.EDIT_SETTINGS, ok=REFUSED),
    "dashboard.show_log": Route("GET", "/{account}/log", Right.VIEW_LOG),
    "dashboard.download_log": Route("GET", "/{account}/log.csv", Right.VIEW_LOG),
    "dashboard.upload_picture": Route(
        "POST", "/{account}/pictures/logo", Right.EDIT_SETTINGS, (("remove", "yes"),), DONE
    ),
    "dashboard.switch_configuration": Route(
        "POST", "/{account}/settings/{configuration}/activity", Right.EDIT_SETTINGS, (("active", "no"),), DONE
    ),
    "dashboard.show_customers": Route("GET", "/{account}/test/customers", Right.VIEW_CUSTOMERS),
    "dashboard.show_customer_rows": Route("GET", "/{account}/test/customers/rows?q=hedda", Right.VIEW_CUSTOMERS),
    "dashboard.new_customer": Route("GET", "/{account}/test/customers/new", Right.EDIT_CUSTOMERS),
    "dashboard.create_customer": Route(
        "POST", "/{account}/test/customers", Right.EDIT_CUSTOMERS, (("name", "Zoe"),), DONE
    ),
    "dashboard.show_customer": Route("GET", "/{account}/test/customers/{customer}", Right.VIEW_CUSTOMERS),
    "dashboard.make_link": Route("POST", "/{account}/test/customers/{customer}/links", Right.EDIT_CUSTOMERS),
    "dashboard.email_link": Route(
        "POST", "/{account}/test/customers/{customer}/emails", Right.EDIT_CUSTOMERS,
        (("purpose", "customer_update"),), REFUSED,  # there is no mail server
    ),
    "dashboard.view_as_customer": Route("GET", "/{account}/test/customers/{customer}/view", Right.VIEW_CUSTOMERS),
    "dashboard.show_customers_portal": Route(
        "GET", "/{account}/test/customers/{customer}/view/frame?page=overview", Right.VIEW_CUSTOMERS
    ),
    "dashboard.show_new_subscription": Route(
        "GET", f"{OF}/customers/{{customer}}/subscriptions/new", Right.EDIT_CUSTOMERS
    ),
    "dashboard.quote_subscription": Route(
        "POST", f"{OF}/customers/{{customer}}/subscriptions/quote", Right.EDIT_CUSTOMERS, tuple(START.items())
    ),
    "dashboard.show_invoice": Route("GET", f"{OF}/customers/{{customer}}/invoices/{{invoice}}", Right.VIEW_CUSTOMERS),
    "dashboard.refund_invoice": Route(
        "POST", f"{OF}/customers/{{customer}}/invoices/{{invoice}}/refunds", Right.EDIT_CUSTOMERS,
        (("amount", "1.00"), ("where", "balance"), ("key", "one")), DONE,
    ),
    "dashboard.start_subscription": Route(
        "POST", f"{OF}/customers/{{customer}}/subscriptions", Right.EDIT_CUSTOMERS, tuple(START.items()), (409,)
    ),
    **CATALOGUE,
    **KEYS,
    **WEBHOOKS,
    **SECOND_STEPS,
}  # fmt: skip
each_route = pytest.mark.parametrize("endpoint", sorted(ROUTES))
OF_ACCOUNT = sorted(name for name, route in ROUTES.items() if "{account}" in route.address)


@pytest.fixture(autouse=True)
def now() -> Iterator[None]:
    with time_machine.travel(AT, tick=False), acting_as(ActorType.OPERATOR):
        yield


@dataclass
class Merchant:
    """An account with one user of each role, and the things that the addresses name."""

    users: dict[Role, Employee]
    things: dict[str, str]


def _merchant(name: str) -> Merchant:
    account_id = account()
    users = {role: employ(account_id, role, f"{role}@{name}.example", role.capitalize()) for role in Role}
    member = employ(account_id, Role.SUPPORT, f"member@{name}.example", "Member")
    invitation = teams.invite(account_id, f"guest@{name}.example", Role.ADMIN, None, AT).invitation
    default = next(one for one in portal_configurations.of_account(account_id) if not one.livemode)
    catalogue = stock(account_id)
    key = api_keys.create(account_id, AT, livemode=False).row
    copied = portal_configurations.copy(account_id, default.id, "Copy", AT)
    portal_configurations.change(account_id, copied.id, 1, {"headline": "Changed"}, AT)
    portal_configurations.change(account_id, copied.id, 2, {"headline": None}, AT)
    hook = endpoints.create(account_id, False, {"url": "https://x.example/", "enabled_events": ["*"]}, AT).row
    customer = new_customers.create(account_id, False, NewCustomer("Hedda Berg", f"hedda@{name}.example"), AT)
    return Merchant(
        users,
        {
            "account": account_id, "member": member.user_id, "invitation": invitation.id, "configuration": copied.id,
            "customer": customer.id, "invoice": paid_invoice(customer),
            "key": key.id, "hook": hook.id, "event": _event_of(account_id),
            "connected": connected.create(account_id, replace(BUSINESS, business_name=name), AT).id,
            **catalogue,
        },
    )  # fmt: skip


def _event_of(account_id: str) -> str:
    query = select(Event.id).where(Event.account_id == account_id, Event.type == "customer.created")
    with reading() as reader:
        return str(reader.execute(query).scalars().first())


def _knock(client: PortalClient, endpoint: str, things: dict[str, str], **options: Any) -> Any:
    route = ROUTES[endpoint]
    address = "/dashboard" + route.address.format(**things)
    if route.method == "GET":
        return client.get(address, **options)
    return client.send(address, {name: value.format(**things) for name, value in route.data}, **options)


def _everything() -> dict[str, int]:
    """A hash of each table, but of the sessions, which note when they are used."""
    with reading() as reader:
        return {
            table.name: hash(tuple(sorted(map(repr, reader.execute(table.select().execution_options(unscoped="all"))))))
            for table in Base.metadata.sorted_tables
            if table.name != "user_sessions"
        }


def test_every_route_has_a_row(lite_app: Flask) -> None:
    staff = {rule.endpoint for rule in lite_app.url_map.iter_rules() if rule.endpoint.startswith(STAFF)}
    assert staff == PUBLIC | set(ROUTES)
    for endpoint, route in ROUTES.items():
        right = getattr(lite_app.view_functions[endpoint], "right", None)
        assert right == (SIGNED_IN if route.right == EVERYBODY else route.right), endpoint


@pytest.mark.case("B1")
@each_route
def test_each_role_may_do_what_its_rights_say(lite_app: Flask, endpoint: str) -> None:
    merchant = _merchant("lumen")
    route = ROUTES[endpoint]
    for role, user in merchant.users.items():
        client = sign_in(lite_app, user)
        if route.right == EVERYBODY or route.right in RIGHTS[role]:
            assert _knock(client, endpoint, merchant.things).status_code in (*route.ok, 409), role  # after another role
        else:
            before = _everything()
            refused = _knock(client, endpoint, merchant.things)
            assert (refused.status_code, "Your role does not allow this" in refused.text) == (403, True), role
            assert _everything() == before, role


@pytest.mark.case("B1")
@pytest.mark.case("B7")
@pytest.mark.parametrize("htmx", [False, True])
def test_a_stranger_is_led_to_the_sign_in_and_changes_nothing(lite_app: Flask, htmx: bool) -> None:
    merchant = _merchant("lumen")
    client: PortalClient = lite_app.test_client()  # type: ignore[assignment]
    with client.session_transaction() as session:
        session["csrf_token"] = "a stranger's own"
    client.token = URLSafeTimedSerializer(SECRET, salt="wtf-csrf-token").dumps("a stranger's own")
    before = _everything()
    for endpoint in ROUTES:
        response = _knock(client, endpoint, merchant.things, headers={"HX-Request": "true"} if htmx else {})
        assert response.status_code == (401 if htmx else 303), endpoint
        assert htmx or response.location.startswith("/dashboard/sign-in"), endpoint
    assert _everything() == before


@pytest.mark.case("B1")
@pytest.mark.case("B2")
@pytest.mark.parametrize("endpoint", OF_ACCOUNT)
def test_nobody_sees_or_changes_another_account(lite_app: Flask, endpoint: str) -> None:
    """Neither under the other account's address, nor with the other account's things under one's own."""
    mine, theirs = _merchant("mine"), _merchant("theirs")
    client = sign_in(lite_app, mine.users[Role.OWNER])
    before = _everything()
    foreign = _knock(client, endpoint, theirs.things)
    none = _knock(client, endpoint, {**theirs.things, "account": "acct_none"})
    assert (foreign.status_code, none.status_code) == (404, 404)
    assert "theirs" not in foreign.text
    assert foreign.text == none.text
    mixed = {**theirs.things, "account": mine.things["account"]}
    if any(
        f"{{{name}}}" in f"{ROUTES[endpoint].address}{ROUTES[endpoint].data}" for name in mixed if name != "account"
    ):
        assert _knock(client, endpoint, mixed).status_code in (404, 422)
    if endpoint != "dashboard.invite":  # whose address names nothing of the other account
        assert _everything() == before


@pytest.mark.case("C1")
def test_without_the_pages_token_nothing_happens(lite_app: Flask) -> None:
    merchant = _merchant("lumen")
    client = sign_in(lite_app, merchant.users[Role.OWNER])
    other = sign_in(lite_app, merchant.users[Role.ADMIN])
    before = _everything()
    for endpoint, route in ROUTES.items():
        if route.method == "POST":
            for token in ("", other.token):
                client.token = token
                assert _knock(client, endpoint, merchant.things).status_code == 403, endpoint
    assert _everything() == before


@pytest.mark.case("C2")
def test_reading_changes_nothing(lite_app: Flask) -> None:
    merchant = _merchant("lumen")
    client = sign_in(lite_app, merchant.users[Role.OWNER])
    before = _everything()
    for endpoint, route in ROUTES.items():
        if route.method == "GET":
            assert _knock(client, endpoint, merchant.things).status_code in route.ok
    assert _everything() == before


@pytest.mark.case("B7")
def test_a_customer_and_a_key_open_no_dashboard(lite_app: Flask) -> None:
    from tests.conftest import enter

    scene = world.scene()
    customer = enter(lite_app, scene.customer)
    assert customer.get(f"/dashboard/{scene.customer.account_id}").status_code == 303
    with_key = customer.get("/dashboard/profile", headers={"Authorization": "Bearer sk_test_" + "x" * 44})
    assert with_key.status_code == 303
