"""The catalogue's pages in a real browser, on a narrow screen: a product with its price, a coupon with its code."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Site, scrolls_sideways, violations
from tests.browser.test_dashboard import Office


def _is_good(page: Page, script: bool) -> None:
    assert not scrolls_sideways(page), page.url
    if script:
        assert violations(page) == [], page.url


def test_a_product_with_a_price(site: Site, open_page: OpenPage, script: bool) -> None:
    office, page = Office(site), open_page(320)
    office.enter(page)
    page.goto(office.address("/test/products"))
    _is_good(page, script)
    page.get_by_role("link", name="New product").click()
    page.get_by_label("Name").fill("Reading lamp")
    page.get_by_role("button", name="Create product").click()
    expect(page.get_by_role("heading", name="Reading lamp")).to_be_visible()
    _is_good(page, script)
    page.get_by_role("link", name="New price").click()
    expect(page.get_by_label("Up to, tier 1")).to_be_hidden()
    page.get_by_label("Currency").select_option("EUR")
    page.get_by_label("Amount").fill("1,500")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("This can be read in two ways").first).to_be_visible()
    page.get_by_label("Graduated").check()
    page.get_by_label("Up to, tier 1").fill("10")
    page.get_by_label("Each, tier 1").fill("12.50")
    page.get_by_label("Each, tier 2").fill("0.005")
    if not script:
        page.get_by_role("button", name="Look").click()
    expect(page.locator("#cost")).to_contain_text("€125.45 per month")
    _is_good(page, script)
    page.get_by_role("button", name="Create price").last.click()
    expect(page.locator("strong")).to_have_text("from €12.50 per month, depending on the quantity")
    page.locator("summary").click()
    _is_good(page, script)


def test_a_coupon_with_a_code(site: Site, open_page: OpenPage, script: bool) -> None:
    office, page = Office(site), open_page(320)
    office.enter(page)
    page.goto(office.address("/test/coupons"))
    _is_good(page, script)
    page.get_by_role("link", name="New coupon").click()
    expect(page.get_by_label("Months", exact=True)).to_be_hidden()
    page.get_by_label("Some months").check()
    page.get_by_label("Months", exact=True).fill("3")
    page.get_by_label("Name").fill("Light for all")
    page.get_by_label("Percentage", exact=True).fill("12.5")
    _is_good(page, script)
    page.get_by_role("button", name="Create coupon").click()
    expect(page.get_by_role("heading", name="Light for all")).to_be_visible()
    page.get_by_role("textbox", name="Code").fill("LIGHT")
    page.get_by_role("button", name="Create code").click()
    expect(page.get_by_text("The code LIGHT can be redeemed.")).to_be_visible()
    _is_good(page, script)
    page.get_by_role("link", name="Delete this coupon").click()
    _is_good(page, script)


def test_tax_rates_and_keys(site: Site, open_page: OpenPage, script: bool) -> None:
    office, page = Office(site), open_page(320)
    office.enter(page)
    for rest in ("/test/tax-rates", "/test/api-keys"):
        page.goto(office.address(rest))
        _is_good(page, script)
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("Copy the key now")).to_be_visible()
    page.locator("summary").first.click()
    _is_good(page, script)
    page.get_by_role("link", name="Live mode").click()
    expect(page.get_by_text("There is no key in live mode.")).to_be_visible()


def test_a_webhook_endpoint(site: Site, open_page: OpenPage, script: bool) -> None:
    office, page = Office(site), open_page(320)
    office.enter(page)
    page.goto(office.address("/test/webhooks"))
    _is_good(page, script)
    page.get_by_label("URL").fill("https://shop.example/a/very/long/path/without/any/place/to/break/it/" + "x" * 60)
    page.get_by_label("List of event types").fill("*")
    page.get_by_role("button", name="Add endpoint").click()
    expect(page.get_by_text("Copy the signing secret now")).to_be_visible()
    _is_good(page, script)
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("No more events are sent.")).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    _is_good(page, script)
    page.get_by_role("button", name="Delete endpoint").click()
    expect(page.get_by_text("The endpoint is deleted.")).to_be_visible()
