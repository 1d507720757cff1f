"""Starting a subscription for a customer: the form, its quote as one types, and the start on the terms of the quote."""

import secrets
from dataclasses import dataclass
from typing import Any

from flask import abort, current_app, flash, redirect, render_template, request

from portal_site import clock
from portal_site.billing.changes import starts
from portal_site.billing.changes.starts import StartPreview, StartRequest
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.loading.confirmations import Confirmation
from portal_site.billing.models import PlanChange
from portal_site.billing.payments import collection
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome
from portal_site.dashboard import blueprint, needs, place
from portal_site.dashboard.customers import one, start_words
from portal_site.dashboard.customers.pages import CUSTOMERS
from portal_site.dashboard.customers.start_forms import StartForm
from portal_site.dashboard.customers.start_words import QuoteWords
from portal_site.dashboard.modes import LIVE
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.reads import sold_prices
from portal_site.dashboard.reads.sold_prices import Sold
from portal_site.ids import new_id
from portal_site.mail import rendering
from portal_site.mail.rendering import Reader
from portal_site.staff.roles import Right
from portal_site.web import addresses, htmx, signing
from portal_site.web.input.forms import translated
from portal_site.web.rendering import i18n

OF_CUSTOMER = f"{CUSTOMERS}/<customer_id>/subscriptions"
TOKEN = "subscription-start"  # noqa: S105 - what the signature of a quote is for
EXPIRED = "This page has expired. Please check it again."
Page = Any


@dataclass(frozen=True)
class StartPage:
    """The form for a customer's subscription, with the choices of the account, and the quote for what is typed.

    Without a quote `why_none` says why. `token` confirms the quote; it is empty if `refusal` says why it cannot start so.
    """

    customer: dict[str, Any]
    form: StartForm
    sold: Sold
    quote: QuoteWords | None = None
    token: str = ""
    refusal: str = ""
    why_none: str = "Choose a plan to see what it costs."

    @property
    def name(self) -> str:
        """The customer's."""
        return str(self.customer["name"] or self.customer["email"] or self.customer["id"])

    @property
    def currency_hint(self) -> str:
        """Which prices there are to choose from."""
        currency = self.customer["currency"]
        words = f"This customer pays in {currency.upper()}, so other prices are not listed." if currency else ""
        return words if self.sold.has_all else f"{words} The first {sold_prices.MOST_PRICES} are listed.".strip()

    @property
    def has_tax_rates(self) -> bool:
        """Whether there are tax rates to choose from, or something is wrong about them."""
        return bool(self.sold.tax_rates or self.form.tax_rates.errors)


@blueprint.get(f"{OF_CUSTOMER}/new")
@needs(Right.EDIT_CUSTOMERS)
def show_new_subscription(account_id: str, mode: str, customer_id: str) -> Page:
    """The form for a new subscription."""
    return _page(_opened(account_id, mode, customer_id, StartForm.empty()))


@blueprint.post(f"{OF_CUSTOMER}/quote")
@needs(Right.EDIT_CUSTOMERS)
def quote_subscription(account_id: str, mode: str, customer_id: str) -> Page:
    """What it would cost with what is typed; or the form with more rows for add-ons. Nothing is stored."""
    page = _opened(account_id, mode, customer_id, StartForm())
    if request.form.get("rows"):
        page.form.add_rows()
        return _page(page)
    quoted = _quoted(page)
    if htmx.is_fragment_request():
        return render_template("dashboard/customers/_start_quote.html", page=quoted)
    return _page(quoted), 200 if quoted.quote else 422


@blueprint.post(OF_CUSTOMER)
@needs(Right.EDIT_CUSTOMERS)
def start_subscription(account_id: str, mode: str, customer_id: str) -> Page:
    """Start the subscription on the confirmed terms, and charge what is due."""
    page = _opened(account_id, mode, customer_id, StartForm())
    yes = _confirmed(page.customer["id"])
    wanted = _wanted(page.form)
    if wanted is None:
        return _page(page), 422
    if yes is None:
        return _page(_quoted(page), EXPIRED), 409
    name, confirmation = yes
    at = _time(page.customer)
    try:
        change = starts.start(page.customer["id"], name, wanted, confirmation, at)
    except StateChanged as changed:
        return _page(_quoted(page), translated(changed)), 409
    except BillingError as refusal:
        return _page(page, page.form.refuse(refusal)), 422
    if change.outcome == ChangeOutcome.PENDING:
        _collect(change, at)
    with _in_time_zone():
        flash(*start_words.outcome(change))
    there = {"customer_id": page.customer["id"], "started": change.subscription_id}
    return redirect(account_url("show_customer", **there), 303)


def _opened(account_id: str, mode: str, customer_id: str, form: StartForm) -> StartPage:
    """The page of a customer, without a quote; 404 if there is no such customer in this mode."""
    customer = one.find(account_id, mode, customer_id)["customer"][0]
    sold = sold_prices.find(account_id, mode == LIVE, customer["currency"])
    return StartPage(customer, form.offer(sold), sold)


def _time(customer: dict[str, Any]) -> int:
    """The customer's instant: that of its test clock, if it has one."""
    return clock.now() if customer["frozen_time"] is None else int(customer["frozen_time"])


def _in_time_zone() -> Any:
    """In the dashboard's language, and in the account's time zone."""
    return rendering.in_language_of(Reader(i18n.current().locale, place().timezone))


def _wanted(form: StartForm) -> StartRequest | None:
    """What was typed; None if that cannot be, which the form says at its fields."""
    if not form.validate():
        return None
    try:
        return form.request(place().timezone)
    except BillingError as refusal:
        form.refuse(refusal)
        return None


def _quoted(page: StartPage) -> StartPage:
    """The page with a quote for what was typed, or with what is wrong about it."""
    wanted = _wanted(page.form)
    if wanted is None:
        return _without_quote(page)
    at, name, customer_id = _time(page.customer), new_id("sub"), page.customer["id"]
    try:
        preview = starts.preview(customer_id, name, wanted, at)
    except BillingError as refusal:
        return _without_quote(page, page.form.refuse(refusal))
    with _in_time_zone():
        words = QuoteWords.of(preview, wanted, at)
    if preview.refusal is not None:
        page.form.refuse(preview.refusal)
        return StartPage(page.customer, page.form, page.sold, words, refusal=translated(preview.refusal))
    return StartPage(page.customer, page.form, page.sold, words, _token(preview, customer_id, name, at))


def _without_quote(page: StartPage, words: str = "") -> StartPage:
    wrong = words or " ".join(page.form.error_summary().values())
    return StartPage(page.customer, page.form, page.sold, why_none=wrong or page.why_none)


def _token(preview: StartPreview, customer_id: str, subscription_id: str, at: int) -> str:
    terms = {"at": at, "fingerprint": preview.fingerprint, "key": secrets.token_urlsafe(16)}
    return signing.sign(TOKEN, {"customer": customer_id, "subscription": subscription_id, **terms})


def _confirmed(customer_id: str) -> tuple[str, Confirmation] | None:
    """The id of the new subscription and the confirmation in the form; None without one for this customer."""
    signed = signing.read(TOKEN, request.form.get("quote", ""))
    if not signed or signed["customer"] != customer_id:
        return None
    return signed["subscription"], Confirmation(signed["at"], signed["fingerprint"], signed["key"])


def _collect(change: PlanChange, at: int) -> None:
    """Charge the first invoice. The customer is not here: who has to authenticate the payment gets a link."""
    gateways, invoice_id = current_app.extensions["gateways"], change.invoice_id or abort(500)
    there = addresses.after_payment(invoice_id)
    try:
        collection.collect(gateways, change.customer_id, invoice_id, at, there, off_session=True)
    except StateChanged:  # another request is paying it
        return


def _page(page: StartPage, problem: str = "") -> str:
    return render_template("dashboard/customers/start.html", page=page, form=page.form, problem_words=problem)
