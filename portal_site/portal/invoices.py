"""Invoices: the history, one invoice, and paying one that is open."""

from flask import abort, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.errors import BillingError, NotFound, StateChanged
from portal_site.portal import blueprint, invoice_search, payment_outcome, portal_feature, wording
from portal_site.portal.payment_methods import is_offered
from portal_site.portal.reads import invoice_history, invoices, overview
from portal_site.portal.reads.invoice_history import InvoiceFilter
from portal_site.portal.reads.invoices import InvoicePage, InvoiceView
from portal_site.web.input.forms import translated

JUST_PAID = 60 * 60  # seconds


@blueprint.get("/invoices")
@portal_feature("invoice_history")
def show_invoices() -> str:
    """A page of the history, newest first: all invoices, a year's, unpaid ones, or those with a number or an amount."""
    wanted, history = _history()
    return render_template(
        "portal/invoices/index.html",
        history=history,
        wanted=wanted,
        years=invoice_history.years(g.visitor.scope, g.visitor.timezone),
        after=request.args.get("after"),
    )


@blueprint.get("/invoices/rows")
@portal_feature("invoice_history")
def show_invoice_rows() -> str:
    """The next rows of the history as a fragment."""
    wanted, history = _history()
    return render_template("portal/invoices/_rows.html", history=history, wanted=wanted, more=True)


def _history() -> tuple[InvoiceFilter, InvoicePage]:
    wanted = invoice_search.wanted(request.args)
    found = invoice_history.find(g.visitor.scope, wanted, g.visitor.timezone, request.args.get("after"))
    if found is None:
        abort(404)
    return wanted, found


@blueprint.get("/invoices/<invoice_id>")
def show_invoice(invoice_id: str) -> str:
    """One invoice, fit for printing."""
    return render_template("portal/invoices/show.html", invoice=shown_invoice(invoice_id))


@blueprint.get("/invoices/<invoice_id>/payment")
def confirm_payment(invoice_id: str) -> str | Response:
    """What will be charged to which payment method, before it is."""
    invoice = shown_invoice(invoice_id)
    if not invoice.owed or invoice.processing:
        return redirect(url_for("portal.show_invoice", invoice_id=invoice_id), 303)
    return _payment_page(invoice)


@blueprint.post("/invoices/<invoice_id>/payment")
def pay_invoice(invoice_id: str) -> Response | tuple[str, int]:
    """Pay the invoice, if its amount is still the one that was shown."""
    invoice = _own_invoice(invoice_id)
    shown, method_id = request.form.get("amount", ""), request.form.get("payment_method", "")
    amount = int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 18 else -1
    try:
        if not is_offered(method_id):
            raise NotFound(_("Choose one of your payment methods."))
        return payment_outcome.pay(payment_outcome.of_invoice(invoice_id), method_id, amount)
    except StateChanged as change:
        changed = _own_invoice(invoice_id)
        if is_hidden(changed):  # another click has paid it
            return redirect(url_for("portal.show_overview"), 303)
        return _payment_page(changed, translated(change)), 409
    except NotFound:
        return _payment_page(invoice, _("Choose one of your payment methods.")), 422
    except BillingError as refusal:
        return _payment_page(invoice, translated(refusal)), 422


@blueprint.get("/invoices/<invoice_id>/paid")
def show_paid(invoice_id: str) -> str | Response:
    """The page after a payment. Without the history it is available for an hour."""
    invoice = _own_invoice(invoice_id)
    fresh = invoice.paid_at is not None and g.now - invoice.paid_at < JUST_PAID
    if not (invoice.amount_paid and (fresh or g.visitor.features.invoice_history.enabled)):
        return redirect(url_for("portal.show_overview"), 303)
    found = overview.find(g.visitor, g.now).subscriptions if not g.visitor.by_email_link else []
    subscription = next((each for each in found if each.id == invoice.subscription_id), None)
    what = request.args.get("what", "invoice")
    return render_template("portal/invoices/paid.html", invoice=invoice, subscription=subscription, what=what)


@blueprint.get("/invoices/<invoice_id>/payment/return")
def finish_payment(invoice_id: str) -> Response:
    """Return from authentication, or check a payment with an unknown outcome again. It shows nothing of the invoice."""
    _own_invoice(invoice_id)
    return payment_outcome.finish(payment_outcome.of_invoice(invoice_id))


def _payment_page(invoice: InvoiceView, refusal: str | None = None) -> str:
    found = overview.find(g.visitor, g.now)
    own = (one for one in found.subscriptions if one.id == invoice.subscription_id)
    others = [
        other for other in found.open if other.subscription_id == invoice.subscription_id and other.id != invoice.id
    ]
    return render_template(
        "portal/invoices/payment.html",
        invoice=invoice,
        methods=[method for method in found.methods if is_offered(method.id)],
        brings_about=wording.invoices.brings_about(next(own, None), len(others), g.now),
        return_here=url_for("portal.confirm_payment", invoice_id=invoice.id),
        refusal=refusal,
    )


def _own_invoice(invoice_id: str) -> InvoiceView:
    return invoices.find(g.visitor.scope, invoice_id) or abort(404)


def shown_invoice(invoice_id: str) -> InvoiceView:
    """A customer's own invoice that has a page; any other is answered with 404."""
    invoice = _own_invoice(invoice_id)
    return abort(404) if is_hidden(invoice) else invoice


def is_hidden(invoice: InvoiceView) -> bool:
    """Without the history an invoice has a page for as long as it has to be paid."""
    return not (g.visitor.features.invoice_history.enabled or invoice.owed)
