"""The pages of the list of customers: the search as one types, and the form for a new customer."""

from typing import Any

from flask import abort, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import SelectField
from wtforms.validators import Length, ValidationError

from portal_site import clock
from portal_site.billing.customers import new_customers
from portal_site.billing.customers.new_customers import LONGEST_EMAIL, LONGEST_NAME, LONGEST_PHONE, NewCustomer
from portal_site.billing.errors import BillingError
from portal_site.dashboard import blueprint, forms, needs
from portal_site.dashboard.customers import search
from portal_site.dashboard.customers.search import Found
from portal_site.dashboard.modes import IN_MODE, LIVE
from portal_site.staff.roles import Right
from portal_site.web import htmx
from portal_site.web.input import phones, postal_addresses
from portal_site.web.input.forms import PortalForm, checked_field, choices, text_field
from portal_site.web.rendering import i18n

CUSTOMERS = f"{IN_MODE}/customers"
HOME = "US"  # whose phone numbers are the example, if no country is chosen
Page = Any


@blueprint.get(CUSTOMERS)
@needs(Right.VIEW_CUSTOMERS)
def show_customers(account_id: str, mode: str) -> Page:
    """The customers of a mode, newest first, or those whom a search finds."""
    query, found = _found(account_id, mode)
    return render_template(
        "dashboard/customers/index.html",
        found=found,
        query=query,
        mode=mode,
        empty=_empty(query),
        after=request.args.get("after"),
    )


@blueprint.get(f"{CUSTOMERS}/rows")
@needs(Right.VIEW_CUSTOMERS)
def show_customer_rows(account_id: str, mode: str) -> Response:
    """What the search finds, or the next rows of the list, as a fragment."""
    query, found = _found(account_id, mode)
    if request.args.get("after"):
        return make_response(render_template("dashboard/customers/_rows.html", found=found, query=query, more=True))
    fragment = make_response(
        render_template("dashboard/customers/_found.html", found=found, query=query, empty=_empty(query))
    )
    here = url_for("dashboard.show_customers", account_id=account_id, mode=mode, q=query or None)
    return htmx.replace_url(fragment, here)


def _found(account_id: str, mode: str) -> tuple[str, Found]:
    query = search.normal(request.args.get("q", ""))
    try:
        before = search.read_place(request.args.get("after"))
    except ValueError:
        abort(404)
    return query, search.find(account_id, mode == LIVE, query, before)


def _empty(query: str) -> str:
    if query:
        return f"No customer has “{query}” in name, email or phone, or as an id or a number."
    return "There are no customers yet. They come with an import, or you create one."


class CustomerForm(PortalForm):
    """A new customer."""

    name = text_field("Name", LONGEST_NAME)
    email = checked_field("Email", LONGEST_EMAIL, False)
    phone = checked_field("Phone", LONGEST_PHONE + 20, False)
    country = SelectField("Country", validate_choice=False, validators=[Length(max=2)], default="")
    locale = SelectField(
        "Language", choices=choices([("", "That of the browser"), *i18n.LANGUAGES.items()], blank=False), default=""
    )

    def validate_phone(self, field: Any) -> None:
        """A number without its country's code is one of the country that was chosen."""
        if field.data:
            country = self.country.data or HOME
            number = phones.parse(field.data, [country])
            if number is None:
                example = phones.example(country)
                raise ValidationError(f"Enter a phone number with its country code, such as {example}.")
            field.data = number

    def wanted(self) -> NewCustomer:
        """What was typed."""
        return NewCustomer(
            self.name.data or None, self.email.data or None, self.phone.data or None, self.country.data or None,
            self.locale.data or None,
        )  # fmt: skip


def _form(*, bound: bool) -> CustomerForm:
    form = CustomerForm() if bound else CustomerForm(formdata=None)
    form.country.choices = choices(postal_addresses.countries(), blank=True)
    return form


@blueprint.get(f"{CUSTOMERS}/new")
@needs(Right.EDIT_CUSTOMERS)
def new_customer(account_id: str, mode: str) -> Page:
    """The form for a new customer."""
    return _form_page(mode, _form(bound=False))


@blueprint.post(CUSTOMERS)
@needs(Right.EDIT_CUSTOMERS)
def create_customer(account_id: str, mode: str) -> Page:
    """Create a customer."""
    form = _form(bound=True)
    if not form.validate():
        return _form_page(mode, form), 422
    try:
        made = new_customers.create(account_id, mode == LIVE, form.wanted(), clock.now())
    except BillingError as refusal:
        return _form_page(mode, form, forms.refuse(form, refusal)), 422
    flash("The customer is created.", "good")
    there = url_for("dashboard.show_customer", account_id=account_id, mode=mode, customer_id=made.id)
    return redirect(there, 303)


def _form_page(mode: str, form: CustomerForm, refusal: str = "") -> str:
    return render_template("dashboard/customers/new.html", form=form, refusal=refusal, mode=mode)
