"""A link that has expired, for a customer whose address is known: a code leads on to where it led."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask

from portal_site.billing.portal_access import portal_sessions
from portal_site.billing.rules.portal.flows import Flow
from tests import world
from tests.client import PortalClient, text
from tests.portal.billing_form import submit
from tests.portal.logging_in import AT, EMAIL, NOW, ask, enter_code, login_page, mail_is_on, mails  # noqa: F401


def _expired(app: Flask, shop: world.Shop, last: int | None = None, **options: Any) -> tuple[PortalClient, Any]:
    """What a browser sees that follows a link an hour too late."""
    after = {"type": "customer_login", "customer_login": {"expires_at": last}}
    opened = portal_sessions.open_session(shop.customer.id, AT - 3600, after_expiration=after, **options)
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    return client, client.get(f"/p/session/{opened.token}?to=/invoices")


def _code_link(page: Any) -> str:
    found = re.search(r'href="(/p/code/[^"]+)"', page.text)
    assert found, text(page.text)
    return found[1]


@NOW
@pytest.mark.both_databases
def test_an_expired_link_is_replaced_with_a_code_and_leads_to_the_same_page(app: Flask) -> None:
    shop = world.shop()
    client, over = _expired(app, shop, return_url="https://shop.example/account")
    assert over.status_code == 403
    there = _code_link(over)
    shown = client.get(there)
    assert "We will send a code to h•••@acme.example" in text(shown.text)
    assert EMAIL not in shown.text
    assert client.send(there).location == f"{there}/code"
    ((code, body),) = mails(app)
    assert f"http://127.0.0.1:8000{there}/code?code={code}" in body
    assert EMAIL not in client.get(f"{there}/code").text
    entered = client.send(f"{there}/code", {"code": code})
    assert entered.location == "/invoices"
    assert 'href="https://shop.example/account"' in client.get("/invoices").text
    assert 'name="email"' not in client.get("/billing-information/edit").text


@NOW
def test_a_flow_goes_on_after_its_link_has_expired(lite_app: Flask) -> None:
    shop = world.shop()
    flow = Flow("subscription_pause", subscription_id=shop.subscription.id)
    client, over = _expired(lite_app, shop, flow=flow)
    there = _code_link(over)
    client.get(there)
    client.send(there)
    ((code, _body),) = mails(lite_app)
    client.get(f"{there}/code")
    client.send(f"{there}/code", {"code": code})
    assert client.get("/").location == f"/subscriptions/{shop.subscription.id}/pause"


@NOW
def test_a_code_for_an_expired_link_lets_no_namesake_in(lite_app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        made.customer("Namesake", EMAIL, "x")
    client, over = _expired(lite_app, shop)
    there = _code_link(over)
    client.get(there)
    client.send(there)
    ((code, _body),) = mails(lite_app)
    client.get(f"{there}/code")
    assert client.send(f"{there}/code", {"code": code}).location in ("/", "/invoices")
    assert "Hedda Berg" in text(client.get("/billing-information").text)


@NOW
def test_an_expired_link_is_not_replaced_after_its_last_moment_or_without_a_word(lite_app: Flask) -> None:
    shop = world.shop()
    _client, over = _expired(lite_app, shop, last=AT)
    assert "/p/code/" not in over.text
    client, before = _expired(lite_app, shop, last=AT + 10)
    there = _code_link(before)
    with time_machine.travel(AT + 10, tick=False):
        assert client.get(there).status_code == 404
    opened = portal_sessions.open_session(shop.customer.id, AT - 3600)
    plain = lite_app.test_client().get(f"/p/session/{opened.token}")
    assert "/p/code/" not in plain.text


@NOW
@pytest.mark.parametrize("ticket", ["x", "x.y", "InNlc3Npb24i.abc"])
def test_a_ticket_that_was_not_signed_is_nothing(lite_app: Flask, ticket: str) -> None:
    assert lite_app.test_client().get(f"/p/code/{ticket}").status_code == 404
    assert lite_app.test_client().post(f"/p/code/{ticket}").status_code == 403


@NOW
@pytest.mark.both_databases
def test_a_flow_that_is_done_is_done_for_all_its_replacements(app: Flask) -> None:
    shop = world.shop()
    flow = Flow("customer_update")

    def entered(client: PortalClient, there: str) -> None:
        before = {code for code, _body in mails(app)}
        client.get(there)
        client.send(there)
        (code,) = {code for code, _body in mails(app)} - before
        client.get(f"{there}/code")
        assert client.send(f"{there}/code", {"code": code}).status_code == 303

    client, over = _expired(app, shop, flow=flow)
    there = _code_link(over)
    entered(client, there)
    submit(client, name="Hedda Berg GmbH")
    assert client.get("/").location == "/flow/end"
    second: PortalClient = app.test_client()  # type: ignore[assignment]
    entered(second, there)
    assert second.get("/").location == "/flow/end"
