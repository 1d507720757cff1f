"""Pausing and resuming a subscription."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import flash, g, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.changes import pauses
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.loading.confirmations import quote_fingerprint
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions import pauses as rules
from portal_site.billing.rules.subscriptions.forecast import NextInvoice, next_invoice
from portal_site.billing.rules.subscriptions.pauses import Pause, PauseLength
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome
from portal_site.portal import blueprint, flows, payment_outcome, portal_feature
from portal_site.portal.changes import confirmation_tokens
from portal_site.portal.changes.quote_pages import QuotePage
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.subscriptions import find_own, to_subscription
from portal_site.web.input.forms import translated

FEATURE = "subscription_pause"
PAUSE, RESUMPTION = "pause", "resumption"
# What is resumed: paused collection, or the paused subscription.
COLLECTION, SUBSCRIPTION = "collection", "subscription"
Page = str | tuple[str, int]


@dataclass
class PausePage:
    """The lengths to choose from, and the effect of each."""

    subscription: SubscriptionView
    offers: list[tuple[PauseLength, Pause, str]]
    currency: str
    problem: str = ""


@dataclass
class ResumptionPage(QuotePage):
    """The costs of resuming. `quote` is None if only collection was paused, which costs nothing now."""

    method: PaymentMethodView | None
    quote: Quote | None
    next_invoice: NextInvoice | None = None
    token: str = ""
    problem: str = ""

    @property
    def due(self) -> int:
        """The amount due now."""
        return self.quote.invoice.amount_due if self.quote else 0

    @property
    def quoted(self) -> Sequence[InvoiceLine]:
        """The lines of the invoice."""
        return self.quote.invoice.lines if self.quote else ()


@blueprint.get("/subscriptions/<subscription_id>/pause")
@portal_feature(FEATURE)
def show_pause(subscription_id: str) -> Page:
    """The lengths of a pause to choose from, and its effect."""
    return _pause_page(subscription_id, request.args.get("attempt", ""))


@blueprint.post("/subscriptions/<subscription_id>/pause")
@portal_feature(FEATURE)
def pause_subscription(subscription_id: str) -> Response | Page:
    """Pause on the confirmed terms."""
    find_own(subscription_id)
    yes = confirmation_tokens.read(PAUSE, subscription_id, "span")
    if yes is None:
        return _pause_page(subscription_id, "", _("Choose how long to pause."), 422)
    span, attempt_id = PauseLength(yes.what["interval"], yes.what["count"]), yes.what["attempt"]
    features = g.visitor.features.subscription_pause
    try:
        pauses.pause(g.visitor.customer_id, subscription_id, features, span, yes.confirmation, g.now, attempt_id)
    except StateChanged as changed:
        return _pause_page(subscription_id, attempt_id, translated(changed), 409)
    except BillingError as refusal:
        return _pause_page(subscription_id, attempt_id, translated(refusal), 422)
    flash(_("Your subscription is paused."), "good")
    return flows.completed(to_subscription(subscription_id))


@blueprint.get("/subscriptions/<subscription_id>/resumption")
@portal_feature(FEATURE)
def show_resumption(subscription_id: str) -> Page:
    """The costs of resuming."""
    return _resumption_page(subscription_id)


@blueprint.post("/subscriptions/<subscription_id>/resumption")
@portal_feature(FEATURE)
def resume_subscription(subscription_id: str) -> Response | Page:
    """Resume on the confirmed terms. An amount due is collected first."""
    find_own(subscription_id)
    yes = confirmation_tokens.read(RESUMPTION, subscription_id)
    kind = yes.what.get("kind") if yes else None
    if yes is None or kind not in (COLLECTION, SUBSCRIPTION):
        return _resumption_page(subscription_id, _("This page has expired. Please check it again."), 409)
    try:
        if kind == COLLECTION:
            pauses.resume_collection(g.visitor.customer_id, subscription_id, g.now)
        else:
            change = pauses.resume(g.visitor.customer_id, subscription_id, yes.confirmation, g.now)
            payment = payment_outcome.of_resumption(subscription_id, change.invoice_id or "")
            if change.outcome == ChangeOutcome.PENDING:
                return payment_outcome.collect(payment)
            if done := payment_outcome.already_paid(payment):
                return done
    except StateChanged as changed:
        return _resumption_page(subscription_id, translated(changed), 409)
    flash(_("Your subscription has resumed."), "good")
    return to_subscription(subscription_id)


def _pause_page(subscription_id: str, attempt_id: str, problem: str = "", status: int = 200) -> Page:
    """The page. `attempt_id` is the cancellation attempt in which the pause was offered, if any."""
    subscription, _method = find_own(subscription_id)
    found = pauses.preview(g.visitor.customer_id, subscription_id, g.now)
    if found.refusal is not None:
        page = PausePage(subscription, [], subscription.currency, problem or translated(found.refusal))
        return render_template("portal/pauses/pause.html", page=page), status
    offers = []
    for span in rules.pause_lengths(g.visitor.features.subscription_pause):
        wanted = rules.pause(found.snapshot, span, g.now)
        what = {"interval": span.interval, "count": span.count, "attempt": attempt_id}
        offers.append(
            (span, wanted, confirmation_tokens.issue(PAUSE, subscription_id, pauses.pause_fingerprint(wanted), **what))
        )
    page = PausePage(subscription, offers, subscription.currency, problem)
    return render_template("portal/pauses/pause.html", page=page), status


def _resumption_page(subscription_id: str, problem: str = "", status: int = 200) -> Page:
    subscription, method = find_own(subscription_id)
    snapshot = pauses.preview(g.visitor.customer_id, subscription_id, g.now).snapshot
    try:
        if snapshot.collection_paused:
            quote, token = None, confirmation_tokens.issue(RESUMPTION, subscription_id, "", kind=COLLECTION)
            following = next_invoice(snapshot.resumed(g.now))
        else:
            quote = pauses.resumption(g.visitor.customer_id, subscription_id, g.now)
            shown = quote_fingerprint(quote)
            token = confirmation_tokens.issue(RESUMPTION, subscription_id, shown, kind=SUBSCRIPTION)
            following = quote.next_invoice
    except StateChanged as refusal:
        page = ResumptionPage(subscription, method, None, problem=problem or translated(refusal))
        return render_template("portal/pauses/resumption.html", page=page), status
    page = ResumptionPage(subscription, method, quote, following, token, problem)
    return render_template("portal/pauses/resumption.html", page=page), status
