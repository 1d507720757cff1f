"""A customer in the middle of a billing period, for tests of plan changes."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, expect
from sqlalchemy import func, select

from portal_site.billing.billing_run import test_clocks
from portal_site.billing.gateways.sandbox.models import SandboxCharge
from portal_site.billing.models import Invoice, TestClock
from portal_site.db import db
from tests import world
from tests.browser.conftest import Site
from tests.world import reading


def show_quote(page: Page, script: bool) -> None:
    """Without a script the quote comes with a button."""
    if not script:
        page.get_by_role("button", name="Show what it costs").click()


def due(page: Page, amount: str) -> None:
    """Wait for the quote that asks for this."""
    expect(page.get_by_test_id("due-today")).to_have_text(amount)


@dataclass
class Shopper:
    """A customer on Team (€10 a month), who lives on 16 April, in the middle of the month."""

    site: Site
    shop: world.Shop

    @classmethod
    def of(cls, site: Site, **options: Any) -> "Shopper":
        with site.app.app_context():
            shop = world.shop(**options)
            clock = test_clocks.create(world.HALF, world.START, shop.customer.account_id)
            test_clocks.attach(clock.id, shop.customer.id)
            with world.transaction() as session:
                made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
                made.promotion_code("SPRING", made.coupon("Spring", percent_off="20", duration="once"))
            db.session.remove()
        return cls(site, shop)

    def may_leave(self, **options: Any) -> None:
        """Let the merchant have other options for cancellations."""
        with self.site.app.app_context():
            with world.transaction() as session:
                mine = world.PortalConfiguration.account_id == self.shop.customer.account_id
                configuration = session.scalars(select(world.PortalConfiguration).where(mine)).one()
                document = configuration.features
                changed = {**document["subscription_cancel"], **options}
                configuration.features = {**document, "subscription_cancel": changed}
            db.session.remove()

    def offers(self, *rules: dict[str, Any], **options: Any) -> None:
        """Let the merchant make these offers to customers who want to leave."""
        self.may_leave(retention={"enabled": True, "rules": list(rules), **options})

    def coupon(self) -> str:
        """The id of a coupon: 20 % for three months."""
        with self.site.app.app_context(), world.transaction() as session:
            made = world.Merchant(session, world.START, session.get(world.Account, self.shop.customer.account_id))
            return str(made.coupon("Stay", "repeating", percent_off="20", duration_in_months=3).id)

    def waits(self, seconds: int) -> None:
        """Let time pass for this customer."""
        with self.site.app.app_context():
            with reading() as reader:
                clock = reader.execute(
                    select(TestClock.id, TestClock.frozen_time).where(
                        TestClock.account_id == self.shop.customer.account_id
                    )
                ).one()
            gateways = self.site.app.extensions["gateways"]
            test_clocks.advance(gateways, clock.id, clock.frozen_time + seconds, lambda _invoice: self.site.address)
            db.session.remove()

    def opens_plans(self, page: Page) -> None:
        """From the link to the page for changing the plan."""
        page.goto(self.site.link(self.shop.customer))
        page.get_by_role("link", name="Change plan").click()
        page.wait_for_url("**/plan-change")  # until it has loaded: a click does not wait for the page that it leads to

    def paid(self) -> tuple[int, int]:
        """How many invoices there are, and how many charges for this customer's invoices succeeded."""
        with self.site.app.app_context(), reading() as reader:
            mine = Invoice.customer_id == self.shop.customer.id
            invoices = reader.scalar(select(func.count()).select_from(Invoice).where(mine)) or 0
            charged = SandboxCharge.return_url.contains(self.shop.subscription.id), SandboxCharge.status == "succeeded"
            return invoices, reader.scalar(select(func.count()).select_from(SandboxCharge).where(*charged)) or 0
