"""Links into a customer's portal that somebody of the merchant's makes: one to copy, and one by e-mail."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import current_app
from sqlalchemy import select

from portal_site.billing.changes import reactivations
from portal_site.billing.errors import BillingError
from portal_site.billing.events.emission import emit
from portal_site.billing.models import Account
from portal_site.billing.portal_access import portal_sessions
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.billing.resources import portal as shapes
from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Flow
from portal_site.billing.rules.portal.portal_features import Features
from portal_site.db.transactions import joined_transaction, reading
from portal_site.mail import links, outbox, portal_links, rendering
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content
from portal_site.notices import recipients
from portal_site.portal.access.visitors import Visitor
from portal_site.web import addresses

CREATED = "billing_portal.session.created"
DAY = 24 * 60 * 60
Choice = tuple[str, str]  # what a link by e-mail is for: a value, and words


def make(account_id: str, livemode: bool, customer_id: str, at: int, on_behalf_of: str | None = None) -> str:
    """A link to the customer's portal, which works for LINK_LIFE seconds. Raises BillingError if it has no portal.

    One on behalf of a connected account shows that account's name and look, and what the customer has of it alone.
    """
    with joined_transaction() as session:
        opened = portal_sessions.open_session(
            customer_id, at, account_id=account_id, livemode=livemode, on_behalf_of=on_behalf_of
        )
        emit(session, CREATED, opened.row, at, document=shapes.session(opened.row))
    return addresses.of(account_id, "sessions.follow_link", token=opened.token)


def payment(account_id: str, customer: Mapping[str, Any], subscription_id: str, at: int) -> str:
    """A link to the open first invoice of a subscription, to see and pay it for as long as links in e-mails work; or nothing."""
    invoice_id = reactivations.first_invoice(customer["id"], subscription_id.replace("\0", ""))
    if invoice_id is None:
        return ""
    return links.address(account_id, Purpose.INVOICE, customer["id"], customer["email"], invoice_id, at)


def choices(features: Features, subscriptions: Iterable[tuple[str, str]]) -> list[Choice]:
    """What a link by e-mail can be for: what the portal lets the customer do, also with its running (id, name) subscriptions."""
    found = []
    if features.payment_method_update.enabled:
        found.append((flows.PAYMENT_METHOD_UPDATE, "Update the payment method"))
    if features.customer_update.enabled:
        found.append((flows.CUSTOMER_UPDATE, "Update the billing information"))
    for name, product in subscriptions:
        if features.subscription_update.enabled:
            found.append((f"{flows.SUBSCRIPTION_UPDATE}:{name}", f"Change the plan of {product}"))
        if features.subscription_cancel.enabled:
            found.append((f"{flows.SUBSCRIPTION_CANCEL}:{name}", f"Cancel {product}"))
    return found


def send(visitor: Visitor, wanted: str, at: int) -> str:
    """E-mail the customer a link for one of the choices, which works for weeks; the address that it goes to.

    Raises BillingError if there is no address that it may go to, or the customer could not use the link.
    """
    address = _address(visitor)
    kind, _, subscription_id = wanted.partition(":")
    flow = Flow(kind, subscription_id=subscription_id or None)
    days = _days(visitor.account_id)
    with joined_transaction() as session:
        opened = portal_sessions.open_session(
            visitor.customer_id, at, account_id=visitor.account_id, livemode=visitor.livemode, flow=flow
        )
        emit(session, CREATED, opened.row, at, document=shapes.session(opened.row))
        link = links.address(visitor.account_id, Purpose.FLOW, visitor.customer_id, visitor.email, opened.id, at)
        draft = Draft(
            visitor.account_id, visitor.livemode, portal_links.KIND, f"{portal_links.KIND}:{opened.id}", [address],
            customer_id=visitor.customer_id, expires_at=at + days * DAY,
        )  # fmt: skip
        outbox.write(session, draft, _content(visitor, kind, link, days), at)
    return address


def _address(visitor: Visitor) -> str:
    settings = current_app.config["SETTINGS"]
    recipient = recipients.find_customer(visitor.account_id, visitor.customer_id)
    if not settings.sends_mail:
        raise BillingError("No email is sent from here: there is no mail server in PORTAL_SMTP_URL.")
    if recipient is None or not recipient.email:
        raise BillingError("This customer has no email address.")
    if not recipients.may_get(recipient, recipient.email, stays_local=not settings.smtp_url):
        raise BillingError("In test mode emails go only to your own addresses, and this is none of them.")
    return recipient.email


def _days(account_id: str) -> int:
    with reading() as reader:
        return reader.scalar(select(Account.email_link_days).where(Account.id == account_id)) or 1


def _content(visitor: Visitor, kind: str, link: str, days: int) -> Content:
    with rendering.in_language_of(visitor):
        message = portal_links.message(kind, visitor.business_name, link, days)
        return rendering.render(message, visitor.business_name, visitor.branding)
