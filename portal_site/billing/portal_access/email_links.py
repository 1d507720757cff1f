"""Links in e-mails: for one purpose on one object, for weeks, and so much less than a session's link.

They have no rows. What a link is about is signed into it, and whether it works is seen from that object and from the customer:
it works until it is too old, the customer gets another e-mail address, or the merchant revokes all links of before.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import null, select, update
from sqlalchemy.orm import Session

from portal_site.billing.loading import ownership
from portal_site.billing.models import (
    Account,
    Customer,
    Invoice,
    PaymentMethod,
    PortalSession,
    Subscription,
)
from portal_site.billing.models.columns import values
from portal_site.billing.portal_access import flows, portal_sessions
from portal_site.billing.portal_access.portal_sessions import LINK_LIFE, TOKEN_BYTES, hash_token, start_visit
from portal_site.billing.rules.portal import flows as flow_rules
from portal_site.billing.rules.portal.flows import Flow
from portal_site.db.transactions import reading, transaction
from portal_site.ids import new_id

DAY = 24 * 60 * 60
CANCEL_DAYS = 7  # for which a link that confirms a cancellation works


class Purpose(StrEnum):
    """What a link is for. Its object is an invoice, a payment method (empty if there is none yet), a subscription, a session, or
    a kind of e-mail.
    """

    INVOICE = "invoice"  # see it, and pay it
    PAYMENT_METHOD = "payment_method"  # replace it by another one
    SUBSCRIPTION = "subscription"  # see it; with a code, change it
    KEEP = "keep"  # undo its cancellation
    FLOW = "flow"  # the flow of a session that was made for this
    CANCEL = "cancel"  # end the subscription, after a request without logging in
    REMINDERS = "reminders"  # get no more reminders of a kind


@dataclass(frozen=True)
class EmailLink:
    """What is signed into a link."""

    purpose: Purpose
    customer_id: str
    object_id: str
    made_at: int
    address_mark: str


def address_mark(email: str | None) -> str:
    """What of the customer's address is signed into a link, so that it ends with the address."""
    return hash_token((email or "").lower())[:12]


@dataclass(frozen=True)
class Holder:
    """Whose link it is, and its state. `on_behalf_of` is the connected account whose name its object bears, if any."""

    account_id: str
    customer_id: str
    livemode: bool
    email: str | None
    on_behalf_of: str | None
    is_too_old: bool


# The tables of the objects, and where each says on behalf of whom it is.
_OBJECTS: Mapping[Purpose, tuple[Any, Any]] = {
    Purpose.INVOICE: (Invoice, Invoice.on_behalf_of),
    Purpose.PAYMENT_METHOD: (PaymentMethod, null()),
    Purpose.SUBSCRIPTION: (Subscription, Subscription.on_behalf_of),
    Purpose.KEEP: (Subscription, Subscription.on_behalf_of),
    Purpose.CANCEL: (Subscription, Subscription.on_behalf_of),
    Purpose.FLOW: (PortalSession, PortalSession.on_behalf_of),
}


def find_holder(link: EmailLink, at: int) -> Holder | None:
    """Whose link it is; None if it was revoked, or its customer or object is gone."""
    columns = Customer.account_id, Customer.livemode, Customer.email, Customer.email_links_from, Account.email_link_days
    query = select(*columns).join(Account, Account.id == Customer.account_id)
    query = query.where(Customer.id == link.customer_id, Customer.deleted_at.is_(None))
    shown = None
    with reading() as reader:
        row = reader.execute(query.execution_options(unscoped="a signed link names the customer")).first()
        if row is None or link.made_at < (row.email_links_from or 0) or link.address_mark != address_mark(row.email):
            return None
        if link.purpose in _OBJECTS and link.object_id:
            kind, owner = _OBJECTS[link.purpose]
            found = reader.execute(
                select(owner).where(kind.customer_id == link.customer_id, kind.id == link.object_id)
            ).first()
            if found is None:
                return None
            shown = found[0]
    days = CANCEL_DAYS if link.purpose == Purpose.CANCEL else row.email_link_days
    is_too_old = at >= link.made_at + days * DAY
    return Holder(row.account_id, link.customer_id, row.livemode, row.email, shown, is_too_old)


@dataclass(frozen=True)
class Entry:
    """A session that a link has opened: its token, and the token for the browser's cookie."""

    token: str
    cookie: str


def begin(link: EmailLink, holder: Holder, at: int) -> Entry | None:
    """Open a session for the one thing that the link is for; None if that needs a code.

    Raises BillingError if it cannot be done any more.
    """
    with transaction() as session:
        members = _members(session, link, holder)
        flow = Flow.of(members["flow"])
        # Whoever has asked for the link to cancel has named the address and the number.
        if flow.type not in flow_rules.OF_EMAIL_LINKS and link.purpose != Purpose.CANCEL:
            return None
        customer = ownership.get_customer(session, holder.account_id, holder.customer_id)
        configuration = portal_sessions.find_configuration(
            session, holder.account_id, holder.livemode, members["configuration_id"]
        )
        flows.check(session, customer, configuration, holder.on_behalf_of, flow, at)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        row = _new_session(holder, at, token, **members, by_email_link=True, expires_at=at + LINK_LIFE)
        session.add(row)
        session.flush()
        return Entry(token, start_visit(session, row, at))


def begin_replaceable(link: EmailLink, holder: Holder, at: int) -> str:
    """Begin a session that has expired already, so that a code to the customer's own address replaces it. Returns its id."""
    with transaction() as session:
        members = _members(session, link, holder)
        if link.purpose != Purpose.FLOW:
            members["flow"] = None  # the code shows that it is the customer, who may see everything
        row = _new_session(
            holder, at, secrets.token_urlsafe(TOKEN_BYTES), **members, expires_at=at,
            after_expiration={"type": "customer_login", "customer_login": {"expires_at": at + DAY}},
        )  # fmt: skip
        session.add(row)
        return row.id


def _new_session(holder: Holder, at: int, token: str, **members: Any) -> PortalSession:
    owner = {"account_id": holder.account_id, "customer_id": holder.customer_id, "livemode": holder.livemode}
    return PortalSession(id=new_id("bps"), created=at, token_hash=hash_token(token), **owner, **members)


def _members(session: Session, link: EmailLink, holder: Holder) -> dict[str, Any]:
    """What a session that follows from this link has: that of the link's own session, or the default configuration."""
    if link.purpose == Purpose.FLOW:
        owned = PortalSession.customer_id == link.customer_id, PortalSession.id == link.object_id
        row = session.scalars(select(PortalSession).where(*owned)).one()
        kept = values(row, "configuration_id", "on_behalf_of", "return_url", "locale", "flow", "flow_completed_at")
        return {**kept, "replaces_id": row.replaces_id or row.id}
    configuration = portal_sessions.find_configuration(session, holder.account_id, holder.livemode, None)
    document = flow_rules.document(_flow_of(link))
    return {"configuration_id": configuration.id, "on_behalf_of": holder.on_behalf_of, "flow": document}


def _flow_of(link: EmailLink) -> Flow:
    if link.purpose == Purpose.INVOICE:
        return Flow(flow_rules.INVOICE_PAYMENT, invoice_id=link.object_id)
    if link.purpose == Purpose.CANCEL:
        return Flow(flow_rules.SUBSCRIPTION_CANCEL, subscription_id=link.object_id)
    return Flow(flow_rules.PAYMENT_METHOD_UPDATE)


def revoke(customer: str, at: int, account_id: str | None = None) -> None:
    """Let no link work any more that was e-mailed to this customer (id or e-mail address) before. Raises NotFound."""
    with transaction() as session:
        row = ownership.get_customer(session, account_id, customer)
        owned = Customer.account_id == row.account_id, Customer.id == row.id
        session.execute(update(Customer).where(*owned).values(email_links_from=at))


def switch_reminders(link: EmailLink, holder: Holder) -> None:
    """Send the customer no more reminders of the kind that the link names or, if that is so already, send them again."""
    with transaction() as session:
        row = ownership.lock_customer(session, holder.customer_id)
        row.muted_notices = sorted({*row.muted_notices} ^ {link.object_id})


def is_muted(link: EmailLink) -> bool:
    """Whether the customer gets no reminders of the kind that the link names."""
    query = select(Customer.muted_notices).where(Customer.id == link.customer_id)
    with reading() as reader:
        muted = reader.scalar(query.execution_options(unscoped="a signed link names the customer"))
    return link.object_id in (muted or ())


def find_flow(link: EmailLink) -> Flow | None:
    """The flow of the session that a link is for; None if it is for something else, or that is done."""
    if link.purpose != Purpose.FLOW:
        return None
    owned = PortalSession.customer_id == link.customer_id, PortalSession.id == link.object_id
    with reading() as reader:
        row = reader.execute(select(PortalSession.flow, PortalSession.flow_completed_at).where(*owned)).first()
    return Flow.of(row.flow) if row and row.flow and row.flow_completed_at is None else None
