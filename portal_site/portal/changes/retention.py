"""The retention offer: one page with its effect, and one click to accept it or to continue cancelling."""

from flask import flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.cancellation import retention
from portal_site.billing.errors import StateChanged
from portal_site.portal import blueprint, flows, portal_feature
from portal_site.portal.changes import confirmation_tokens
from portal_site.portal.changes.cancellations import FEATURE, Page, ending_page
from portal_site.portal.subscriptions import find_own, to_subscription
from portal_site.web.input.forms import translated

OFFER = "retention-offer"


@blueprint.get("/subscriptions/<subscription_id>/cancellation/offer")
@portal_feature(FEATURE)
def show_offer(subscription_id: str) -> Response | Page:
    """The offer of this cancellation attempt. One that can no longer be accepted is skipped."""
    return _offer_page(subscription_id, request.args.get("attempt", ""))


@blueprint.post("/subscriptions/<subscription_id>/cancellation/offer/acceptance")
@portal_feature(FEATURE)
def accept_offer(subscription_id: str) -> Response | Page:
    """Accept the offer on the confirmed terms. Nothing is cancelled."""
    find_own(subscription_id)
    yes = confirmation_tokens.read(OFFER, subscription_id)
    if yes is None:
        return ending_page(subscription_id, "", _("This page has expired. Please check it again."), 409)
    attempt_id = yes.what["attempt"]
    try:
        retention.accept(
            g.visitor.customer_id, subscription_id, attempt_id, g.visitor.features, yes.confirmation, g.now
        )
    except StateChanged as changed:
        return _offer_page(subscription_id, attempt_id, translated(changed), 409)
    flash(_("Thank you for staying. Your subscription continues."), "good")
    return flows.completed(to_subscription(subscription_id))


@blueprint.post("/subscriptions/<subscription_id>/cancellation/offer/refusal")
@portal_feature(FEATURE)
def decline_offer(subscription_id: str) -> Response:
    """Decline the offer, and continue with the effect of cancelling."""
    find_own(subscription_id)
    attempt_id = request.form.get("attempt", "")
    retention.decline(g.visitor.customer_id, subscription_id, attempt_id)
    return _to_end(subscription_id, attempt_id)


def _offer_page(subscription_id: str, attempt_id: str, problem: str = "", status: int = 200) -> Response | Page:
    subscription, _method = find_own(subscription_id)
    proposal = retention.find(g.visitor.customer_id, subscription_id, attempt_id, g.visitor.features, g.now)
    if proposal is None:
        return (
            ending_page(subscription_id, attempt_id, problem, status)
            if problem
            else _to_end(subscription_id, attempt_id)
        )
    token = confirmation_tokens.issue(OFFER, subscription_id, proposal.fingerprint, attempt=attempt_id)
    page = render_template(
        "portal/retention/offer.html",
        subscription=subscription, proposal=proposal, attempt_id=attempt_id, token=token, refusal=problem,
    )  # fmt: skip
    return page, status


def _to_end(subscription_id: str, attempt_id: str) -> Response:
    there = url_for("portal.show_cancellation_end", subscription_id=subscription_id, attempt=attempt_id)
    return redirect(there, 303)
