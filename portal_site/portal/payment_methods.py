"""Payment methods: the section, adding one on the gateway's page, the default, and removal."""

import logging

from flask import abort, current_app, flash, g, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.customers import payment_methods
from portal_site.billing.errors import BillingError, GatewayUnavailable, NotFound
from portal_site.billing.rules.portal.flows import INVOICE_PAYMENT, PAYMENT_METHOD_UPDATE
from portal_site.portal import blueprint, flows, payment_outcome, portal_feature
from portal_site.portal.reads import invoices, overview
from portal_site.portal.reads.invoices import InvoiceSummary
from portal_site.portal.reads.payment_methods import PaymentMethodView
from portal_site.portal.wording import payment_methods as wording
from portal_site.web import addresses, urls
from portal_site.web.input.forms import translated

log = logging.getLogger("portal_site")
ADDED = "added_methods"  # of the browser's cookie


@blueprint.get("/payment-methods")
@portal_feature("payment_method_update")
def show_payment_methods() -> str:
    """The page with the section."""
    return render_template("portal/payment_methods/index.html", page=overview.find(g.visitor, g.now))


@blueprint.get("/payment-methods/list")
@portal_feature("payment_method_update")
def show_payment_method_list() -> str:
    """The section as a fragment."""
    return render_template("portal/payment_methods/_list.html", page=overview.find(g.visitor, g.now))


@blueprint.get("/payment-methods/new")
@portal_feature("payment_method_update")
def new_payment_method() -> str:
    """The page for adding one and nothing else."""
    methods = overview.find(g.visitor, g.now).methods
    default = next((method for method in methods if method.is_default), None)
    return render_template("portal/payment_methods/new.html", method=default)


@blueprint.post("/payment-methods")
def add_payment_method() -> Response:
    """Redirect to the gateway's page, which alone receives card data. `to` is the page to return to.

    Without the section for payment methods, a customer can still add one to pay an open invoice.
    """
    if not (_are_shown() or invoices.is_anything_owed(g.visitor.scope)):
        abort(404)
    to = urls.page(request.form.get("to", ""), "portal")

    def return_url(setup_id: str) -> str:
        return addresses.here("portal.finish_payment_method", setup_id=setup_id, to=to)

    try:
        address = payment_methods.begin_adding(
            current_app.extensions["gateways"], g.visitor.customer_id, g.now, return_url
        )
    except BillingError as refusal:
        _tell(refusal)
        return redirect(to or _section(), 303)
    return payment_outcome.lead_away(address)


def is_for_one_payment() -> bool:
    """Whether what is added here is for one invoice only: its link may have been forwarded to somebody else, who pays it."""
    flow = g.visitor.flow
    return bool(g.visitor.by_email_link and flow is not None and flow.type == INVOICE_PAYMENT)


def remember_for_payment(method_id: str) -> None:
    """Let this browser choose a method that it has added for one payment."""
    if is_for_one_payment():
        session[ADDED] = [*session.get(ADDED, ()), method_id]


def is_offered(method_id: str) -> bool:
    """Whether a payment can be made with this method. After a link in an e-mail, which others may have, only with the one that is
    charged anyway, and those that were added since.
    """
    is_usual = method_id == g.visitor.default_payment_method_id
    return not g.visitor.by_email_link or is_usual or method_id in session.get(ADDED, ())


def _tell(refusal: BillingError) -> None:
    if isinstance(refusal, GatewayUnavailable):
        log.error("the payment provider does not answer: %s", refusal)
    flash(translated(refusal), "bad")


def _are_shown() -> bool:
    return bool(g.visitor.features.payment_method_update.enabled)


@blueprint.app_template_global()
def other_methods_url(invoice: InvoiceSummary | None) -> str:
    """Where another payment method can be chosen or added for this invoice: its payment page if there is no section for them."""
    if invoice is None or (_are_shown() and g.visitor.flow is None):
        return _section()
    return url_for("portal.confirm_payment", invoice_id=invoice.id)


def _section() -> str:
    return url_for("portal.show_payment_methods" if _are_shown() else "portal.show_overview")


@blueprint.get("/payment-methods/setups/<setup_id>")
def finish_payment_method(setup_id: str) -> Response:
    """Return from the gateway. It writes although it is a GET: a gateway can only redirect. Repeating it has no effect."""
    gateways = current_app.extensions["gateways"]
    there = urls.page(request.args.get("to", ""), "portal") or _section()
    try:
        method = payment_methods.finish_adding(
            gateways, g.visitor.customer_id, setup_id, g.now, is_default=not is_for_one_payment()
        )
    except NotFound:
        abort(404)
    except BillingError as refusal:
        _tell(refusal)
        return redirect(there, 303)
    if method is None:
        flash(_("No payment method was added."), "note")
    else:
        remember_for_payment(method.id)
        flash(wording.added_for_payment(method) if is_for_one_payment() else wording.added(method), "good")
        if g.visitor.flow is not None and g.visitor.flow.type == PAYMENT_METHOD_UPDATE:
            return flows.completed(redirect(there, 303))
    return redirect(there, 303)


@blueprint.post("/payment-methods/<method_id>/default")
@portal_feature("payment_method_update")
def make_default_payment_method(method_id: str) -> Response:
    """Make this payment method the default."""
    try:
        method = payment_methods.make_default(g.visitor.customer_id, method_id, g.now)
        flash(wording.made_default(method), "good")
    except NotFound:
        abort(404)
    except BillingError as refusal:
        flash(translated(refusal), "bad")
    return redirect(url_for("portal.show_payment_methods"), 303)


@blueprint.get("/payment-methods/<method_id>/removal")
@portal_feature("payment_method_update")
def confirm_removal(method_id: str) -> str:
    """Ask before a payment method is removed."""
    return render_template("portal/payment_methods/removal.html", method=_own_method(method_id), refusal=None)


@blueprint.post("/payment-methods/<method_id>/removal")
@portal_feature("payment_method_update")
def remove_payment_method(method_id: str) -> Response | tuple[str, int]:
    """Remove the payment method, or show why it is needed."""
    method = _own_method(method_id)
    try:
        payment_methods.remove(current_app.extensions["gateways"], g.visitor.customer_id, method_id, g.now)
    except BillingError as refusal:
        page = render_template("portal/payment_methods/removal.html", method=method, refusal=translated(refusal))
        return page, 422
    flash(wording.removed(method), "good")
    return redirect(url_for("portal.show_payment_methods"), 303)


def _own_method(method_id: str) -> PaymentMethodView:
    for method in overview.find(g.visitor, g.now).methods:
        if method.id == method_id:
            return method
    abort(404)
