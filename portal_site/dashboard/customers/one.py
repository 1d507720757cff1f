"""The page of one customer: what it is, what it has in the words of its portal, its e-mails, and what happened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from sqlalchemy import BindParameter, bindparam, select
from werkzeug.datastructures import MultiDict

from portal_site import clock
from portal_site.billing.accounts import connected
from portal_site.billing.errors import BillingError
from portal_site.billing.models import Customer, TestClock
from portal_site.dashboard import blueprint, needs, place
from portal_site.dashboard.customers import history, links
from portal_site.dashboard.customers.links import Choice
from portal_site.dashboard.customers.pages import CUSTOMERS
from portal_site.dashboard.invoices import words
from portal_site.dashboard.modes import LIVE
from portal_site.dashboard.reads import invoice_money
from portal_site.db.page_query import PageQuery, literal_limit
from portal_site.mail import rendering
from portal_site.mail.models import Email, EmailStatus
from portal_site.mail.rendering import Reader
from portal_site.portal import wording
from portal_site.portal.access import visitors
from portal_site.portal.access.visitors import Visitor
from portal_site.portal.reads import overview
from portal_site.portal.reads.overview import Overview
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording.subscriptions import NextStep
from portal_site.staff.roles import Right
from portal_site.web.input.forms import translated
from portal_site.web.rendering import i18n
from portal_site.web.rendering.filters import date, minute, money

MOST_EMAILS = 10
_ACCOUNT: BindParameter[str] = bindparam("account_id")
_ID: BindParameter[str] = bindparam("customer_id")
_CUSTOMER = PageQuery(
    customer=select(
        Customer.id,
        Customer.name,
        Customer.email,
        Customer.phone,
        Customer.description,
        Customer.created,
        Customer.balance,
        Customer.currency,
        Customer.other_balances,
        Customer.preferred_locales,
        Customer.tax_exempt,
        Customer.test_clock_id,
        TestClock.name.label("clock_name"),
        TestClock.frozen_time,
    )
    .outerjoin(TestClock, TestClock.id == Customer.test_clock_id)
    .where(
        Customer.account_id == _ACCOUNT,
        Customer.id == _ID,
        Customer.livemode == bindparam("livemode"),
        Customer.deleted_at.is_(None),
    ),
    emails=select(Email.id, Email.kind, Email.status, Email.created, Email.sent_at)
    .where(Email.account_id == _ACCOUNT, Email.customer_id == _ID)
    .order_by(Email.created.desc(), Email.id.desc())
    .limit(literal_limit(MOST_EMAILS)),
)
STATUSES = {
    EmailStatus.WAITING: "Waiting to be sent", EmailStatus.SENT: "Sent", EmailStatus.PARKED: "Not delivered",
    EmailStatus.EXPIRED: "Too late to be sent", EmailStatus.SUPPRESSED: "No address that works",
}  # fmt: skip
TAXES = {"exempt": "Pays no tax", "reverse": "Reverse charge"}


@dataclass(frozen=True)
class SubscriptionWords:
    """A subscription in the words of its card in the portal."""

    id: str
    name: str
    badge: tuple[str, str, str | None]
    contents: Sequence[str]
    next_step: NextStep | None
    notes: Sequence[str]
    has_ended: bool

    @classmethod
    def of(cls, view: SubscriptionView, page: Overview, now: int) -> "SubscriptionWords":
        """The words for a view at the customer's instant."""
        spoken = wording.subscriptions
        several = len(view.items) > 1
        contents = ((item.product, spoken.contents(item, several)) for item in view.items)
        notes = spoken.balance_notes(view, now)
        if not view.cancel_at:
            notes += map(spoken.discount, view.discounts)
        if view.planned:
            planned = "; ".join(map(spoken.planned_item, view.planned.items))
            notes.append(f"From {date(view.planned.date)}: {planned}.")
        return cls(
            view.id,
            ", ".join(view.products),
            spoken.status_badge(view),
            [f"{product}: {words}" if several else words for product, words in contents],
            spoken.next_step(view, page.method_of(view), now),
            notes,
            view.status.ended,
        )


@dataclass(frozen=True)
class InvoiceWords:
    """An invoice in the words of the portal's list."""

    id: str
    name: str
    created: int
    total: str
    state: str
    tone: str


@dataclass(frozen=True)
class Portal:
    """What the customer's portal shows, with its own amounts and words."""

    facts: Sequence[tuple[str, Sequence[str]]]
    subscriptions: Sequence[SubscriptionWords]
    unreadable: Sequence[str]
    methods: Sequence[Any]
    invoices: Sequence[InvoiceWords]


def find(account_id: str, mode: str, customer_id: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a customer's page; 404 if there is no such customer in this mode."""
    found = _CUSTOMER.fetch(account_id=account_id, customer_id=customer_id.replace("\0", ""), livemode=mode == LIVE)
    return found if found["customer"] else abort(404)


def visitor_of(account_id: str, customer_id: str, on_behalf_of: str | None = None) -> Visitor | None:
    """The customer as its portal knows it; None without an active default configuration of its mode."""
    return visitors.find_without_session(account_id, customer_id, on_behalf_of)


def chosen_account(given: MultiDict[str, str], offered: Sequence[tuple[str, str]]) -> str | None:
    """The connected account on whose behalf a link or a view is asked for; 404 for one that the customer has nothing of."""
    wanted = given.get("on_behalf_of") or None
    return abort(404) if wanted is not None and wanted not in dict(offered) else wanted


def portal_of(visitor: Visitor, real: int) -> Portal:
    """What the portal shows, at the customer's time and in its time zone, in the dashboard's language."""
    now = visitor.time(real)
    page = overview.find(visitor, now)
    locale = i18n.current().locale
    with rendering.in_language_of(Reader(locale, visitor.timezone)):
        facts = [(fact.label, fact.lines or (fact.text,)) for fact in wording.billing_information.facts(visitor)]
        kinds = [f"{one.value}, {wording.billing_information.tax_id_kind(one)}" for one in page.tax_ids]
        invoices = (*page.open, *(one for one in page.recent.invoices if one.id not in {each.id for each in page.open}))
        return Portal(
            facts=[*facts, *([("Tax IDs", kinds)] if kinds else [])],
            subscriptions=[SubscriptionWords.of(view, page, now) for view in page.subscriptions],
            unreadable=page.unreadable,
            methods=page.methods,
            invoices=[
                InvoiceWords(
                    one.id,
                    one.number or one.id,
                    one.created,
                    money(one.total, one.currency),
                    *wording.invoices.state(one, now),
                )
                for one in invoices
            ],
        )


def _facts(row: Mapping[str, Any], portal: Portal | None) -> list[tuple[str, Sequence[str]]]:
    known = [(name.capitalize(), [row[name]]) for name in ("name", "email", "phone") if row[name]]
    return [*(portal.facts if portal else known), *((label, [value]) for label, value in _more_facts(row))]


def _more_facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What only staff sees of a customer."""
    yield "ID", row["id"]
    yield "Customer since", minute(row["created"])
    if row["description"]:
        yield "Description", row["description"]
    balances = {row["currency"]: row["balance"]} if row["currency"] else {}
    for currency, amount in {**balances, **(row["other_balances"] or {})}.items():
        if amount:
            yield "Balance", f"{money(abs(amount), currency)} {'owed' if amount > 0 else 'of credit'}"
    languages = [i18n.LANGUAGES.get(tag, tag) for tag in row["preferred_locales"] or ()]
    yield "Language", ", ".join(languages) or "That of the browser"
    if row["tax_exempt"] in TAXES:
        yield "Tax", TAXES[row["tax_exempt"]]
    if row["test_clock_id"]:
        yield "Test clock", f"{row['clock_name'] or row['test_clock_id']}, at {minute(row['frozen_time'])}"


def customer_page(account_id: str, mode: str, customer_id: str, *, started: str = "", **more: Any) -> str:
    """The page, with what a button has brought about. `started` is the id of a new subscription."""
    rows = find(account_id, mode, customer_id)
    row, real = rows["customer"][0], clock.now()
    visitor = visitor_of(account_id, row["id"])
    portal = portal_of(visitor, real) if visitor else None
    may_pay = bool(started) and place().may(Right.EDIT_CUSTOMERS)
    return render_template(
        "dashboard/customers/show.html",
        pay_link=links.payment(account_id, row, started, real) if may_pay else "",
        customer=row,
        name=row["name"] or row["email"] or row["id"],
        facts=_facts(row, portal),
        alerts=words.alerts(invoice_money.alerts(account_id, real, row["id"]), account_id, names_customer=False),
        portal=portal,
        emails=[(_kind(one["kind"]), STATUSES.get(one["status"], one["status"]), one) for one in rows["emails"]],
        history=history.find(account_id, row["id"], row["created"], request.args.get("before", type=_sequence)),
        choices=_choices(visitor, portal),
        connected=connected.sold_for(account_id, row["id"]),
        **{"link": "", "refusal": "", **more},
    )


def _choices(visitor: Visitor | None, portal: Portal | None) -> list[Choice]:
    if visitor is None or portal is None:
        return []
    running = [(each.id, each.name) for each in portal.subscriptions if not each.has_ended]
    return links.choices(visitor.features, running)


def _kind(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


def _sequence(text: str) -> int:
    """A number of an event. Raises ValueError, which leaves it away."""
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise ValueError("not a number")
    return int(text)


@blueprint.get(f"{CUSTOMERS}/<customer_id>")
@needs(Right.VIEW_CUSTOMERS)
def show_customer(account_id: str, mode: str, customer_id: str) -> str:
    """A customer. Who has just started a subscription finds the link to its first invoice, if that is to be paid."""
    return customer_page(account_id, mode, customer_id, started=request.args.get("started", ""))


@blueprint.post(f"{CUSTOMERS}/<customer_id>/links")
@needs(Right.EDIT_CUSTOMERS)
def make_link(account_id: str, mode: str, customer_id: str) -> Any:
    """A link to the customer's portal, shown once."""
    row = find(account_id, mode, customer_id)["customer"][0]
    behalf = chosen_account(request.form, connected.sold_for(account_id, row["id"]))
    try:
        link = links.make(account_id, mode == LIVE, row["id"], clock.now(), behalf)
    except BillingError as refusal:
        return customer_page(account_id, mode, customer_id, refusal=translated(refusal)), 422
    return customer_page(account_id, mode, customer_id, link=link)


@blueprint.post(f"{CUSTOMERS}/<customer_id>/emails")
@needs(Right.EDIT_CUSTOMERS)
def email_link(account_id: str, mode: str, customer_id: str) -> Any:
    """E-mail the customer a link that works for weeks."""
    row, real = find(account_id, mode, customer_id)["customer"][0], clock.now()
    visitor = visitor_of(account_id, row["id"])
    offered = dict(_choices(visitor, portal_of(visitor, real) if visitor else None))
    wanted = request.form.get("purpose", "")
    try:
        if visitor is None or wanted not in offered:
            raise BillingError("Choose what the link is for.")
        address = links.send(visitor, wanted, real)
    except BillingError as refusal:
        return customer_page(account_id, mode, customer_id, refusal=translated(refusal)), 422
    flash(f"The email to {address} is on its way.", "good")
    there = url_for("dashboard.show_customer", account_id=account_id, mode=mode, customer_id=row["id"])
    return redirect(there, 303)
