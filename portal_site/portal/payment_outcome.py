"""What follows after a payment: the page and the message for each outcome, for everything that is paid in the portal.

An outcome that pages show anyway, such as a processing debit or the reason of a failed payment, is not repeated
in a message.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import current_app, flash, g, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Response

from portal_site.billing.errors import StateChanged
from portal_site.billing.models import PaymentAttempt
from portal_site.billing.payments import collection
from portal_site.billing.rules.portal.flows import INVOICE_PAYMENT
from portal_site.billing.rules.subscriptions.statuses import AttemptStatus
from portal_site.portal import flows
from portal_site.portal.reads import invoices
from portal_site.web import addresses
from portal_site.web.rendering import decline_messages

PLAN_CHANGE = "plan_change"


@dataclass(frozen=True)
class Payment:
    """A payment: its invoice, the URL to return to from authentication, and the page for each outcome."""

    invoice_id: str
    return_url: str
    outcome_url: str
    what: str  # the key of what was paid for, for the page after the payment
    retry_url: str = ""  # the page after a decline, if it is not the one that shows the outcome
    no_method: str = ""  # the message if there is no payment method
    says_why: bool = True  # whether the page after a decline shows the reason


def of_invoice(invoice_id: str) -> Payment:
    """The payment of an invoice. Without the history, a paid invoice has no page."""
    invoice = url_for("portal.show_invoice", invoice_id=invoice_id)
    return Payment(
        invoice_id,
        addresses.here("portal.finish_payment", invoice_id=invoice_id),
        invoice if g.visitor.features.invoice_history.enabled else url_for("portal.show_overview"),
        "invoice",
        retry_url=url_for("portal.confirm_payment", invoice_id=invoice_id),
        says_why=False,
    )


def of_plan_change(subscription_id: str, invoice_id: str) -> Payment:
    """The payment of a pending update."""
    return Payment(
        invoice_id,
        addresses.here("portal.finish_plan_change", subscription_id=subscription_id),
        _subscription(subscription_id),
        PLAN_CHANGE,
        no_method=_("Add a payment method, then pay for the change."),
    )


def of_resumption(subscription_id: str, invoice_id: str) -> Payment:
    """The payment of a resumption."""
    return Payment(
        invoice_id,
        addresses.here("portal.finish_plan_change", subscription_id=subscription_id),
        _subscription(subscription_id),
        "resumption",
        no_method=_("Add a payment method, then pay for it."),
    )


def of_first_invoice(subscription_id: str, invoice_id: str) -> Payment:
    """The payment of the first invoice of a subscription."""
    return Payment(
        invoice_id,
        addresses.here("portal.finish_first_payment", subscription_id=subscription_id),
        _subscription(subscription_id),
        "first_invoice",
        no_method=_("Add a payment method, then pay for it."),
    )


def of_final_invoice(subscription_id: str, invoice_id: str) -> Payment:
    """The payment of the final invoice of a subscription that has just ended."""
    back = {"subscription_id": subscription_id, "invoice_id": invoice_id}
    return Payment(
        invoice_id,
        addresses.here("portal.finish_final_payment", **back),
        _subscription(subscription_id),
        "final_invoice",
        no_method=_("Add a payment method, then pay your last invoice."),
    )


def _subscription(subscription_id: str) -> str:
    return url_for("portal.show_subscription", subscription_id=subscription_id)


def collect(payment: Payment) -> Response:
    """Charge the subscription's payment method, and redirect to the page for the outcome."""
    gateways = current_app.extensions["gateways"]
    try:
        attempt = collection.collect(gateways, g.visitor.customer_id, payment.invoice_id, g.now, payment.return_url)
    except StateChanged:  # another request is paying it
        return redirect(payment.outcome_url, 303)
    if attempt is None:
        invoice = invoices.find(g.visitor.scope, payment.invoice_id)
        if invoice is not None and invoice.owed:
            flash(payment.no_method, "bad")
        elif invoice is not None and invoice.amount_paid:  # a second click
            return _to_done(payment)
        return redirect(payment.outcome_url, 303)
    return lead(payment, attempt)


def already_paid(payment: Payment) -> Response | None:
    """Redirect a second click to the page after the payment, if there was one."""
    invoice = invoices.find(g.visitor.scope, payment.invoice_id) if payment.invoice_id else None
    return _to_done(payment) if invoice is not None and invoice.amount_paid else None


def pay(payment: Payment, method_id: str, amount: int) -> Response:
    """Pay exactly the shown amount with the chosen payment method. Raises BillingError."""
    gateways, customer_id = current_app.extensions["gateways"], g.visitor.customer_id
    attempt = collection.pay_invoice(
        gateways, customer_id, payment.invoice_id, method_id, amount, g.now, payment.return_url
    )
    return lead(payment, attempt)


def finish(payment: Payment) -> Response:
    """Ask the provider for the outcome: the customer has returned from authentication, or checks again."""
    gateways, customer_id = current_app.extensions["gateways"], g.visitor.customer_id
    attempt = collection.resolve_payment(gateways, customer_id, payment.invoice_id, g.now, payment.return_url)
    return redirect(payment.outcome_url, 303) if attempt is None else lead(payment, attempt, came_back=True)


def cancel_awaiting(subscription_id: str) -> None:
    """Cancel a payment for a change of this subscription that awaits authentication."""
    gateways, customer_id = current_app.extensions["gateways"], g.visitor.customer_id
    back = addresses.here("portal.show_subscription", subscription_id=subscription_id)
    collection.cancel_awaiting_payments(gateways, customer_id, subscription_id, g.now, back)


def lead(payment: Payment, attempt: PaymentAttempt, came_back: bool = False) -> Response:
    """Redirect to the page for the outcome, with a message."""
    if attempt.status == AttemptStatus.REQUIRES_ACTION and attempt.next_action_url and not came_back:
        return lead_away(attempt.next_action_url)
    if attempt.status == AttemptStatus.DECLINED:
        flash(_("The payment failed.") if payment.says_why else decline_messages.message(attempt.decline_code), "bad")
        return redirect(payment.retry_url or payment.outcome_url, 303)
    if attempt.status == AttemptStatus.SUCCEEDED:
        return _to_done(payment)
    return redirect(payment.outcome_url, 303)


def _to_done(payment: Payment) -> Response:
    there = redirect(url_for("portal.show_paid", invoice_id=payment.invoice_id, what=payment.what), 303)
    flow = g.visitor.flow
    # An invoice that had to be paid first is not what another flow is for.
    is_for_this = payment.what == PLAN_CHANGE or (flow is not None and flow.type == INVOICE_PAYMENT)
    return flows.completed(there, shows_payment=True) if is_for_this else there


def lead_away(address: str) -> Response:
    """Lead to a page of a payment provider, after a form.

    To another host a page leads on, and not a redirect: browsers apply `form-action` to the redirects after a form, too.
    """
    if urlsplit(address).netloc == request.host:
        return redirect(address, 303)
    page = make_response(render_template("portal/payment_methods/away.html", address=address))
    page.headers["Refresh"] = f"0; url={iri_to_uri(address)}"
    return page
