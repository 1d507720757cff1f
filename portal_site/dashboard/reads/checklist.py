"""What a merchant has set up already."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app, url_for
from sqlalchemy import bindparam, exists, select

from portal_site.billing.gateways.stripe.models import StripeConnection
from portal_site.billing.models import Account, CustomDomain, PortalConfiguration, PortalSession, Product
from portal_site.db.page_query import PageQuery
from portal_site.staff.roles import Right

_DONE = PageQuery(
    done=select(
        (Account.logo_id.is_not(None)).label("logo"),
        Account.branding,
        exists().where(Product.account_id == Account.id, Product.active).label("products"),
        exists()
        .where(PortalConfiguration.account_id == Account.id, PortalConfiguration.updated > PortalConfiguration.created)
        .label("configured"),
        exists()
        .where(
            CustomDomain.account_id == Account.id,
            CustomDomain.verified_at.is_not(None),
            CustomDomain.disabled_at.is_(None),
        )
        .label("domain"),
        exists()
        .where(StripeConnection.account_id == Account.id, StripeConnection.livemode, StripeConnection.fault.is_(None))
        .label("paid"),
        exists().where(PortalSession.account_id == Account.id).label("linked"),
    ).where(Account.id == bindparam("account_id"))
)


@dataclass(frozen=True)
class State:
    """Whether a step is done, as a badge shows it."""

    label: str
    tone: str


DONE, OPEN = State("Done", "good"), State("To do", "note")


@dataclass(frozen=True)
class Step:
    """Something to set up: what, why, whether it is done, and the URL of the page where one does it, if there is one."""

    name: str
    reason: str
    done: bool
    page: str = ""

    @property
    def state(self) -> State:
        """As a badge."""
        return DONE if self.done else OPEN


def steps(account_id: str, may: Callable[[Right], bool]) -> Sequence[Step]:
    """The steps to a portal that customers can use, in their order. Pages that somebody may not open have no URL."""
    found = _DONE.one(account_id=account_id) or {}

    def page(right: Right, view: str, **values: Any) -> str:
        return url_for(f"dashboard.{view}", account_id=account_id, **values) if may(right) else ""

    return [
        Step(
            "Branding", "Your logo and your colours, so that customers know whose page it is.",
            bool(found.get("logo")) or bool(found.get("branding")),
            page(Right.VIEW_SETTINGS, "show_settings", configuration_id="account", section="branding"),
        ),
        Step(
            "Products", "What you sell. Customers change between plans of your products.", bool(found.get("products")),
            page(Right.VIEW_SETTINGS, "show_products"),
        ),
        Step(
            "What customers may do", "Changing plans, canceling, paying: each can be switched on and off.",
            bool(found.get("configured")), page(Right.VIEW_SETTINGS, "show_configurations"),
        ),
        Step(
            "Payments", "The key of your account at Stripe, for live mode.", bool(found.get("paid")),
            page(Right.MANAGE_KEYS, "show_gateway", mode="live"),
        ),
        Step(
            "Domain", "A host name of your own. Without one, the portal has its own address.", bool(found.get("domain")),
            page(Right.MANAGE_DOMAIN, "show_domain"),
        ),
        Step(
            "Email", "Codes, receipts and reminders. It needs a mail server in PORTAL_SMTP_URL.",
            current_app.config["SETTINGS"].sends_mail,
        ),
        Step(
            "First link", "Open the portal as one of your customers.", bool(found.get("linked")),
            page(Right.VIEW_CUSTOMERS, "show_customers"),
        ),
    ]  # fmt: skip
