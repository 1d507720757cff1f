"""The page of an invoice, and giving back what was paid of it."""

from typing import Any

from flask import abort, current_app, flash, redirect, render_template
from markupsafe import Markup

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.billing.payments import refunds
from portal_site.billing.payments.refunds import Refundable
from portal_site.dashboard import blueprint, forms, needs, place
from portal_site.dashboard.customers import one
from portal_site.dashboard.customers.pages import CUSTOMERS
from portal_site.dashboard.invoices import words
from portal_site.dashboard.invoices.forms import BALANCE, RefundForm, in_words
from portal_site.dashboard.modes import LIVE
from portal_site.dashboard.navigation import account_url
from portal_site.dashboard.reads.invoice_money import MONEY
from portal_site.mail import rendering
from portal_site.mail.rendering import Reader
from portal_site.portal import wording
from portal_site.portal.reads import invoices
from portal_site.portal.reads.invoices import InvoiceView
from portal_site.staff.roles import Right
from portal_site.web.rendering import i18n
from portal_site.web.rendering.filters import date, money

INVOICE = f"{CUSTOMERS}/<customer_id>/invoices/<invoice_id>"


@blueprint.get(INVOICE)
@needs(Right.VIEW_CUSTOMERS)
def show_invoice(account_id: str, mode: str, customer_id: str, invoice_id: str) -> str:
    """An invoice: its lines, and what was paid, given back and disputed of it."""
    customer, invoice = _find(account_id, mode, customer_id, invoice_id)
    left = refunds.refundable(customer["id"], invoice.id)
    return _page(mode, customer, invoice, left, RefundForm().offer(left, invoice.currency))


@blueprint.post(f"{INVOICE}/refunds")
@needs(Right.EDIT_CUSTOMERS)
def refund_invoice(account_id: str, mode: str, customer_id: str, invoice_id: str) -> Any:
    """Give back what was paid of an invoice: to where it came from, or to the balance."""
    customer, invoice = _find(account_id, mode, customer_id, invoice_id)
    left = refunds.refundable(customer["id"], invoice.id)
    form = RefundForm().offer(left, invoice.currency)
    problem = ""
    if form.validate():
        try:
            flash(*_give_back(customer, invoice, left, form))
            there = {"customer_id": customer["id"], "invoice_id": invoice.id}
            return redirect(account_url("show_invoice", **there), 303)
        except BillingError as refusal:
            problem = forms.refuse(form, in_words(refusal, invoice.currency))
    return _page(mode, customer, invoice, left, form, problem), 422


def _give_back(customer: dict[str, Any], invoice: InvoiceView, left: Refundable, form: RefundForm) -> tuple[str, str]:
    """What came of it, in words and tone."""
    terms, key = form.terms(invoice.currency), f"dashboard:{form.key.data}"
    at = clock.now() if customer["frozen_time"] is None else int(customer["frozen_time"])
    if form.where.data == BALANCE:
        note = refunds.credit_balance(customer["id"], invoice.id, at, key, terms)
        return f"{money(note.amount, note.currency)} credited to the balance with credit note {note.number}.", "good"
    if left.attempt_id is None:
        raise BillingError("Nothing was paid here of this invoice.")
    row = refunds.refund(current_app.extensions["gateways"], customer["id"], left.attempt_id, at, key, terms)
    amount = money(row.amount, row.currency)
    if row.status == "failed":
        return f"The refund of {amount} failed: the payment provider refuses it.", "bad"
    if row.status == "pending":
        return f"The refund of {amount} is on its way.", "note"
    return f"{amount} refunded.", "good"


def _find(account_id: str, mode: str, customer_id: str, invoice_id: str) -> tuple[dict[str, Any], InvoiceView]:
    """The customer's row and the invoice; 404 if there is none such in this mode."""
    customer = one.find(account_id, mode, customer_id)["customer"][0]
    scope = {"account_id": account_id, "customer_id": customer["id"], "on_behalf_of": None}
    with _in_time_zone():
        found = invoices.find(scope, invoice_id.replace("\0", ""))
    return customer, found or abort(404)


def _in_time_zone() -> Any:
    """In the dashboard's language, and in the account's time zone."""
    return rendering.in_language_of(Reader(i18n.current().locale, place().timezone))


def _page(
    mode: str, customer: dict[str, Any], invoice: InvoiceView, left: Refundable, form: RefundForm, problem: str = ""
) -> str:
    owned = {"account_id": place().account_id, "invoice_id": invoice.id}
    at = clock.now() if customer["frozen_time"] is None else int(customer["frozen_time"])
    with _in_time_zone():
        state, tone = wording.invoices.state(invoice, at)
        groups = words.groups(MONEY.fetch(**owned), mode == LIVE)
        lines = Markup(render_template("portal/invoices/_lines.html", invoice=invoice))  # noqa: S704 - a template's
        issued = date(invoice.created)
    return render_template(
        "dashboard/invoices/show.html",
        customer=customer,
        customer_name=customer["name"] or customer["email"] or customer["id"],
        invoice=invoice,
        name=invoice.number or invoice.id,
        issued=issued,
        lines=lines,
        state=state,
        tone=tone,
        groups=groups,
        form=form if left.of_payment or left.to_balance else None,
        problem_words=problem,
    )
