"""Every page in every state, light and dark, on phone and desktop: accessible, without horizontal scrolling, with screenshots."""

import re

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import update

from portal_site import clock
from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.models import Invoice
from portal_site.billing.portal_access import portal_sessions
from portal_site.demo.builder import DAY
from tests import world
from tests.browser.conftest import ALL_RULES, RULES_OF_COLOURS, Site, scrolls_sideways, take_picture, violations
from tests.browser.shopper import Shopper

PHRASES = (
    "Free trial, ends in five days, no card yet", "Active, yearly, 25 seats", "Several items, one by usage, a discount",
    "Past due: the card failed, an invoice is open", "Cancels at the end of the period",
    "Goes down to Starter at the end of the period", "Paused for two months", "3,000 invoices",
    "Customer of a connected account", "Active, monthly, in French", "Credit of 62,50 € that the next invoices use",
    "A discount runs until next spring", "A company that pays on invoice, with a VAT number",
    "No subscription any more, old invoices", "Pays in yen; the card expires this month",
    "Very long name, right to left; pays in dinars", "New here: nothing yet", "A configuration with payment methods only",
)  # fmt: skip
LOOKS = [(width, scheme) for width in (1280, 320) for scheme in ("light", "dark")]


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60]


def _look_at(page: Page, name: str) -> None:
    """Hold what stands there to every look, and keep a picture of each."""
    faults = []
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        take_picture(page, f"{name}-{width}-{scheme}")
        # The schemes differ in colours only: see tests/branding/test_theme.py.
        rules = ALL_RULES if scheme == "light" else RULES_OF_COLOURS
        faults += [f"{width} {scheme}: {violation}" for violation in violations(page, rules)]
        if scrolls_sideways(page):
            faults.append(f"{width}: one has to scroll sideways")
        if width == 320 and (head := page.locator(".panel-head")).count() and head.bounding_box()["height"] > 64:  # type: ignore[index]
            faults.append("the bar takes too much of a phone's page")
    faults += _in_large_text(page)
    assert faults == []


def _in_large_text(page: Page) -> list[str]:
    """Who has text at twice its size on a phone need not scroll sideways."""
    page.set_viewport_size({"width": 375, "height": 900})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    wide = scrolls_sideways(page)
    page.evaluate("document.documentElement.style.fontSize = ''")
    return ["200 % text: one has to scroll sideways"] if wide else []


@pytest.fixture
def page(browser: Browser) -> Page:
    """A page with JavaScript, which axe needs."""
    return browser.new_context(locale="en-GB").new_page()


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_overview(site: Site, page: Page, phrase: str) -> None:
    page.goto(site.link(phrase))
    _look_at(page, f"overview-{_slug(phrase)}")
    page.context.close()


def test_a_subscription(site: Site, page: Page) -> None:
    for phrase in ("Several items, one by usage, a discount", "Goes down to Starter at the end of the period"):
        page.goto(site.link(phrase))
        page.locator("article h3 a").first.click()
        _look_at(page, f"subscription-{_slug(phrase)}")
    page.context.close()


@pytest.mark.parametrize(
    "address",
    ["/payment-methods", "/billing-information", "/billing-information/edit", "/tax-ids/new", "/invoices", "/nothing"],
)
def test_a_page_of_its_own(site: Site, page: Page, address: str) -> None:
    page.goto(site.link("Active, yearly, 25 seats"))
    page.goto(site.address + address)
    _look_at(page, f"page{_slug(address)}")
    page.context.close()


def test_a_refused_form(site: Site, page: Page) -> None:
    page.goto(site.link("Active, monthly, in French"))
    page.goto(f"{site.address}/billing-information/edit")
    page.locator("input[name=email]").fill("nonsense")
    page.locator("input[name=phone]").fill("12")
    page.locator("form .actions button").click()
    page.locator(".error-summary").wait_for()
    _look_at(page, "refused-form")
    page.context.close()


def test_an_invoice_its_lines_and_its_payment(site: Site, page: Page) -> None:
    page.goto(site.link("Past due: the card failed, an invoice is open"))
    page.goto(f"{site.address}/invoices")
    _look_at(page, "invoices")
    page.get_by_label("Invoice number or amount").fill("no such number")
    page.get_by_role("button", name="Find").click()
    page.get_by_text("No invoice has the number").wait_for()
    _look_at(page, "invoices-none-found")
    page.get_by_role("link", name="All", exact=True).click()
    page.locator(".invoices tbody a").first.click()
    _look_at(page, "invoice")
    page.emulate_media(media="print")
    take_picture(page, "invoice-print")
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Pay US$36.00").click()
    _look_at(page, "payment")
    page.get_by_role("button", name="Pay US$36.00").click()
    page.get_by_text("Nothing was charged.").wait_for()
    _look_at(page, "payment-declined")
    page.context.close()


def test_removals(site: Site, page: Page) -> None:
    page.goto(site.link("Active, yearly, 25 seats"))
    page.goto(f"{site.address}/payment-methods")
    page.get_by_role("link", name="Remove").click()
    _look_at(page, "removal")
    page.goto(f"{site.address}/billing-information")
    page.get_by_role("link", name="Remove").click()
    _look_at(page, "tax-id-removal")
    page.context.close()


def test_a_change_of_plan_in_each_state(site: Site, page: Page) -> None:
    down = {"schedule_at_period_end": ("decreasing_item_amount",)}
    shopper = Shopper.of(site, policy=down, add_ons=True)
    shopper.opens_plans(page)
    there = page.url
    _look_at(page, "plan-change")
    quantity = page.get_by_label("Quantity").first
    quantity.fill("0")
    page.locator("#quote .error").wait_for()
    _look_at(page, "plan-change-wrong")
    page.reload()
    page.locator(".error-summary").wait_for()
    _look_at(page, "plan-change-wrong-page")
    page.goto(there)
    page.get_by_role("radio", name="Solo").check()
    page.get_by_text("Nothing changes until").wait_for()
    _look_at(page, "plan-change-down")
    page.get_by_role("radio", name="Team").check()
    quantity.fill("3")
    page.locator("#quote .due").wait_for()
    page.get_by_text("How this is worked out").click()
    _look_at(page, "plan-change-quote")
    page.context.close()


def test_a_change_of_plan_with_a_code_and_without_money(site: Site, page: Page) -> None:
    shopper = Shopper.of(site, card=world.FAILS)
    shopper.opens_plans(page)
    there = page.url
    page.get_by_label("Quantity").fill("3")
    page.get_by_text("How this is worked out").click()
    page.get_by_text("Add a promotion code").click()
    page.get_by_label("Promotion code").fill("WINTER")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("We could not find this code.").first.wait_for()
    _look_at(page, "plan-change-code-refused")
    page.get_by_label("Promotion code").fill("SPRING")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text(re.compile("Code .* applied")).wait_for()
    _look_at(page, "plan-change-code")
    shopper.waits(60 * 60)
    page.get_by_role("button", name="Change plan and pay").click()
    page.get_by_role("alert").filter(has_text="This quote has expired").wait_for()
    _look_at(page, "plan-change-old")
    page.get_by_role("button", name="Change plan and pay").click()
    page.get_by_text("Until then, your plan stays as it is").wait_for()
    _look_at(page, "plan-change-declined")
    page.goto(there)
    _look_at(page, "plan-change-refused")
    page.context.close()


def test_a_change_of_several_items(site: Site, page: Page) -> None:
    page.goto(site.link("Several items, one by usage, a discount"))
    page.locator("article h3 a").first.click()
    page.get_by_role("link", name="Change plan").click()
    page.get_by_role("textbox", name="Seats").fill("10")
    page.locator("#quote .due").wait_for()
    page.get_by_text("How this is worked out").click()
    page.get_by_text("Remaining time: 10 seats × Team").wait_for()
    page.get_by_role("textbox", name="GB").fill("300")
    page.get_by_text(re.compile("more GB")).wait_for()
    _look_at(page, "plan-change-several")
    page.get_by_role("textbox", name="GB").fill("none")
    page.locator("#quote .error").wait_for()
    _look_at(page, "plan-change-several-wrong")
    page.goto(site.link("Goes down to Starter at the end of the period"))
    page.locator("article h3 a").first.click()
    page.get_by_role("link", name="Change plan").click()
    _look_at(page, "plan-change-planned")
    page.context.close()


def test_leaving_and_staying(site: Site, page: Page) -> None:
    shopper = Shopper.of(site)
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Team").first.click()
    page.get_by_role("link", name="Cancel subscription").click()
    _look_at(page, "cancellation-reason")
    page.get_by_label("Your comment").fill("4242 4242 4242 4242")
    page.get_by_test_id("confirm").click()
    _look_at(page, "cancellation-reason-refused")
    page.goto(f"{page.url.removesuffix('/reason')}/end")
    _look_at(page, "cancellation-end")
    page.get_by_role("button", name="Cancel subscription").click()
    _look_at(page, "cancellation-done")
    page.goto(f"{site.address}/subscriptions/{shopper.shop.subscription.id}/cancellation")
    _look_at(page, "cancellation-again")
    page.context.close()


@pytest.mark.parametrize("kind", ["coupon", "pause", "price", "trial", "contact"])
def test_an_offer(site: Site, page: Page, kind: str) -> None:
    trial = {"status": "trialing", "trial_start": world.START, "trial_end": world.END} if kind == "trial" else {}
    shopper = Shopper.of(site, **trial)
    offer = {
        "coupon": {"coupon": shopper.coupon()},
        "pause": {"message": "Many come back after the summer."},
        "price": {"price": shopper.shop.prices["solo"].id},
        "trial": {"days": 14},
        "contact": {"url": "https://acme.example/talk"},
    }[kind]
    shopper.offers({"offer": {"type": kind, **offer}}, months_between=1)
    if kind == "contact":
        shopper.may_leave(cancellation_reason={"enabled": False})
    page.goto(site.link(shopper.shop.customer))
    page.get_by_role("link", name="Team").first.click()
    page.get_by_role("link", name="Cancel subscription").click()
    if kind == "contact":
        _look_at(page, "cancellation-without-reason")
    page.get_by_test_id("confirm").click()
    page.get_by_role("heading", name="Before you go").wait_for()
    _look_at(page, f"offer-{kind}")
    page.context.close()


def test_pausing_and_coming_back(site: Site, page: Page) -> None:
    shopper = Shopper.of(site)
    shopper.may_leave(mode="immediately")
    there = f"{site.address}/subscriptions/{shopper.shop.subscription.id}"
    page.goto(site.link(shopper.shop.customer))
    page.goto(f"{there}/pause")
    _look_at(page, "pause")
    page.get_by_role("button", name="Pause subscription").click()
    _look_at(page, "paused")
    page.get_by_role("link", name="Resume subscription").click()
    _look_at(page, "resumption")
    page.goto(f"{there}/cancellation/end")
    _look_at(page, "cancellation-now")
    page.get_by_role("button", name="Cancel now").click()
    page.get_by_role("link", name="Resubscribe").click()
    _look_at(page, "restart")
    page.context.close()


def test_outside_a_session(site: Site, page: Page) -> None:
    with site.app.app_context():
        customer = site.customer_id("Active, monthly, in French")
        old = portal_sessions.open_session(customer, clock.now() - DAY)
    page.goto(f"{site.address}/p/session/{old.token}")
    _look_at(page, "expired-link")
    page.goto(f"{site.address}/p/session/nonsense")
    _look_at(page, "unknown-link")
    page.goto(site.link("Active, monthly, in French", locale="en"))
    page.get_by_role("button", name="Log out").click()
    _look_at(page, "logged-out")
    page.context.close()


def test_the_sandbox_and_the_demo(site: Site, page: Page) -> None:
    page.goto(site.link("Active, yearly, 25 seats"))
    page.goto(f"{site.address}/payment-methods")
    page.get_by_role("button", name="Add a payment method").click()
    _look_at(page, "sandbox")
    page.set_viewport_size({"width": 320, "height": 900})
    number, phrase = page.locator(".known dt").first, page.locator(".known dd").first
    assert number.inner_text() == "4242 4242 4242 4242"
    above, below = number.bounding_box(), phrase.bounding_box()
    assert above
    assert below
    assert above["y"] + above["height"] <= below["y"]
    page.get_by_role("button", name="Save card").click()
    _look_at(page, "sandbox-refused")
    page.goto(f"{site.address}/demo")
    _look_at(page, "demo")
    page.context.close()


def test_payments_that_hang(site: Site, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    shopper = Shopper.of(site, card=world.ASKS)
    subscription = f"{site.address}/subscriptions/{shopper.shop.subscription.id}"
    shopper.opens_plans(page)
    page.get_by_label("Quantity").fill("3")
    page.get_by_text("How this is worked out").click()
    page.get_by_role("button", name="Change plan and pay").click()
    page.get_by_role("button", name="Complete authentication").wait_for()
    _look_at(page, "sandbox-challenge")
    page.goto(subscription)
    page.get_by_role("link", name="Confirm with your bank").wait_for()
    _look_at(page, "change-at-the-bank")
    page.get_by_role("link", name="See the invoice").click()
    invoice = page.url
    _look_at(page, "invoice-at-the-bank")

    def lose(*_given: object) -> object:
        raise GatewayUnavailable("lost")

    gateway = site.app.extensions["gateways"].shared("sandbox")
    for name in ("charge", "find_charge", "cancel_charge"):
        monkeypatch.setattr(gateway, name, lose)
    page.goto(subscription)
    page.get_by_role("button", name="Pay €10.00").click()
    page.get_by_role("link", name="Check again").wait_for()
    _look_at(page, "change-being-checked")
    page.goto(invoice)
    page.get_by_role("link", name="Check again").wait_for()
    _look_at(page, "invoice-being-checked")
    page.context.close()


def test_what_is_seldom_seen(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/session-over")
    _look_at(page, "session-over")
    page.goto(site.link("Several items, one by usage, a discount"))
    page.goto(f"{site.address}/subscriptions")
    _look_at(page, "subscriptions")
    page.goto(f"{site.address}/tax-ids/new")
    page.locator("#value").fill("nonsense")
    page.locator("form .actions button").click()
    page.locator(".error-summary").wait_for()
    _look_at(page, "tax-id-refused")
    shopper = Shopper.of(site, card=None, status="unpaid")
    with site.app.app_context(), world.transaction() as session:
        mine = Invoice.customer_id == shopper.shop.customer.id
        session.execute(update(Invoice).where(mine).values(status="open", amount_remaining=1000))
    page.goto(site.link(shopper.shop.customer))
    _look_at(page, "overview-unpaid")
    page.get_by_role("link", name="Pay €10.00").first.click()
    _look_at(page, "payment-without-method")
    page.context.close()


def test_the_pages_in_french(site: Site, page: Page) -> None:
    page.goto(site.link("Active, yearly, 25 seats", locale="fr"))
    for address in ("/", "/payment-methods", "/billing-information/edit", "/tax-ids/new", "/invoices"):
        page.goto(site.address + address)
        assert page.locator("html").get_attribute("lang") == "fr"
        _look_at(page, f"french-{_slug(address)}")
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    _look_at(page, "french-invoice")
    page.goto(site.address)
    page.get_by_role("link", name="Changer de formule").first.click()
    page.locator("button[data-step='1']").first.click()
    page.locator("#quote .due").wait_for()
    _look_at(page, "french-plan-change")
    page.context.close()


def test_the_pages_in_forced_colours(site: Site, browser: Browser) -> None:
    """Without the merchant's colours each button still has a border, and no logo stands on a ground of its own colour."""
    page = browser.new_context(
        locale="en-GB", forced_colors="active", viewport={"width": 320, "height": 900}
    ).new_page()
    page.goto(site.link("Active, yearly, 25 seats"))
    for address in ("/", "/payment-methods", "/billing-information/edit", "/invoices"):
        page.goto(site.address + address)
        take_picture(page, f"forced-colours-{_slug(address)}")
        widths = "buttons => buttons.map(button => getComputedStyle(button).borderTopWidth)"
        assert set(page.locator("a.button, button.button").evaluate_all(widths)) <= {"1px"}
        plate = page.locator(".logo").evaluate("logo => getComputedStyle(logo).backgroundColor")
        assert plate not in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    page.context.close()
