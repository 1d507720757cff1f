"""The worker's answers to requests for cancellation by people who are not logged in: an e-mail to the customer's own address."""

import logging

from sqlalchemy.exc import DBAPIError

from portal_site.billing.cancellation import requests
from portal_site.billing.cancellation.requests import Match
from portal_site.billing.models import CancellationRequest
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.db.transactions import transaction
from portal_site.mail import links, outbox, rendering
from portal_site.mail.messages import Button, Message
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content
from portal_site.portal.access import visitors
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import overview
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web.rendering.filters import date, instant
from portal_site.web.rendering.i18n import gettext as _

KIND = "cancellation_request"
AT_ONCE = 20
log = logging.getLogger("portal.mail")


def answer(at: int, *, stays_local: bool) -> bool:
    """Answer the requests that wait; whether there may be more. The reader has asked for it, so it goes to any address."""
    if not requests.is_any_unanswered():
        return False
    with transaction() as session:
        waiting = requests.unanswered(session, AT_ONCE)
        for request in waiting:
            match = requests.find_match(session, request)
            request.answered_at = at
            if match is None:
                continue
            request.subscription_id = match.subscription_id
            content = _written(match, request, at)
            if content is not None:
                draft = Draft(
                    request.account_id, match.customer.livemode, KIND, f"{KIND}:{request.id}", [match.customer.email or ""],
                    customer_id=match.customer.id, expires_at=at + requests.DAY, asked_for=True,
                )  # fmt: skip
                outbox.write(session, draft, content, at)
        return len(waiting) == AT_ONCE


def _written(match: Match, request: CancellationRequest, at: int) -> Content | None:
    try:
        visitor = visitors.find_without_session(request.account_id, match.customer.id, None)
        if visitor is None:
            return None
        found = overview.find_subscription(visitor, match.subscription_id or "", visitor.time(at))
        with rendering.in_language_of(visitor):
            said = message(request.number, found[0] if found else None, visitor, request.created, at)
            return rendering.render(said, visitor.business_name, visitor.branding)
    except DBAPIError:  # all of them are tried again
        raise
    except Exception:  # one merchant's broken rows must not keep the others' customers waiting
        log.exception("the cancellation request %s cannot be answered", request.id)
        return None


def message(number: str, subscription: SubscriptionView | None, visitor: Visitor, asked_at: int, at: int) -> Message:
    """What follows from a request: the link that confirms it, or why there is nothing to cancel."""
    rows = ((_("Number"), number), (_("Received on"), instant(asked_at)))
    values = {"business": visitor.business_name, "number": number}
    heading, button = _("Confirm your cancellation"), None
    if subscription is None:
        heading = _("We found no subscription with this number")
        paragraphs = [_("You asked to cancel a subscription with %(business)s, but none of yours has the number "
                        "“%(number)s”. Check it, and ask again: it is on each of your invoices.", **values)]  # fmt: skip
    elif subscription.status.ended:
        heading = _("Your subscription has ended")
        paragraphs = [_("There is nothing left to cancel.")]
    elif subscription.cancel_at is not None:
        heading = _("Your subscription ends on %(date)s", date=date(subscription.cancel_at))
        paragraphs = [_("It is already set to end. You do not need to do anything.")]
    else:
        products = ", ".join(subscription.products)
        paragraphs = [
            _("You asked to cancel your subscription to %(products)s with %(business)s.", products=products, **values),
            _("Confirm it on the next page, which says when it ends. Without that, nothing changes."),
        ]
        address = links.address(
            visitor.account_id, Purpose.CANCEL, visitor.customer_id, visitor.email, subscription.id, at
        )
        button = Button(_("Confirm the cancellation"), address)
    return Message(
        subject=heading,
        heading=heading,
        paragraphs=tuple(paragraphs),
        preview=paragraphs[0],
        rows=rows,
        button=button,
        notes=(_("If you did not ask for this, you can ignore this email: nothing changes."),),
    )
