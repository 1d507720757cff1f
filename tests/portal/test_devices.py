"""Staying logged in on a device: for 90 days, until it is logged out; what matters asks for a code again."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.billing_run import clean_up
from portal_site.billing.customers import billing_information
from portal_site.billing.models import PortalConfiguration, RememberedDevice
from portal_site.billing.portal_access import devices, logins, portal_sessions
from portal_site.mail import login_codes
from portal_site.portal.access.devices import SENSITIVE
from tests import world
from tests.client import PortalClient, text
from tests.operators import set_login_page
from tests.portal.logging_in import AT, NOW, ask, mail_is_on, mails  # noqa: F401
from tests.world import reading

DAY = 24 * 60 * 60
LATER = AT + 30 * DAY


def _configuration(shop: world.Shop) -> str:
    with reading() as reader:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        return str(reader.execute(select(PortalConfiguration.id).where(mine)).scalar_one())


def _page(shop: world.Shop, remember: bool = True) -> str:
    page_id = set_login_page(_configuration(shop), enabled=True, new_url=False, at=AT, remembers_devices=remember)
    return f"/login/{page_id}"


def _log_in(app: Flask, page: str, *, remember: bool = True) -> PortalClient:
    before = {code for code, _body in mails(app)}
    client, _answer = ask(app, page)
    (code,) = {code for code, _body in mails(app)} - before
    client.get(f"{page}/code")
    entered = client.send(f"{page}/code", {"code": code, **({"remember": "y"} if remember else {})})
    assert entered.location == "/"
    return client


def _count() -> int:
    with reading() as reader:
        return reader.scalar(select(func.count()).select_from(RememberedDevice)) or 0


@pytest.mark.both_databases
def test_a_customer_stays_logged_in_for_ninety_days(app: Flask) -> None:
    with NOW:
        page = _page(world.shop())
        client = _log_in(app, page)
    with time_machine.travel(AT + 89 * DAY, tick=False):
        assert client.get("/invoices").status_code == 200
        assert client.get(page).location == "/"
    with time_machine.travel(AT + 91 * DAY, tick=False):
        assert client.get("/invoices").status_code == 403
        assert client.get(page).status_code == 200
        clean_up.remove_old_rows(AT + 91 * DAY)
        assert _count() == 0


@pytest.mark.parametrize(("offered", "wanted"), [(True, False), (False, True)])
def test_only_where_both_want_it(lite_app: Flask, offered: bool, wanted: bool) -> None:
    with NOW:
        page = _page(world.shop(), remember=offered)
        client, _answer = ask(lite_app, page)
        assert ("Stay logged in on this device" in client.get(f"{page}/code").text) == offered
        client = _log_in(lite_app, page, remember=wanted)
        assert _count() == 0
    with time_machine.travel(LATER, tick=False):
        assert client.get("/").status_code == 403


@NOW
@pytest.mark.case("A6")
def test_the_cookie_is_out_of_reach_and_only_its_hash_is_stored(lite_app: Flask) -> None:
    page = _page(world.shop())
    client, _answer = ask(lite_app, page)
    ((code, _body),) = mails(lite_app)
    client.get(f"{page}/code")
    entered = client.send(f"{page}/code", {"code": code, "remember": "y"})
    (cookie,) = [each for each in entered.headers.getlist("Set-Cookie") if "-device=" in each]
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={90 * DAY}"):
        assert part in cookie
    token = re.search(r"-device=([\w-]+);", cookie)[1]  # type: ignore[index]
    with reading() as reader:
        stored = reader.scalar(select(RememberedDevice.token_hash))
    assert token not in str(stored)
    assert len(token) >= 43


def test_payment_details_cancelling_and_pausing_ask_for_a_code(lite_app: Flask) -> None:
    with NOW:
        shop = world.shop()
        client = _log_in(lite_app, _page(shop))
        assert client.get("/payment-methods/new").status_code == 200  # the code was just entered
    there = f"/subscriptions/{shop.subscription.id}/cancellation"
    with time_machine.travel(LATER, tick=False):
        client.get("/")
        pause = f"/subscriptions/{shop.subscription.id}/pause"
        for address in ("/payment-methods/new", there, f"{there}/end", pause):
            asked = client.get(address)
            assert asked.location.startswith("/p/code/"), address
        posted = client.send("/payment-methods")
        assert posted.location.startswith("/p/code/")
        client.get(there)
        replacement = client.get(there).location
        assert "send a code to h•••@acme.example" in text(client.get(replacement).text)
        client.send(replacement)
        with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
            login_codes.answer_requests(LATER)
        code = mails(lite_app)[-1][0]
        entered = client.send(f"{replacement}/code", {"code": code})
        assert entered.location == there
        assert client.get(there).status_code == 200
        assert client.get("/payment-methods/new").status_code == 200


def test_every_route_about_these_is_decided_on(lite_app: Flask) -> None:
    """A new route of these has to be put on one list or the other."""
    harmless = {
        "show_payment_methods", "show_payment_method_list", "finish_payment_method",  # the provider leads back there
        "keep_subscription", "finish_final_payment", "download_acknowledgement",
    }  # fmt: skip
    words = "/payment-methods", "/cancellation", "/pause"
    found = {
        rule.endpoint.removeprefix("portal.")
        for rule in lite_app.url_map.iter_rules()
        if rule.endpoint.startswith("portal.") and any(word in rule.rule for word in words)
    }
    assert found == SENSITIVE | harmless


def test_devices_are_listed_and_logged_out(lite_app: Flask) -> None:
    with NOW:
        shop = world.shop()
        page = _page(shop)
        phone, laptop = _log_in(lite_app, page), _log_in(lite_app, page)
    with time_machine.travel(LATER, tick=False):
        phone.get("/")
        shown = laptop.get("/devices")
        assert text(shown.text).count("Last used on") == 2
        assert "This device" in text(shown.text)
        assert 'href="/devices"' in laptop.get("/").text
        others = re.findall(r"/devices/(dev_\w+)/removal", shown.text)
        mine = re.search(r"/devices/(dev_\w+)/removal", shown.text.partition("This device")[2])
        (theirs,) = set(others) - {mine[1]}  # type: ignore[index]
        done = laptop.send(f"/devices/{theirs}/removal")
        assert "The device is logged out." in text(laptop.get(done.location).text)
        assert phone.get("/").status_code == 403
        assert laptop.get("/").status_code == 200
        laptop.send("/devices/removal")
        assert laptop.get("/").status_code == 403
        assert _count() == 0


@NOW
def test_the_device_of_another_customer_cannot_be_logged_out(lite_app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    _log_in(lite_app, _page(shop))
    with reading() as reader:
        device_id = reader.scalar(select(RememberedDevice.id))
    assert devices.forget(other.customer.id, str(device_id), AT) == 0
    assert _count() == 1


def test_logging_out_forgets_the_device(lite_app: Flask) -> None:
    with NOW:
        client = _log_in(lite_app, _page(world.shop()))
        client.get("/")
        client.send("/log-out")
        assert _count() == 0
    with time_machine.travel(LATER, tick=False):
        assert client.get("/").status_code == 403


@pytest.mark.case("A15")
@pytest.mark.parametrize("how", ["another address", "not allowed any more", "closed", "deleted"])
def test_a_device_is_forgotten_once_it_should_be(lite_app: Flask, how: str) -> None:
    with NOW:
        shop = world.shop()
        client = _log_in(lite_app, _page(shop))
    changes: dict[str, Any] = {
        "another address": lambda: billing_information.update_billing_information(
            shop.customer.id, {"email": "new@acme.example"}, AT
        ),
        "not allowed any more": lambda: _page(shop, remember=False),
        "closed": lambda: set_login_page(_configuration(shop), enabled=False, new_url=False, at=AT),
        "deleted": lambda: _delete(shop),
    }
    changes[how]()
    with time_machine.travel(LATER, tick=False):
        assert client.get("/").status_code == 403


def _delete(shop: world.Shop) -> None:
    with world.transaction() as session:
        session.get_one(world.Customer, shop.customer.id).deleted_at = AT


def test_what_was_typed_survives_the_end_of_a_session(lite_app: Flask) -> None:
    with NOW:
        shop = world.shop()
        client = _log_in(lite_app, _page(shop))
        client.get("/billing-information/edit")
    with time_machine.travel(LATER, tick=False):
        there = f"/subscriptions/{shop.subscription.id}/cancellation/removal"
        assert client.send(there).status_code == 303  # the token of the form is still good


@NOW
def test_the_least_recently_used_device_makes_room(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MOST", 2)
    monkeypatch.setattr(logins, "MOST_OF_BOTH", 10)
    page = _page(world.shop())
    for _each in range(4):
        _log_in(lite_app, page)
    assert _count() == 2


@NOW
def test_the_address_cannot_be_changed_from_a_remembered_device(lite_app: Flask) -> None:
    client = _log_in(lite_app, _page(world.shop()))
    with time_machine.travel(LATER, tick=False):
        client.get("/")
        assert 'name="email"' not in client.get("/billing-information/edit").text


@pytest.mark.case("A14")
def test_a_page_of_another_customer_is_not_taken_for_ones_own(lite_app: Flask) -> None:
    with NOW:
        shop, other = world.shop(), world.shop("Other")
        client = _log_in(lite_app, _page(shop))
        opened = portal_sessions.open_session(other.customer.id, AT)
        client.get(f"/p/session/{opened.token}")
        client.get("/billing-information/edit")
    with time_machine.travel(LATER, tick=False):
        assert client.get("/").status_code == 403
        assert client.send("/billing-information/edit", {"name": "Other"}).status_code == 403


def test_logging_out_ends_what_the_device_has_begun(lite_app: Flask) -> None:
    with NOW:
        client = _log_in(lite_app, _page(world.shop()))
    with time_machine.travel(LATER, tick=False):
        client.get("/")
        copied = lite_app.test_client()
        for cookie in client._cookies.values():
            copied._cookies[cookie._storage_key] = cookie
        assert copied.get("/").status_code == 200
        client.send("/log-out")
        assert copied.get("/").status_code == 403
