"""Passkeys in a real browser, with an authenticator that the browser pretends to have."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from portal_site import clock
from portal_site.db import db
from portal_site.staff import second_step
from tests.browser.conftest import OpenPage, scrolls_sideways, violations
from tests.conftest import make_app
from tests.dashboard.staff import PASSWORD, Employee, account, employ

AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


class Place:
    """A dashboard at a name, which passkeys need, and somebody who works there."""

    def __init__(self, app: Flask, address: str) -> None:
        self.app, self.address = app, address
        with app.app_context():
            self.account_id = account()
            self.ada: Employee = employ(self.account_id)
            db.session.remove()

    def sign_in(self, page: Page) -> None:
        """Go as far as the second step."""
        page.goto(f"{self.address}/dashboard/sign-in")
        page.get_by_label("Email").fill(self.ada.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

    def enter_code(self, page: Page) -> None:
        """The second step by the app."""
        page.get_by_label("Code").fill(self.ada.code(clock.now()))
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """It listens on loopback, and browsers find it as localhost."""
    server = make_server("127.0.0.1", 0, Flask("placeholder"), threaded=True)
    address = f"http://localhost:{server.server_port}"
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path, base_url=address)
    server.app = app
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Place(app, address)
    server.shutdown()
    thread.join(5)


def _authenticator(page: Page, **members: Any) -> tuple[Any, str]:
    """Give the page's browser an authenticator: the connection to it, and its id."""
    connection = page.context.new_cdp_session(page)
    connection.send("WebAuthn.enable")
    made = connection.send("WebAuthn.addVirtualAuthenticator", {"options": {**AUTHENTICATOR, **members}})
    return connection, made["authenticatorId"]


def _fits(page: Page) -> None:
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert not scrolls_sideways(page), width
        assert violations(page) == []


@pytest.mark.parametrize("script", ["script"], indirect=True)
@pytest.mark.parametrize("age", ["of today", "of before 2025"])
def test_a_passkey_is_added_in_the_profile_and_lets_in(place: Place, open_page: OpenPage, age: str) -> None:
    page = open_page()
    if age == "of before 2025":  # without the functions that read options
        page.add_init_script(
            "for (const name of ['parseRequestOptionsFromJSON', 'parseCreationOptionsFromJSON'])"
            " delete PublicKeyCredential[name]"
        )
    connection, authenticator = _authenticator(page)
    place.sign_in(page)
    place.enter_code(page)
    page.goto(f"{place.address}/dashboard/profile")
    page.get_by_role("link", name="Add a passkey").click()
    _fits(page)
    page.get_by_label("Name of the passkey").fill("My laptop")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("The passkey is added.")).to_be_visible()
    expect(page.get_by_text("My laptop", exact=True)).to_be_visible()
    _fits(page)
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("This device has a passkey for you already.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    place.sign_in(page)
    expect(page.get_by_role("heading", name="Use your passkey or a code")).to_be_visible()
    _fits(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()
    (kept,) = connection.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert kept["rpId"] == "localhost"
    page.goto(f"{place.address}/dashboard/proof?next=/dashboard/profile")
    _fits(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Your profile")).to_be_visible()


@pytest.mark.parametrize("script", ["script"], indirect=True)
def test_a_dialog_that_is_closed_is_said_in_the_page(place: Place, open_page: OpenPage) -> None:
    page = open_page()
    connection, authenticator = _authenticator(page)
    with place.app.app_context():
        second_step.new_recovery_codes(place.ada.user_id, clock.now())
        db.session.remove()
    place.sign_in(page)
    place.enter_code(page)
    page.goto(f"{place.address}/dashboard/profile/passkeys/new")
    connection.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    button = page.get_by_role("button", name="Add the passkey")
    button.click()
    expect(page.get_by_text("The browser's dialog was closed, or took too long.")).to_be_visible()
    expect(button).not_to_have_attribute("aria-busy", "true")
    _fits(page)
    connection.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    button.click()
    expect(page.get_by_text("The passkey is added.")).to_be_visible()


def test_the_first_second_step_can_be_a_passkey(
    place: Place, open_page: OpenPage, script: bool, browser: Browser
) -> None:
    from portal_site.db.transactions import transaction

    with place.app.app_context(), transaction() as session:
        second_step.remove(session, place.ada.user_id)
    page = open_page(320)
    if script:
        _authenticator(page)
    place.sign_in(page)
    expect(page.get_by_role("heading", name="Set up two-step verification")).to_be_visible()
    assert not scrolls_sideways(page)
    if not script:
        expect(page.get_by_text("Passkeys need JavaScript")).to_be_visible()
        expect(page.get_by_role("button", name="Add a passkey")).to_have_count(0)
        return
    _fits(page)
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    code = page.get_by_role("listitem").first.inner_text()
    plain = browser.new_context(java_script_enabled=False).new_page()
    place.sign_in(plain)
    expect(plain.get_by_text("Passkeys need JavaScript")).to_be_visible()
    expect(plain.get_by_role("button", name="Use a passkey")).to_have_count(0)
    assert not scrolls_sideways(plain)
    plain.get_by_label("Code").fill(code)
    plain.get_by_role("button", name="Continue").click()
    expect(plain.get_by_role("button", name="Sign out", exact=True)).to_be_visible()
    plain.context.close()
