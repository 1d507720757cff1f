"""What a merchant has set up already."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app, url_for
from sqlalchemy import bindparam, exists, select

from portal_site.billing.models import Account, PortalConfiguration, PortalSession, Product
from portal_site.db.page_query import PageQuery

_DONE = PageQuery(
    done=select(
        (Account.logo_id.is_not(None)).label("logo"),
        Account.branding,
        exists().where(Product.account_id == Account.id, Product.active).label("products"),
        exists()
        .where(PortalConfiguration.account_id == Account.id, PortalConfiguration.updated > PortalConfiguration.created)
        .label("configured"),
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


def steps(account_id: str) -> Sequence[Step]:
    """The steps to a portal that customers can use, in their order."""
    found = _DONE.one(account_id=account_id) or {}
    has_look = bool(found.get("logo")) or bool(found.get("branding"))
    branding = url_for("dashboard.show_settings", account_id=account_id, configuration_id="account", section="branding")
    products = url_for("dashboard.show_products", account_id=account_id)
    settings = url_for("dashboard.show_configurations", account_id=account_id)
    return [
        Step("Branding", "Your logo and your colours, so that customers know whose page it is.", has_look, branding),
        Step(
            "Products", "What you sell. Customers change between plans of your products.", bool(found.get("products")),
            products,
        ),
        Step(
            "What customers may do", "Changing plans, canceling, paying: each can be switched on and off.",
            bool(found.get("configured")), settings,
        ),
        Step(
            "Email", "Codes, receipts and reminders. It needs a mail server in PORTAL_SMTP_URL.",
            current_app.config["SETTINGS"].sends_mail,
        ),
        Step("First link", "Open the portal as one of your customers.", bool(found.get("linked"))),
    ]  # fmt: skip
