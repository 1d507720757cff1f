"""Each option of a configuration in a real browser: switched in the dashboard, and seen by a customer with the next click."""

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from portal_site import clock
from portal_site.billing.accounts import portal_configurations
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.db import db
from tests.browser.conftest import OpenPage, Site
from tests.browser.test_dashboard import Office
from tests.dashboard.effects import EFFECTS

DONE = re.compile("Saved. Customers see it with their next click.|Nothing was different.")


def _put_back(office: Office) -> None:
    """Restore the settings that the configuration had at first."""
    with office.site.app.app_context(), acting_as(ActorType.OPERATOR):
        row = portal_configurations.get(office.account_id, office.configuration_id)
        if row.version > 1:
            portal_configurations.restore(office.account_id, row.id, row.version, 1, clock.now())
        db.session.remove()


def _fill(page: Page, name: str, value: Any) -> None:
    """Do what a person does to have this value of a field; None and "" leave boxes without a tick."""
    fields = page.locator(f'#settings [name="{name}"]')
    first = fields.first
    kind = first.get_attribute("type") or ""
    if kind == "checkbox":
        wanted = value if isinstance(value, list) else [value] if value else []
        for box in fields.all():
            box.set_checked(box.get_attribute("value") in wanted)
    elif kind == "radio":
        page.locator(f'#settings [name="{name}"][value="{value}"]').check()
    elif first.evaluate("element => element.tagName") == "SELECT":
        first.select_option(value)
    else:
        first.fill(value)


def _save(page: Page, address: str, changed: dict[str, Any]) -> None:
    page.goto(address)
    for fold in page.locator("#settings details").all():
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()
    for name, value in changed.items():
        _fill(page, name, value)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text=DONE)).to_be_visible()


def _is_seen(body: Locator, words: str, there: bool) -> str:
    """What is wrong, if something is."""
    try:
        if there:
            expect(body).to_contain_text(words)
        else:
            expect(body).not_to_contain_text(words)
    except AssertionError:
        return f"{words!r} {'is missing' if there else 'is there'}: {body.inner_text()[:400]}"
    return ""


def test_each_option_has_its_effect(site: Site, open_page: OpenPage, script: bool) -> None:
    office, faults = Office(site, add_ons=True), []
    shop = office.shop
    things = {"subscription": shop.subscription.id, "solo": shop.prices["solo"].id, "item": shop.item_id}
    page, customer = open_page(1280), open_page(1280, locale="en-US")
    office.enter(page)
    page.route("**/preview*", lambda route: route.fulfill(body="", content_type="text/html"))  # it has tests of its own
    customer.goto(site.link(office.customer))
    for section, changed, address, words, there in EFFECTS:
        if changed.get("methods", "y") is None:  # who may not add a payment method may not change plans either
            _save(page, office.settings("subscriptions"), {"update": None})
        _save(page, office.settings(section), changed)
        customer.goto(f"{site.address}{address.format(**things)}")
        fault = _is_seen(customer.locator("body"), words, there)
        faults += [f"{section} {changed}: {fault}"] if fault else []
        _put_back(office)
    assert faults == []
