"""Reactivating a canceled subscription."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import flash, g, render_template
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.changes import reactivations
from portal_site.billing.errors import StateChanged
from portal_site.billing.loading.confirmations import quote_fingerprint
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome
from portal_site.portal import blueprint, payment_outcome, portal_feature
from portal_site.portal.changes import confirmation_tokens
from portal_site.portal.changes.quote_pages import QuotePage
from portal_site.portal.payment_outcome import Payment
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.subscriptions import find_own, to_subscription
from portal_site.web.input.forms import translated

FEATURE = "subscription_restart"
RESTART = "restart"
Page = str | tuple[str, int]


@dataclass
class RestartPage(QuotePage):
    """The costs of reactivating."""

    method: PaymentMethodView | None
    quote: Quote | None
    token: str = ""
    problem: str = ""

    @property
    def quoted(self) -> Sequence[InvoiceLine]:
        """The lines of the first invoice."""
        return self.quote.invoice.lines if self.quote else ()


@blueprint.get("/subscriptions/<subscription_id>/restart")
@portal_feature(FEATURE)
def show_restart(subscription_id: str) -> Page:
    """What the subscription contained, and what it costs now."""
    return _page(subscription_id)


@blueprint.post("/subscriptions/<subscription_id>/restart")
@portal_feature(FEATURE)
def restart_subscription(subscription_id: str) -> Response | Page:
    """Reactivate on the confirmed terms, and collect the amount due."""
    find_own(subscription_id)
    yes = confirmation_tokens.read(RESTART, subscription_id)
    if yes is None:
        return _page(subscription_id, _("This page has expired. Please check it again."), 409)
    try:
        change = reactivations.reactivate(g.visitor.customer_id, subscription_id, yes.confirmation, g.now)
    except StateChanged as changed:
        return _page(subscription_id, translated(changed), 409)
    payment = payment_outcome.of_first_invoice(change.subscription_id, change.invoice_id or "")
    if change.outcome == ChangeOutcome.PENDING:
        return payment_outcome.collect(payment)
    if done := payment_outcome.already_paid(payment):
        return done
    flash(_("Welcome back. Your subscription has begun."), "good")
    return to_subscription(change.subscription_id)


@blueprint.post("/subscriptions/<subscription_id>/first-payment")
@portal_feature(FEATURE)
def pay_first_invoice(subscription_id: str) -> Response:
    """Try again to pay the first invoice of an incomplete subscription."""
    payment = _first_payment(subscription_id)
    return payment_outcome.collect(payment) if payment else to_subscription(subscription_id)


@blueprint.get("/subscriptions/<subscription_id>/first-payment/return")
@portal_feature(FEATURE)
def finish_first_payment(subscription_id: str) -> Response:
    """Return from authentication. It writes although it is a GET: a bank can only redirect."""
    payment = _first_payment(subscription_id)
    return payment_outcome.finish(payment) if payment else to_subscription(subscription_id)


def _first_payment(subscription_id: str) -> Payment | None:
    find_own(subscription_id)
    invoice_id = reactivations.first_invoice(g.visitor.customer_id, subscription_id)
    return payment_outcome.of_first_invoice(subscription_id, invoice_id) if invoice_id else None


def _page(subscription_id: str, problem: str = "", status: int = 200) -> Page:
    subscription, method = find_own(subscription_id)
    found = reactivations.preview(g.visitor.customer_id, subscription_id, g.now)
    page = RestartPage(subscription, method, found.quote, problem=problem)
    if found.quote is None:
        assert found.refusal
        page.problem = problem or translated(found.refusal)
    else:
        page.token = confirmation_tokens.issue(RESTART, subscription_id, quote_fingerprint(found.quote))
    return render_template("portal/reactivations/show.html", page=page), status
