"""E-mails to a merchant's people about money that is asked back in live mode: disputes, and refunds that failed."""

import logging
from collections.abc import Sequence

from portal_site.billing.events.reading import StoredEvent
from portal_site.billing.models import Account
from portal_site.billing.payments.disputes import CLOSED, is_formal
from portal_site.branding import theme
from portal_site.dashboard.invoices import words
from portal_site.dashboard.modes import LIVE
from portal_site.dashboard.reads import invoice_money
from portal_site.dashboard.reads.invoice_money import Alert
from portal_site.db.faults import is_of_surroundings
from portal_site.db.transactions import transaction
from portal_site.mail import rendering
from portal_site.mail.messages import Button, Message
from portal_site.mail.outbox import Draft
from portal_site.mail.rendering import Content, Reader
from portal_site.notices.following import Follower
from portal_site.notices.writing import STALE, Written
from portal_site.staff import teams
from portal_site.staff.roles import Right
from portal_site.web import addresses

log = logging.getLogger("portal.mail")
KINDS = {
    "charge.dispute.created": "dispute", "charge.dispute.updated": "dispute", "charge.dispute.closed": "dispute",
    "refund.failed": "refund",
}  # fmt: skip
RESPOND = "Without a response in time the dispute is lost."
ASKED = "No money was taken. Without a response the bank may open a dispute."
RESULTS = {
    "won": "The bank has decided for you.",
    "lost": "The bank has decided for the customer, who keeps the money.",
    "prevented": "It was settled before it was opened.",
    "warning_closed": "The bank has closed its inquiry without a dispute.",
}


def _write_all(found: Sequence[StoredEvent], at: int, _stays_local: bool) -> list[Written]:
    written: list[Written] = []
    for event in found:
        try:
            written += _write(event, at)
        except Exception as error:  # one merchant's broken rows must not keep the others' teams waiting
            if is_of_surroundings(error):
                raise
            log.exception("the team cannot be told of the event %s", event.id)
    return written


def _write(event: StoredEvent, at: int) -> list[Written]:
    """The e-mails about an event, one for each who may do something about it."""
    if not event.livemode or event.created < at - STALE or not _is_news(event):
        return []
    kind, row_id = KINDS[event.type], event.data["object"]["id"]
    alert = invoice_money.find_alert(event.account_id, kind, row_id)
    if alert is None:  # of a payment that a program has made, which is of no invoice
        return []
    with transaction() as session:
        people = teams.emails_of(session, event.account_id, Right.EDIT_CUSTOMERS)
        account = session.get_one(Account, event.account_id)
    status = event.data["object"]["status"]
    with rendering.in_language_of(Reader("en", account.timezone)):
        content = _content(account, _message(alert, status, account.id))
    return [
        Written(Draft(account.id, True, f"team_{kind}", f"team_{kind}:{event.id}:{address}", [address]), content)
        for address in people
    ]


def _is_news(event: StoredEvent) -> bool:
    """Whether somebody has to know: of changes only that an inquiry has become a dispute."""
    if event.type != "charge.dispute.updated":
        return True
    before = (event.data.get("previous_attributes") or {}).get("status")
    return before is not None and not is_formal(before) and is_formal(event.data["object"]["status"])


def _content(account: Account, message: Message) -> Content:
    return rendering.render(message, account.business_name, theme.parse(**(account.branding or {})))


def _message(alert: Alert, status: str, account_id: str) -> Message:
    """What the event says; `alert` is how it stands now."""
    amount, who = words.amount(alert), alert.customer
    if alert.kind == "refund":
        subject, heading = f"The refund of {amount} to {who} failed", "A refund failed"
        paragraphs = (words.alert(alert, names_customer=True), words.ARRIVED_NOT)
    elif status in CLOSED:
        subject, heading = f"The dispute of {amount} by {who} is closed", "A dispute is closed"
        paragraphs = (f"It was about the payment of {amount} for invoice {alert.number} of {who}.", RESULTS[status])
    else:
        subject = f"{who} disputes a payment of {amount}"
        heading, what = ("A payment is disputed", RESPOND)
        if not is_formal(status):
            subject, heading, what = f"A bank asks about a payment by {who}", "A bank asks about a payment", ASKED
        paragraphs = (words.alert(alert, names_customer=True), what)
    there = addresses.base(
        "dashboard.show_invoice", account_id=account_id, mode=LIVE, customer_id=alert.customer_id, invoice_id=alert.invoice_id
    )  # fmt: skip
    return Message(
        subject=subject,
        heading=heading,
        paragraphs=paragraphs,
        button=Button("View the invoice", there),
        notes=("You get this email because you may edit customers.",),
    )


TEAM = Follower("team", frozenset(KINDS), _write_all)
