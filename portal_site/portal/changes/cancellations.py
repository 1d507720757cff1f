"""Cancelling a subscription, in at most two pages, and undoing that."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import gmtime, strftime

from flask import Response as FlaskResponse
from flask import abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.cancellation import cancellations
from portal_site.billing.cancellation.cancellations import CancellationPreview
from portal_site.billing.errors import BillingError, StateChanged
from portal_site.billing.rules.invoicing.invoices import InvoiceLine
from portal_site.billing.rules.portal.portal_features import SubscriptionCancel
from portal_site.billing.rules.subscriptions import forecast
from portal_site.billing.rules.subscriptions.cancellation import CancellationQuote
from portal_site.billing.rules.subscriptions.forecast import NextInvoice
from portal_site.portal import blueprint, flows, payment_outcome, portal_feature
from portal_site.portal.changes import confirmation_tokens
from portal_site.portal.changes.cancellation_forms import ReasonForm
from portal_site.portal.changes.confirmation_tokens import SignedConfirmation
from portal_site.portal.changes.quote_pages import QuotePage
from portal_site.portal.reads import invoices
from portal_site.portal.subscriptions import find_own, to_subscription
from portal_site.web.input.forms import translated
from portal_site.web.rendering import filters

FEATURE = "subscription_cancel"
ENDING = "cancellation"
Page = str | tuple[str, int]


@dataclass
class EndingPage(QuotePage):
    """The effect of a cancellation, and the signed confirmation of exactly that."""

    ending: CancellationQuote | None
    following: NextInvoice | None
    token: str
    owed: bool = False
    problem: str = ""
    form: ReasonForm | None = None  # None if no reason is asked for

    @property
    def quoted(self) -> Sequence[InvoiceLine]:
        """The lines of the final invoice."""
        return self.ending.invoice.lines if self.ending else ()


@blueprint.get("/subscriptions/<subscription_id>/cancellation")
@portal_feature(FEATURE)
def show_cancellation(subscription_id: str) -> Page:
    """The effect of cancelling, with the question for the reason if it is asked, and the button."""
    return ending_page(subscription_id, form=_reason_form() if _is_asked(subscription_id) else None)


@blueprint.post("/subscriptions/<subscription_id>/cancellation/reason")
@portal_feature(FEATURE)
def tell_reason(subscription_id: str) -> Response | Page:
    """Record the reason, if one is given, then show a matching offer, or else cancel on the confirmed terms."""
    find_own(subscription_id)
    if not _is_asked(subscription_id):
        abort(404)
    form = _reason_form()
    if not form.validate():
        return ending_page(subscription_id, status=422, form=form)
    reason = form.given(_own_reasons())
    attempt = cancellations.start_attempt(g.visitor.customer_id, subscription_id, g.visitor.features, reason, g.now)
    if not attempt.is_made(g.now) and (yes := confirmation_tokens.read(ENDING, subscription_id)):
        return _cancel(subscription_id, yes, attempt.id)
    there = "portal.show_offer" if attempt.is_made(g.now) else "portal.show_cancellation_end"
    return redirect(url_for(there, subscription_id=subscription_id, attempt=attempt.id), 303)


@blueprint.get("/subscriptions/<subscription_id>/cancellation/end")
@portal_feature(FEATURE)
def show_cancellation_end(subscription_id: str) -> Page:
    """The effect of cancelling, with the button that confirms it."""
    return ending_page(subscription_id, request.args.get("attempt", ""))


@blueprint.post("/subscriptions/<subscription_id>/cancellation")
@portal_feature(FEATURE)
def cancel_subscription(subscription_id: str) -> Response | Page:
    """Make exactly the confirmed change, or show the current quote if it has changed."""
    find_own(subscription_id)
    yes = confirmation_tokens.read(ENDING, subscription_id)
    if yes is None:
        return ending_page(subscription_id, "", _("This page has expired. Please check it again."), 409)
    return _cancel(subscription_id, yes, yes.what["attempt"])


def _cancel(subscription_id: str, yes: SignedConfirmation, attempt_id: str) -> Response | Page:
    ending = _preview(subscription_id).ending
    if ending is not None and (ending.immediate or ending.drops):
        # A payment of a pending update that awaits authentication is canceled.
        payment_outcome.cancel_awaiting(subscription_id)
    try:
        done = cancellations.cancel(
            g.visitor.customer_id, subscription_id, _features(), yes.confirmation, g.now, attempt_id
        )
    except StateChanged as changed:
        return ending_page(subscription_id, attempt_id, translated(changed), 409)
    if done.immediate:
        flash(_("Your cancellation is confirmed. Your subscription has ended."), "good")
        there = flows.completed(to_subscription(subscription_id))
        if done.invoice_id:  # a final invoice with an amount due is collected at once
            return payment_outcome.collect(payment_outcome.of_final_invoice(subscription_id, done.invoice_id))
        return there
    flash(
        _("Your cancellation is confirmed. Your subscription ends on %(date)s.", date=filters.date(done.ends_at)),
        "good",
    )
    return flows.completed(to_subscription(subscription_id))


@blueprint.get("/subscriptions/<subscription_id>/cancellation/invoices/<invoice_id>/return")
@portal_feature(FEATURE)
def finish_final_payment(subscription_id: str, invoice_id: str) -> Response:
    """Return from the authentication of the final invoice's payment. It writes although it is a GET: a bank can only redirect."""
    invoice = invoices.find(g.visitor.scope, invoice_id)
    if invoice is None or invoice.subscription_id != subscription_id:
        abort(404)
    return payment_outcome.finish(payment_outcome.of_final_invoice(subscription_id, invoice_id))


@blueprint.post("/subscriptions/<subscription_id>/cancellation/removal")
@portal_feature(FEATURE)
def keep_subscription(subscription_id: str) -> Response:
    """Undo a scheduled cancellation."""
    find_own(subscription_id)
    try:
        cancellations.keep(g.visitor.customer_id, subscription_id, g.now)
        flash(_("Your subscription continues as before."), "good")
    except BillingError as refusal:
        flash(translated(refusal), "bad")
    return to_subscription(subscription_id)


@blueprint.get("/subscriptions/<subscription_id>/cancellation/acknowledgement")
@portal_feature(FEATURE)
def download_acknowledgement(subscription_id: str) -> FlaskResponse:
    """The confirmation of receipt as a file: what was cancelled, when to the second, and when it takes effect."""
    subscription, _method = find_own(subscription_id)
    if not (_features().acknowledgement and subscription.canceled_at):
        abort(404)
    text = render_template("portal/cancellations/acknowledgement.txt", subscription=subscription)
    name = f"cancellation-{strftime('%Y-%m-%d', gmtime(subscription.canceled_at))}.txt"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return FlaskResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


def _features() -> SubscriptionCancel:
    features: SubscriptionCancel = g.visitor.features.subscription_cancel
    return features


def _own_reasons() -> dict[str, str]:
    return cancellations.feedback_options(g.visitor.account_id, _features().cancellation_reason.feedback_options)


def _reason_form() -> ReasonForm:
    return ReasonForm.make(_features().cancellation_reason, _own_reasons(), g.visitor.session_id)


def _is_asked(subscription_id: str) -> bool:
    """Whether a reason is asked for: there are reasons or possible offers, and cancelling is possible."""
    wanted = _features().cancellation_reason.asked or _features().retention.all_rules
    return bool(wanted) and _preview(subscription_id).refusal is None


def _preview(subscription_id: str) -> CancellationPreview:
    return cancellations.preview(g.visitor.customer_id, subscription_id, _features(), g.now)


def ending_page(
    subscription_id: str, attempt_id: str = "", problem: str = "", status: int = 200, form: ReasonForm | None = None
) -> Page:
    """The page with the effect of cancelling, below an error message if there is one."""
    subscription, _method = find_own(subscription_id)
    found = _preview(subscription_id)
    if found.ending is None:
        assert found.refusal
        page = EndingPage(subscription, None, None, "", problem=problem or translated(found.refusal))
    else:
        ends_at = found.ending.ends_at
        following = None if found.ending.immediate else forecast.next_invoice(found.snapshot.until(ends_at))
        shown = cancellations.cancellation_fingerprint(found.ending)
        token = confirmation_tokens.issue(ENDING, subscription_id, shown, attempt=attempt_id)
        owed = found.snapshot.has_open_invoice
        page = EndingPage(subscription, found.ending, following, token, owed, problem, form)
    return render_template("portal/cancellations/end.html", page=page), status
