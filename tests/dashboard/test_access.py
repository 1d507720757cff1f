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
from portal_site.dashboard import SIGNED_IN, navigation
from portal_site.db import Base
from portal_site.db.transactions import reading
from portal_site.staff import teams
from portal_site.staff.roles import RIGHTS, Role
from tests import world
from tests.client import PortalClient
from tests.conftest import SECRET
from tests.dashboard.counter import paid_invoice, stock
from tests.dashboard.routes import EVERYBODY, ROUTES
from tests.dashboard.staff import BUSINESS, Employee, account, employ, sign_in
from tests.test_access import STAFF

AT = world.HALF
PUBLIC = {
    # Let in by what they check: test_sign_in.py, test_passkey_pages.py, test_setup.py, test_team.py
    "sign_in.show_form", "sign_in.check_password", "sign_in.show_code", "sign_in.check_code", "sign_in.sign_out",
    "sign_in.show_second_step_setup", "sign_in.set_up_second_step", "sign_in.check_passkey", "sign_in.set_up_passkey",
    "setup.show_form", "setup.begin",
    "invitations.show", "invitations.accept", "invitations.join",
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
    if endpoint != "dashboard.invite_member":  # whose address names nothing of the other account
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


@each_route
def test_at_most_one_link_of_the_frame_is_the_current_one(endpoint: str) -> None:
    here = endpoint.removeprefix("dashboard.")
    current = [name for name, _right, view, others in navigation.PAGES if navigation._state(here, view, others)]
    assert len(current) <= 1


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
