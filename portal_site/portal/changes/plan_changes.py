"""Changing plan, quantity and add-ons: the choice, its quote, the confirmation, and the payment if one is needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import abort, flash, g, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.changes import plan_changes
from portal_site.billing.changes.plan_options import Owner, PlanChangeOptions
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.loading.confirmations import quote_fingerprint
from portal_site.billing.models import PlanChange
from portal_site.billing.rules.invoicing import invoices as invoice_rules
from portal_site.billing.rules.invoicing.invoices import InvoiceLine, InvoiceTotals
from portal_site.billing.rules.subscriptions.plan_change import Quote
from portal_site.billing.rules.subscriptions.portal_policy import PlanChangeRequest
from portal_site.billing.rules.subscriptions.statuses import ChangeOutcome, SubscriptionStatus
from portal_site.billing.subscriptions import promotion_codes, schedules
from portal_site.portal import blueprint, flows, payment_outcome, portal_feature
from portal_site.portal.changes import confirmation_tokens
from portal_site.portal.changes.plan_change_forms import (
    NONE,
    ChangeForm,
    order_document,
    order_of,
    sign_code,
    stepped,
)
from portal_site.portal.changes.quote_pages import QuotePage
from portal_site.portal.payment_outcome import Payment
from portal_site.portal.reads import products
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.products import ProductText
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.subscriptions import find_own, to_subscription
from portal_site.web import htmx
from portal_site.web.input.forms import translated

FEATURE = "subscription_update"
PAUSE = "subscription_pause"  # a resumption is paid for in the same way
QUOTE = "plan-change"
Page = str | tuple[str, int]


@dataclass
class ChangePage(QuotePage):
    """The page. `quote` is None while nothing is chosen or the form has errors.

    `mismatch` says why nothing can be chosen, if so. `lacks_invoice` is true if no invoice of the present
    period is here.
    """

    method: PaymentMethodView | None
    refusal: str
    form: ChangeForm
    mismatch: str = ""
    quote: Quote | None = None
    token: str = ""
    problem: str = ""
    made: str = ""
    code_words: str = ""
    products: Mapping[str, ProductText] = field(default_factory=dict)
    lacks_invoice: bool = False

    @property
    def quoted(self) -> Sequence[InvoiceLine]:
        """The lines billed now, and those added to the next invoice."""
        return (*self.quote.invoice.lines, *self.quote.deferred_lines) if self.quote else ()

    @property
    def deferred_invoice(self) -> InvoiceTotals | None:
        """The totals of what is added to the next invoice, without the balance, which that invoice will use."""
        if self.quote is None or not self.quote.deferred_lines:
            return None
        return invoice_rules.total_up(self.quote.deferred_lines, 0, self.quote.invoice.currency)

    @property
    def trial_ends(self) -> bool:
        """Whether the change ends a free trial."""
        return self.quote is not None and (self.quote.trial_end or 0) <= self.quote.at

    @property
    def choices_without_code(self) -> dict[str, str]:
        """The query parameters of the form without the code."""
        return {name: value for name, value in self.form.fields.items() if name != "code"}

    @property
    def status(self) -> int:
        """The status code of the response."""
        return 422 if self.form.wrong or self.problem else 200


@blueprint.get("/subscriptions/<subscription_id>/plan-change")
@portal_feature(FEATURE)
def show_plan_change(subscription_id: str) -> Page:
    """The page for changing the plan, with a quote for what is chosen."""
    page = _page(subscription_id, stepped(request.args))
    if page.form.code_is_used and page.form.is_unchanged:  # the Back button after a change with this code
        page.form.code_error = ""
        page.made = _("This change has been made. Your code is applied.")
    return render_template("portal/plan_changes/show.html", page=page), page.status


@blueprint.get("/subscriptions/<subscription_id>/plan-change/quote")
@portal_feature(FEATURE)
def show_plan_change_quote(subscription_id: str) -> Response:
    """The quote for the current choice as a fragment."""
    page = _page(subscription_id, stepped(request.args))
    chosen: dict[str, Any] = {"subscription_id": subscription_id, **page.form.fields}
    quote = make_response(render_template("portal/plan_changes/_new_quote.html", page=page), page.status)
    return htmx.replace_url(quote, url_for("portal.show_plan_change", **chosen))


@blueprint.post("/subscriptions/<subscription_id>/promotion-code")
@portal_feature(FEATURE)
def apply_promotion_code(subscription_id: str) -> Response | Page:
    """Look up an entered code and show the page with it. This is the only way to try a code, and unknown ones are counted."""
    features = g.visitor.features.subscription_update
    if "promotion_code" not in features.default_allowed_updates:
        abort(404)
    page = _page(subscription_id, request.form)
    typed = request.form.get("promotion_code", "")
    try:
        code_id = promotion_codes.find(g.visitor.customer_id, typed, g.now)
        page.form.code, page.form.code_id = sign_code(code_id, g.visitor.customer_id), code_id
        _fill(page, _options(page.subscription), page.form.order())
    except BillingError as refusal:
        page.problem = page.form.refuse(refusal)
    if page.form.code_error:
        page.form.code_typed, page.quote = typed, None
        return render_template("portal/plan_changes/show.html", page=page), 422
    chosen: dict[str, Any] = {"subscription_id": subscription_id, **page.form.fields}
    return redirect(url_for("portal.show_plan_change", **chosen), 303)


@blueprint.post("/subscriptions/<subscription_id>/plan-change")
@portal_feature(FEATURE)
def change_plan(subscription_id: str) -> Response | Page:
    """Make exactly the confirmed change, or show the current quote if it has changed."""
    find_own(subscription_id)
    yes = confirmation_tokens.read(QUOTE, subscription_id)
    if yes is None:
        # The request in an invalid confirmation is not trusted; the form's fields are as good as a new choice.
        return _anew(subscription_id, request.form, _("This quote is not valid. Please choose again."), 409)
    order, attempt_id = order_of(yes.what["order"]), yes.what["attempt"]
    if g.visitor.flow is not None and g.visitor.flow.items and order != _page(subscription_id, {}).form.order():
        # It is for another change, which the customer was shown in another visit.
        return _anew(subscription_id, {}, _("This quote is not valid. Please choose again."), 409)
    features = g.visitor.features.subscription_update
    try:
        change = plan_changes.change_plan(
            g.visitor.customer_id, subscription_id, features, order, yes.confirmation, g.now, attempt_id
        )
    except StateChanged as changed:
        return _again(subscription_id, order, attempt_id, translated(changed), 409)
    except BillingError as refusal:
        # Another tab was first: the requested change has already been made.
        status = 409 if refusal.code == "no_changes" else 422
        return _again(subscription_id, order, attempt_id, translated(refusal), status)
    payment = payment_outcome.of_plan_change(subscription_id, change.invoice_id or "")
    if change.outcome == ChangeOutcome.PENDING:
        return payment_outcome.collect(payment)
    if done := payment_outcome.already_paid(payment):
        return done
    if not session.get("_flashes"):  # a second click has no further message
        flash(_done(change), "good")
    return flows.completed(to_subscription(subscription_id))


@blueprint.post("/subscriptions/<subscription_id>/plan-change/payment")
@portal_feature(FEATURE, PAUSE)
def pay_plan_change(subscription_id: str) -> Response:
    """Try again to pay for a pending update."""
    payment = _waiting_payment(subscription_id)
    return payment_outcome.collect(payment) if payment else to_subscription(subscription_id)


@blueprint.get("/subscriptions/<subscription_id>/plan-change/return")
@portal_feature(FEATURE, PAUSE)
def finish_plan_change(subscription_id: str) -> Response:
    """Return from authentication, or check again. It writes although it is a GET: a bank can only redirect."""
    payment = _waiting_payment(subscription_id)
    return payment_outcome.finish(payment) if payment else to_subscription(subscription_id)


def _waiting_payment(subscription_id: str) -> Payment | None:
    """The payment of the pending update, which resumes a subscription if it is paused."""
    subscription, _method = find_own(subscription_id)
    if not subscription.pending_update:
        return None
    paused = subscription.status == SubscriptionStatus.PAUSED
    kind = payment_outcome.of_resumption if paused else payment_outcome.of_plan_change
    return kind(subscription_id, subscription.pending_update.invoice_id or "")


@blueprint.post("/subscriptions/<subscription_id>/plan-change/withdrawal")
@portal_feature(FEATURE, PAUSE)
def withdraw_plan_change(subscription_id: str) -> Response:
    """Discard a pending update."""
    find_own(subscription_id)
    try:
        payment_outcome.cancel_awaiting(subscription_id)
        plan_changes.withdraw(g.visitor.customer_id, subscription_id, g.now)
        flash(_("The change was undone. Your plan stays as it is, and nothing was charged."), "good")
    except BillingError as refusal:
        flash(translated(refusal), "bad")
    return to_subscription(subscription_id)


@blueprint.post("/subscriptions/<subscription_id>/planned-change/removal")
@portal_feature(FEATURE)
def undo_planned_change(subscription_id: str) -> Response:
    """Undo a change that is planned for the end of the period."""
    find_own(subscription_id)
    try:
        schedules.undo_planned_change(g.visitor.customer_id, subscription_id, g.now)
        flash(_("The change was undone. Your plan continues as it is."), "good")
    except BillingError as refusal:
        flash(translated(refusal), "bad")
    return to_subscription(subscription_id)


# --- the page ---------------------------------------------------------------------------------------------------------


def _options(subscription: SubscriptionView, *, refused: bool = False) -> PlanChangeOptions:
    """What the customer may ask for.

    The subscription is loaded anew where the page has not read all of its siblings, and after a change was `refused`: that may
    have waited for another one, which altered the balance that was read with the visitor.
    """
    visitor, features = g.visitor, g.visitor.features.subscription_update
    if subscription.has_all_siblings and not refused:
        owner = Owner(visitor.account_id, visitor.customer_id, subscription.livemode)
        return plan_changes.options_of(subscription.snapshot, owner, features, g.now)
    return plan_changes.options(visitor.customer_id, subscription.id, features, g.now)


def _page(subscription_id: str, given: Any, *, refused: bool = False) -> ChangePage:
    subscription, method = find_own(subscription_id)
    found = _options(subscription, refused=refused)
    flow, customer_id = g.visitor.flow, g.visitor.customer_id
    if flow is not None and flow.items:
        form = ChangeForm.of_flow(found.policy, flow, customer_id)
    else:
        form = ChangeForm.bind(found.policy, given, customer_id)
    refusal = translated(found.refusal) if found.refusal else ""
    mismatch = found.policy.incompatibility()
    page = ChangePage(subscription, method, refusal, form, translated(mismatch) if mismatch else "")
    offered = {offer.product_id for choice in form.items for offer in choice.offers}
    page.products = products.texts(g.visitor.account_id, offered)
    page.lacks_invoice = found.lacks_invoice
    if not refusal and (order := form.order()):
        _fill(page, found, order)
    return page


def _fill(page: ChangePage, found: PlanChangeOptions, order: PlanChangeRequest | None) -> None:
    """Add the quote for a request to the page, with its signed confirmation."""
    if order is None:
        return
    try:
        page.quote = plan_changes.preview(found, g.visitor.customer_id, order, g.now)
    except BillingError as refusal:
        if refusal.code != "no_changes":
            page.problem = page.form.refuse(refusal)
        return
    if order.code_id:
        page.code_words = promotion_codes.display_code(g.visitor.customer_id, order.code_id)
    what = {"order": order_document(order), "attempt": page.form.attempt}
    page.token = confirmation_tokens.issue(QUOTE, page.subscription.id, quote_fingerprint(page.quote), **what)


def _again(subscription_id: str, order: PlanChangeRequest, attempt_id: str, problem: str, status: int) -> Page:
    """The page again, with the same request and its current quote."""
    given = {"attempt": attempt_id}
    for choices, no_price in ((order.items, ""), (order.add_ons, NONE)):
        for key, (price, quantity) in choices.items():
            given |= {f"price-{key}": price or no_price, f"quantity-{key}": str(quantity)}
    if order.code_id:
        given["code"] = sign_code(order.code_id, g.visitor.customer_id)
    return _anew(subscription_id, given, problem, status)


def _anew(subscription_id: str, given: Mapping[str, str], problem: str, status: int) -> Page:
    page = _page(subscription_id, given, refused=True)
    now = _("The current amount is shown below.")
    page.problem = f"{problem} {now}" if page.quote else problem
    return render_template("portal/plan_changes/show.html", page=page), status


# --- after it ---------------------------------------------------------------------------------------------------------


def _done(change: PlanChange) -> str:
    if change.outcome == ChangeOutcome.SCHEDULED:
        return _("Your change is scheduled for the end of the current period.")
    if change.outcome == ChangeOutcome.EXPIRED:
        return _("This change was undone.")
    return _("Your plan has been changed.")
