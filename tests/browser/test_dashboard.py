"""The merchant's dashboard in a real browser: from an empty database to a setting that a customer sees."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from portal_site import clock
from portal_site.billing.accounts import portal_configurations
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Customer
from portal_site.dashboard.access import setup
from portal_site.db import db
from portal_site.staff import sessions
from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.browser.shopper import Shopper
from tests.conftest import make_app
from tests.dashboard.staff import PASSWORD, employ

COOKIE = "-dashboard"


class Office:
    """A merchant of the site's with a customer, and somebody who is signed in to its dashboard."""

    def __init__(self, site: Site, **options: Any) -> None:
        self.site = site
        self.shop = Shopper.of(site, **options).shop
        self.customer: Customer = self.shop.customer
        self.account_id = self.customer.account_id
        with site.app.app_context(), acting_as(ActorType.OPERATOR):
            owner = employ(self.account_id, email=f"owner@{self.account_id.lower()}.example")
            self.token = sessions.open_session(owner.user_id, "", clock.now(), second_step=True)
            self.configuration_id = portal_configurations.of_account(self.account_id)[0].id
            portal_configurations.copy(self.account_id, self.configuration_id, "Partners", clock.now())
            db.session.remove()

    def enter(self, page: Page) -> None:
        """Sign the page's browser in."""
        name = f"{self.site.app.config['SESSION_COOKIE_NAME']}{COOKIE}"
        page.context.add_cookies([{"name": name, "value": self.token, "url": self.site.address}])

    def address(self, rest: str = "") -> str:
        """A page of the account."""
        return f"{self.site.address}/dashboard/{self.account_id}{rest}"

    def settings(self, section: str) -> str:
        """A page of the settings."""
        return self.address(f"/settings/{self.configuration_id}/{section}")


def test_a_setting_is_seen_while_it_is_typed_and_by_customers_once_it_is_saved(
    site: Site, open_page: OpenPage, script: bool
) -> None:
    office, page, customer = Office(site), open_page(1400), open_page(1280)
    customer.goto(site.link(office.customer))
    office.enter(page)
    page.goto(office.settings("words"))
    page.get_by_label("Headline").fill("Light for your desk")
    frame = page.frame_locator("iframe[name=preview]")
    if not script:
        page.get_by_role("button", name="Update preview").click()
    expect(frame.get_by_text("Light for your desk")).to_be_visible()
    expect(frame.get_by_role("link", name="Change plan")).to_be_visible()
    customer.reload()
    expect(customer.get_by_text("Light for your desk")).to_have_count(0)  # seen, and not stored
    page.get_by_role("link", name="Changing subscriptions").click()
    page.get_by_label("Customers change subscriptions").uncheck()
    page.get_by_label("Page").select_option("Overview")
    if not script:
        page.get_by_role("button", name="Update preview").click()
    expect(frame.get_by_role("link", name="Cancel subscription")).to_be_visible()
    expect(frame.get_by_role("link", name="Change plan")).to_have_count(0)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. Customers see it with their next click.")).to_be_visible()
    customer.reload()
    expect(customer.get_by_role("link", name="Cancel subscription")).to_be_visible()
    expect(customer.get_by_role("link", name="Change plan")).to_have_count(0)
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("row", name="Subscription update: enabled")).to_contain_text("off")
    page.get_by_role("button", name=re.compile("^Restore")).last.click()
    expect(page.get_by_text("Restored.")).to_be_visible()
    customer.reload()
    expect(customer.get_by_role("link", name="Change plan")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_for_everybody(site: Site, browser: Browser, scheme: str) -> None:
    office = Office(site)
    page = browser.new_context(color_scheme=scheme, locale="en-GB").new_page()  # type: ignore[arg-type]
    office.enter(page)
    sections = (
        "subscriptions",
        "cancellation",
        "offers",
        "information",
        "words",
        "appearance",
        "history",
        "comparison",
    )
    addresses = [
        office.address(), office.address("/team"), office.address("/domain"),
        office.address("/connected-accounts"), office.address("/settings"), f"{site.address}/dashboard/profile",
        f"{site.address}/dashboard/proof", *map(office.settings, sections),
    ]  # fmt: skip
    faults = []
    for address in addresses:
        for width in (320, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(address)
            for fold in page.locator("summary").all():
                fold.click()
            if scrolls_sideways(page):
                faults.append(f"{width}: one has to scroll sideways at {address}")
        faults += [f"{address}: {words}" for words in violations(page)]
    page.context.close()
    assert faults == []


@pytest.fixture
def new_portal(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A portal without anything in it; the link that is printed at its start."""
    server = make_server("127.0.0.1", 0, Flask("placeholder"), threaded=True)
    address = f"http://127.0.0.1:{server.server_port}"
    app = make_app(f"sqlite:///{tmp_path / 'portal.db'}", tmp_path, base_url=address)
    server.app = app
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def link() -> str:
        with app.test_request_context(base_url=address):
            return setup.link(clock.now()) or ""

    yield link
    server.shutdown()
    thread.join(5)


def test_from_an_empty_database_into_the_dashboard(
    new_portal: Callable[[], str], open_page: OpenPage, script: bool
) -> None:
    page = open_page(320)
    page.goto(new_portal())
    assert not scrolls_sideways(page)
    if script:
        assert violations(page) == []
    expect(page.get_by_label("Country")).to_have_value("GB")
    expect(page.get_by_label("Currency")).to_have_value("gbp")
    page.get_by_label("Business name").fill("Lumen Press")
    page.get_by_label("Your name").fill("Ada Byron")
    page.get_by_label("Your email").fill("ada@lumen.example")
    page.get_by_label("Password").fill("lumenpress")
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_text("This password is easy to guess.").first).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_role("heading", name="Set up two-step verification")).to_be_visible()
    if script:
        assert violations(page) == []
    secret = page.get_by_text(re.compile("^[A-Z2-7 ]{32,}$")).inner_text().replace(" ", "")
    page.get_by_label("Code").fill(pyotp.TOTP(secret).at(clock.now()))
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    recovery = page.get_by_role("listitem").first.inner_text()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("heading", name="Lumen Press")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Email").fill("ada@lumen.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Lumen Press")).to_be_visible()
    assert new_portal() == ""
