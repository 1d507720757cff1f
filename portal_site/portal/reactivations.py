"""Coming back: beginning an ended subscription again."""

from dataclasses import dataclass

from flask import abort, current_app, flash, g, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.changes import reactivations
from portal_site.billing.changes.reactivations import ReactivationPreview
from portal_site.billing.errors import NotFound, StateChanged
from portal_site.billing.loading.confirmations import quote_fingerprint
from portal_site.billing.models import PaymentAttempt
from portal_site.billing.payments import collection
from portal_site.billing.rules.amounts.taxes import Tax
from portal_site.billing.rules.invoicing import invoices as invoice_rules
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus, ChangeOutcome
from portal_site.portal import blueprint, confirmation_tokens, portal_feature
from portal_site.portal.reads import overview
from portal_site.portal.reads.invoices import LineView
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.web import decline_messages
from portal_site.web.forms import translated

FEATURE = "subscription_restart"
RESTART = "restart"
Page = str | tuple[str, int]


@dataclass
class RestartPage:
    """What beginning again costs."""

    subscription: SubscriptionView
    method: PaymentMethodView | None
    quote: Quote | None
    token: str = ""
    problem: str = ""

    @property
    def lines(self) -> list[LineView]:
        """The lines of the first invoice."""
        return [LineView.of(line) for line in self.quote.invoice.lines] if self.quote else []

    @property
    def taxes(self) -> list[Tax]:
        """The taxes in it, added up by rate."""
        return invoice_rules.summed_taxes(self.quote.invoice.lines) if self.quote else []


@blueprint.get("/subscriptions/<subscription_id>/restart")
@portal_feature(FEATURE)
def show_restart(subscription_id: str) -> Page:
    """What it had, and what it costs now."""
    return _page(subscription_id)


@blueprint.post("/subscriptions/<subscription_id>/restart")
@portal_feature(FEATURE)
def restart_subscription(subscription_id: str) -> Response | Page:
    """Begin again as it was shown, and collect what is due."""
    _own(subscription_id)
    yes = confirmation_tokens.read(RESTART, subscription_id)
    if yes is None:
        return _page(subscription_id, _("This page has expired. Please check it again."), 409)
    try:
        change = reactivations.reactivate(g.visitor.customer_id, subscription_id, yes.confirmation, g.now)
    except StateChanged as changed:
        return _page(subscription_id, translated(changed), 409)
    if change.outcome == ChangeOutcome.PENDING:
        return _collect(change.subscription_id, change.invoice_id or "")
    flash(_("Welcome back. Your subscription has begun."), "good")
    return _to(change.subscription_id)


@blueprint.post("/subscriptions/<subscription_id>/first-payment")
@portal_feature(FEATURE)
def pay_first_invoice(subscription_id: str) -> Response:
    """Try once more to pay for a subscription that has not begun."""
    _own(subscription_id)
    invoice_id = reactivations.first_invoice(g.visitor.customer_id, subscription_id)
    return _collect(subscription_id, invoice_id) if invoice_id else _to(subscription_id)


@blueprint.get("/subscriptions/<subscription_id>/first-payment/return")
@portal_feature(FEATURE)
def finish_first_payment(subscription_id: str) -> Response:
    """Back from the bank's page. A GET that writes: a bank can only redirect."""
    _own(subscription_id)
    invoice_id = reactivations.first_invoice(g.visitor.customer_id, subscription_id)
    if invoice_id is None:
        return _to(subscription_id)
    gateway = current_app.extensions["gateway"]
    attempt = collection.resolve_payment(
        gateway, g.visitor.customer_id, invoice_id, g.now, _return_url(subscription_id)
    )
    return _after(subscription_id, attempt, came_back=True)


def _own(subscription_id: str) -> tuple[SubscriptionView, PaymentMethodView | None]:
    return overview.find_subscription(g.visitor, subscription_id, g.now) or abort(404)


def _situation(subscription_id: str) -> ReactivationPreview:
    try:
        return reactivations.preview(g.visitor.customer_id, subscription_id, g.now)
    except NotFound:
        abort(404)


def _page(subscription_id: str, problem: str = "", status: int = 200) -> Page:
    subscription, method = _own(subscription_id)
    found = _situation(subscription_id)
    page = RestartPage(subscription, method, found.quote, problem=problem)
    if found.quote is None:
        assert found.refusal
        page.problem = problem or translated(found.refusal)
    else:
        page.token = confirmation_tokens.issue(RESTART, subscription_id, quote_fingerprint(found.quote))
    return render_template("portal/reactivations/show.html", page=page), status


def _collect(subscription_id: str, invoice_id: str) -> Response:
    gateway, back = current_app.extensions["gateway"], _return_url(subscription_id)
    try:
        attempt = collection.collect(gateway, g.visitor.customer_id, invoice_id, g.now, back)
    except StateChanged:  # another click is paying it
        return _to(subscription_id)
    if attempt is None:
        flash(_("Add a payment method, then pay for it."), "bad")
        return _to(subscription_id)
    return _after(subscription_id, attempt)


def _after(subscription_id: str, attempt: PaymentAttempt | None, came_back: bool = False) -> Response:
    """Where each outcome of the payment leads."""
    if attempt is None:
        return _to(subscription_id)
    if attempt.status == AttemptStatus.REQUIRES_ACTION and attempt.next_action_url and not came_back:
        return redirect(attempt.next_action_url, 303)
    if attempt.status == AttemptStatus.SUCCEEDED:
        flash(_("Welcome back. Your subscription has begun."), "good")
    if attempt.status == AttemptStatus.DECLINED:
        flash(decline_messages.message(attempt.decline_code), "bad")
    return _to(subscription_id)


def _to(subscription_id: str) -> Response:
    return redirect(url_for("portal.show_subscription", subscription_id=subscription_id), 303)


def _return_url(subscription_id: str) -> str:
    return url_for("portal.finish_first_payment", subscription_id=subscription_id, _external=True)
