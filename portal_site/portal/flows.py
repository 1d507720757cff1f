"""A visit for one thing only: other pages lead back to it, and once it is done, to how it ends."""

from typing import NamedTuple

from flask import g, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.portal_access import flows
from portal_site.billing.rules.portal import flows as rules
from portal_site.billing.rules.portal.flows import Flow
from portal_site.portal import blueprint
from portal_site.portal.reads import overview
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.reads.subscriptions import SubscriptionView
from portal_site.portal.wording import results
from portal_site.web import htmx, urls

_ALWAYS = frozenset({"log_out", "show_flow_end"})
_PAYING = frozenset(
    {
        "add_payment_method", "finish_payment_method", "confirm_payment", "pay_invoice", "finish_payment", "show_paid",
        "show_invoice", "download_invoice",
    }
)  # fmt: skip
_CHANGE = _PAYING | {
    "show_plan_change", "show_plan_change_quote", "change_plan", "apply_promotion_code", "pay_plan_change",
    "finish_plan_change", "withdraw_plan_change",
}  # fmt: skip
_PAUSE = _PAYING | {"show_pause", "pause_subscription"}
_CANCEL = {
    "show_cancellation", "tell_reason", "show_cancellation_end", "cancel_subscription", "show_offer", "accept_offer",
    "decline_offer", "finish_final_payment",
}  # fmt: skip
_CUSTOMER = frozenset(
    {
        "show_billing_information", "edit_billing_information", "update_billing_information", "choose_country",
        "show_address_fields", "new_tax_id", "add_tax_id", "confirm_tax_id_removal", "remove_tax_id",
    }
)  # fmt: skip
_DONE = _PAYING | {"finish_final_payment", "download_acknowledgement"}  # the routes that a finished flow still has
# The routes of each type, without the blueprint's name. An offer to who cancels may be a pause or another plan.
ROUTES = {
    rules.PAYMENT_METHOD_UPDATE: frozenset({"new_payment_method", "add_payment_method", "finish_payment_method"}),
    rules.CUSTOMER_UPDATE: _CUSTOMER,
    rules.SUBSCRIPTION_CANCEL: _CANCEL | _PAUSE | _CHANGE,
    rules.SUBSCRIPTION_PAUSE: _PAUSE,
    rules.SUBSCRIPTION_UPDATE: _CHANGE,
    rules.SUBSCRIPTION_UPDATE_CONFIRM: _CHANGE - {"apply_promotion_code"},
    rules.INVOICE_PAYMENT: _PAYING,
}
_START = {
    rules.PAYMENT_METHOD_UPDATE: "new_payment_method",
    rules.CUSTOMER_UPDATE: "edit_billing_information",
    rules.SUBSCRIPTION_CANCEL: "show_cancellation",
    rules.SUBSCRIPTION_PAUSE: "show_pause",
    rules.SUBSCRIPTION_UPDATE: "show_plan_change",
    rules.SUBSCRIPTION_UPDATE_CONFIRM: "show_plan_change",
    rules.INVOICE_PAYMENT: "confirm_payment",
}


def guard() -> Response | None:
    """Where a request leads that is not for a page of the visitor's flow; None for one that is, and without a flow."""
    flow = g.visitor.flow
    if flow is None or _route() in _ALWAYS:
        return None
    if g.visitor.flow_completed_at is not None:
        return None if _route() in _DONE and _is_about(flow) else _lead(url_for("portal.show_flow_end"))
    routes = ROUTES[flow.type]
    if g.visitor.by_email_link and flow.type == rules.SUBSCRIPTION_CANCEL:
        routes = frozenset(_CANCEL)  # it is for cancelling only
    return None if _route() in routes and _is_about(flow) else _lead(start_of(flow))


def _is_about(flow: Flow) -> bool:
    """Whether a page is about the flow's own subscription or invoice, or about neither."""
    named = request.view_args or {}
    is_own_invoice = flow.invoice_id is None or named.get("invoice_id") in (None, flow.invoice_id)
    return is_own_invoice and named.get("subscription_id") in (None, flow.subscription_id)


def start_of(flow: Flow) -> str:
    """The URL of the flow's first page."""
    if flow.subscription_id is not None:
        return url_for(f"portal.{_START[flow.type]}", subscription_id=flow.subscription_id)
    if flow.invoice_id is not None:
        return url_for(f"portal.{_START[flow.type]}", invoice_id=flow.invoice_id)
    allowed = g.visitor.features.customer_update.allowed_updates
    if flow.type == rules.CUSTOMER_UPDATE and ("tax_id" in allowed or not allowed):
        return url_for("portal.show_billing_information")  # the form has no tax IDs, and there is none without fields
    return url_for(f"portal.{_START[flow.type]}")


def completed(there: Response, *, shows_payment: bool = False) -> Response:
    """The redirect after something was done: `there`, or how the visitor's flow ends, if this completes it.

    `shows_payment` says that `there` is the page that says what was paid. Only a flow that ends at the merchant's skips it.
    """
    flow = g.visitor.flow
    if flow is None:
        return there
    flows.complete(g.visitor.account_id, g.visitor.session_id, clock.now())
    if shows_payment and flow.completion.type != rules.REDIRECT:
        return there
    is_home = flow.completion.type == rules.PORTAL_HOMEPAGE
    return redirect(url_for("portal.show_overview" if is_home else "portal.show_flow_end"), 303)


@blueprint.get("/flow/end")
def show_flow_end() -> Response:
    """The confirmation of a completed flow. It leads on to the merchant's page, where the flow ends there.

    That is done by the page and not by a redirect: browsers apply `form-action` to the redirects after a form, too.
    """
    flow = g.visitor.flow
    if flow is None:
        return redirect(url_for("portal.show_overview"), 303)
    if g.visitor.flow_completed_at is None:
        return redirect(start_of(flow), 303)
    # The page says itself what was done, as often as it is loaded.
    session["_flashes"] = [message for message in session.pop("_flashes", []) if message[0] != "good"]
    own = overview.find_subscription(g.visitor, flow.subscription_id, g.now) if flow.subscription_id else None
    subscription, method = own or (None, _default_method())
    page = make_response(render_template("portal/flows/end.html", flow=flow, subscription=subscription, method=method))
    is_owed = subscription is not None and subscription.open_invoices
    if flow.completion.return_url and not is_owed:  # the page has what is left to pay
        page.headers["Refresh"] = f"0; url={iri_to_uri(flow.completion.return_url)}"
    return page


def _default_method() -> PaymentMethodView | None:
    return next((each for each in overview.find(g.visitor, g.now).methods if each.is_default), None)


# --- what pages show of it --------------------------------------------------------------------------------------------


class Link(NamedTuple):
    """A link that leaves a page without doing anything: its URL, empty if there is none, and its text."""

    address: str
    words: str


@blueprint.app_template_global()
def parent_link(words: str, address: str) -> Link:
    """The link at the top of a page. In a flow there is none but to its first page."""
    flow = g.visitor.flow
    if flow is None:
        return Link(address or url_for("portal.show_overview"), words or _("Overview"))
    start = start_of(flow)
    is_inside = g.visitor.flow_completed_at is None and urls.root() + request.path != start
    return Link(start if is_inside else "", _("Back"))


@blueprint.app_template_global()
def cancel_link(words: str, address: str) -> Link:
    """A link that keeps everything as it is. In a flow it leads to the merchant, if a return URL is known."""
    if g.visitor.flow is None:
        return Link(address, words)
    return Link(g.visitor.safe_return_url or "", words)


@blueprint.app_template_global()
def subscription_link(subscription: SubscriptionView) -> Link:
    """The button of a page that has nothing to do."""
    there = url_for("portal.show_subscription", subscription_id=subscription.id)
    if g.visitor.flow is None:
        return Link(there, _("Back to the subscription"))
    return Link(g.visitor.safe_return_url or "", results.back_to_business(g.visitor))


def _route() -> str:
    return (request.endpoint or "").removeprefix(f"{blueprint.name}.")


def _lead(address: str) -> Response:
    return htmx.lead_to(address) if htmx.is_fragment_request() else redirect(address, 303)
