"""Billing information: the section, its form, and tax ids."""

from flask import abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from portal_site.billing.customers import billing_information
from portal_site.billing.errors import BillingError
from portal_site.billing.rules.customers import tax_ids
from portal_site.portal import blueprint, flows, portal_feature
from portal_site.portal.billing_forms import PARTS, BillingForm, TaxIdForm, billing_form
from portal_site.portal.reads import overview
from portal_site.portal.reads.billing_information import TaxIdView
from portal_site.portal.wording import billing_information as wording
from portal_site.web.input import typed
from portal_site.web.input.forms import choices, translated
from portal_site.web.rendering import filters


@blueprint.app_template_global()
def tax_id_name(kind: str) -> str:
    """The name of a type of tax id; the type itself if it is unknown."""
    return wording.tax_id_name(kind)


@blueprint.get("/billing-information")
@portal_feature("customer_update")
def show_billing_information() -> str:
    """The billing information for future invoices, with the tax ids."""
    return render_template("portal/billing_information/index.html", tax_ids=_tax_ids())


@blueprint.get("/billing-information/summary")
@portal_feature("customer_update")
def show_billing_summary() -> str:
    """The section as a fragment."""
    return render_template("portal/billing_information/_summary.html", tax_ids=_tax_ids())


@blueprint.get("/billing-information/edit")
@portal_feature("customer_update")
def edit_billing_information() -> str:
    """The form with the stored data."""
    return _form_page(_form(bound=False))


@blueprint.post("/billing-information/edit")
@portal_feature("customer_update")
def update_billing_information() -> Response | tuple[str, int]:
    """Store the changes, or show the form again with its errors and all input."""
    form = _form(bound=True)
    if not form.validate():
        return _form_page(form), 422
    billing_information.update_billing_information(g.visitor.customer_id, form.changes(), g.now)
    flash(_("Your billing information was updated. It will appear on your next invoice."), "good")
    return flows.completed(redirect(url_for("portal.show_billing_information"), 303))


@blueprint.post("/billing-information/country")
@portal_feature("customer_update")
def choose_country() -> str:
    """The form with the fields of the chosen country. It stores nothing; a POST keeps the input out of URLs."""
    return _form_page(_form(bound=True))


@blueprint.post("/billing-information/<part>/fields")
@portal_feature("customer_update")
def show_address_fields(part: str) -> str:
    """The fields of one address as a fragment, for its chosen country."""
    form = _form(bound=True)
    if part not in form.parts:
        abort(404)
    return render_template("portal/billing_information/_address_fields.html", form=form, part=part)


def _form(*, bound: bool) -> BillingForm:
    allowed = g.visitor.features.customer_update.allowed_updates
    if not set(allowed) - {"tax_id"}:
        abort(404)
    customer = {name: getattr(g.visitor, name) for name in ("name", "email", "phone", "address", "shipping")}
    names = {part: f"{part}_country" for part in PARTS}
    chosen = {part: request.form[name] for part, name in names.items() if bound and name in request.form}
    return billing_form(allowed, customer, chosen, bound=bound)


def _form_page(form: BillingForm) -> str:
    return render_template("portal/billing_information/edit.html", form=form)


def _tax_ids() -> list[TaxIdView]:
    return overview.find(g.visitor, g.now).tax_ids


def _require_tax_ids() -> None:
    if "tax_id" not in g.visitor.features.customer_update.allowed_updates:
        abort(404)


@blueprint.get("/tax-ids/new")
@portal_feature("customer_update")
def new_tax_id() -> str:
    """The form for adding a tax id."""
    _require_tax_ids()
    return _tax_id_page(_tax_id_form())


@blueprint.post("/tax-ids")
@portal_feature("customer_update")
def add_tax_id() -> Response | tuple[str, int]:
    """Add a tax id, which is printed on future invoices."""
    _require_tax_ids()
    form = _tax_id_form()
    if form.validate():
        try:
            billing_information.add_tax_id(g.visitor.customer_id, form.type.data or "", form.value.data, g.now)
        except BillingError as refusal:
            form[refusal.param or "value"].errors = [translated(refusal)]
        else:
            flash(_("The tax ID was added. It will appear on your next invoice."), "good")
            return flows.completed(redirect(url_for("portal.show_billing_information"), 303))
    return _tax_id_page(form), 422


def _tax_id_form() -> TaxIdForm:
    country = (g.visitor.address or {}).get("country") or ""
    form = TaxIdForm()
    own = [kind.code for kind in tax_ids.types_of(country)]
    names = {code: _type_name(kind) for code, kind in tax_ids.TYPES.items()}
    others = sorted(names.keys() - set(own), key=lambda code: (typed.key(names[code]), code))
    form.type.choices = choices(((code, names[code]) for code in (*own, *others)), blank=not country)
    if not form.is_submitted():
        form.type.data = own[0] if own else ""
    return form


def _type_name(kind: tax_ids.TaxIdType) -> str:
    place = filters.country(kind.country) if kind.country else _("European Union")
    return filters.labelled(place, wording.tax_id_name(kind.code))


def _tax_id_page(form: TaxIdForm) -> str:
    chosen = tax_ids.TYPES.get(form.type.data or "")
    return render_template("portal/billing_information/new_tax_id.html", form=form, chosen=chosen)


@blueprint.get("/tax-ids/<tax_id>/removal")
@portal_feature("customer_update")
def confirm_tax_id_removal(tax_id: str) -> str:
    """Ask before a tax id is removed."""
    _require_tax_ids()
    return render_template("portal/billing_information/tax_id_removal.html", tax_id=_own_tax_id(tax_id))


@blueprint.post("/tax-ids/<tax_id>/removal")
@portal_feature("customer_update")
def remove_tax_id(tax_id: str) -> Response:
    """Remove a tax id from future invoices."""
    _require_tax_ids()
    billing_information.remove_tax_id(g.visitor.customer_id, tax_id, g.now)
    flash(_("The tax ID was removed. Past invoices do not change."), "good")
    return redirect(url_for("portal.show_billing_information"), 303)


def _own_tax_id(tax_id: str) -> TaxIdView:
    for found in _tax_ids():
        if found.id == tax_id:
            return found
    abort(404)
