"""A real browser, and a real server with the demo data, on loopback."""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import select
from werkzeug.serving import make_server

from portal_site import clock, demo
from portal_site.billing.models import Customer
from portal_site.billing.portal_access import portal_sessions
from portal_site.db import db
from tests.conftest import make_app
from tests.world import reading

SCREENSHOTS = Path(__file__).parent.parent.parent / "screenshots"
AXE = (Path(__file__).parent / "vendor" / "axe.js").read_text()
# --in-process-gpu: without a separate process for drawing, the tests of pages take a fifth less processor time.
QUIET = (
    "--disable-gpu --in-process-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is in this folder needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The Chromium that is there, else Playwright's own; as root it cannot have its sandbox."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("PORTAL_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    arguments = [*QUIET.split(), "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return {**browser_type_launch_args, "args": arguments, **({"executable_path": found} if found else {})}


@dataclass
class Site:
    """The running portal."""

    app: Flask
    address: str

    def link(self, customer: Customer | str, **options: Any) -> str:
        """A fresh link for a customer, given by itself or by the phrase that the demo describes it with."""
        with self.app.app_context():
            if isinstance(customer, str):
                options |= self._demo_options(customer)
                opened_for = self.customer_id(customer)
            else:
                opened_for = customer.id
            opened = portal_sessions.open_session(opened_for, clock.now(), **options)
            db.session.remove()
        return f"{self.address}/p/session/{opened.token}"

    def customer_id(self, phrase: str) -> str:
        """The id of the demo's customer with this phrase; inside the app's context."""
        with reading() as connection:
            return str(connection.scalar(select(Customer.id).where(Customer.description == phrase)))

    def _demo_options(self, phrase: str) -> dict[str, Any]:
        known = next(customer for customer in demo.customers() if customer.phrase == phrase)
        return {"on_behalf_of": known.on_behalf_of, "configuration_id": known.configuration_id}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The portal with the demo's customers."""
    folder = tmp_path_factory.mktemp("site")
    server = make_server("127.0.0.1", 0, Flask("placeholder"), threaded=True)
    address = f"http://127.0.0.1:{server.server_port}"
    app = make_app(f"sqlite:///{folder / 'portal.db'}", folder, base_url=address, demo=True)
    server.app = app
    with app.app_context():
        demo.seed(clock.now())
        db.session.remove()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(app, address)
    server.shutdown()
    thread.join(5)


@pytest.fixture(params=["script", "no script"])
def script(request: pytest.FixtureRequest) -> bool:
    """Each journey is made with JavaScript and without."""
    return bool(request.param == "script")


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, script: bool) -> Iterator[OpenPage]:
    """`open_page(width=…)`: a page of a browser of its own; anything on its console fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(width: int = 1280, **options: Any) -> Page:
        given = {
            "viewport": {"width": width, "height": 900},
            "locale": "en-GB",
            "java_script_enabled": script,
            **options,
        }
        context = browser.new_context(**given)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: _note(complaints, message.type, message.text))
        page.on("pageerror", lambda error: _note(complaints, "error", str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _note(complaints: list[str], kind: str, words: str) -> None:
    # The browser's own note that it did not fade from one page to the next, which is no fault of either.
    if words.startswith("Transition was "):
        return
    # The browser reports every answer of 4xx, and htmx does so again; those are tested where they are expected.
    if kind == "error" and not re.search("the server responded with a status of 4|Response Status Error Code 4", words):
        complaints.append(words)


ALL_RULES = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
RULES_OF_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}


def violations(page: Page, rules: dict[str, Any] = ALL_RULES) -> list[str]:
    """What axe finds on the page as it stands."""
    page.wait_for_load_state()
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE)
    # Nothing here needs the stylesheets to be fetched again, or a selector for every element.
    options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False, "selectors": False}
    found = page.evaluate("options => window.axe.run(document, options)", options)
    return [f"{v['id']}: {node['html'][:160]}" for v in found["violations"] for node in v["nodes"]]


def take_picture(page: Page, name: str) -> None:
    """Keep a picture of the whole page, for people to look at. Continuous integration, where nobody does, keeps none."""
    if "CI" not in os.environ:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def scrolls_sideways(page: Page) -> bool:
    """Whether one has to."""
    page.wait_for_load_state()
    return bool(page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth"))
