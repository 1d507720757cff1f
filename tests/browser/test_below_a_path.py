"""A journey through a portal that is mounted below a path, with and without JavaScript."""

import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import expect
from werkzeug.serving import make_server

from portal_site.db import db
from tests import world
from tests.browser.conftest import OpenPage, Site
from tests.browser.test_journeys import fill_card
from tests.conftest import make_app


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The portal below /shop/billing of a host on which there is nothing else."""
    folder = tmp_path_factory.mktemp("below")
    server = make_server("127.0.0.1", 0, Flask("placeholder"), threaded=True)
    address = f"http://127.0.0.1:{server.server_port}/shop/billing"
    app = make_app(f"sqlite:///{folder / 'portal.db'}", folder, base_url=address)
    server.app = app
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(app, address)
    server.shutdown()
    thread.join(5)


def test_a_customer_finds_everything_below_the_path(below: Site, open_page: OpenPage, script: bool) -> None:
    with below.app.app_context():
        customer = world.scene("Below" if script else "Beneath", last="open").customer
        db.session.remove()
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(below.link(customer))
    page.get_by_role("link", name="Update information").click()
    page.get_by_label("Email").fill("below@acme.example")
    billing = page.get_by_role("group", name="Billing address")
    billing.get_by_label("Country").select_option("US")
    if not script:
        billing.get_by_role("button", name="Show the fields for this country").click()
    expect(billing.get_by_label("ZIP code")).to_be_visible()  # the fields of the country have come
    billing.get_by_label("Address line 1").fill("500 Congress Ave")
    billing.get_by_label("City").fill("Austin")
    billing.get_by_label("State").select_option("TX")
    billing.get_by_label("ZIP code").fill("78701")
    page.get_by_role("button", name="Save billing information").click()
    expect(page.get_by_text("Your billing information was updated.")).to_be_visible()
    page.goto(f"{below.address}/payment-methods")
    page.get_by_role("button", name="Add payment method").or_(
        page.get_by_role("button", name="Add a payment method")
    ).click()
    fill_card(page, "5555 5555 5555 4444")
    expect(page.get_by_text("4444").first).to_be_visible()
    page.get_by_role("button", name="Français").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    page.get_by_role("button", name="Se déconnecter").click()
    page.wait_for_url("**/shop/billing/logged-out")
    assert [url for url in asked if not url.startswith(f"{below.address}/")] == []
    page.goto(f"{below.address}/invoices")
    expect(page.get_by_text("Votre session est terminée").or_(page.locator("[data-over]")).first).to_be_visible()
