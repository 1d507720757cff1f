"""The account's custom domain: which it is, the DNS records that it needs, and whether they are there."""

from typing import Any

from flask import current_app, flash, redirect, render_template
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import blueprint, forms, needs
from portal_site.dashboard.navigation import account_url
from portal_site.domains import custom_domains, host_names, states
from portal_site.staff.roles import Right
from portal_site.web import addresses
from portal_site.web.input.forms import PortalForm, checked_field

Page = Any


class DomainForm(PortalForm):
    """The host that is to be the account's."""

    host = checked_field(
        "Host name",
        host_names.LONGEST_TYPED,
        True,
        description="A name below one of yours, such as billing.example.com.",
    )


@blueprint.get("/<account_id>/domain")
@needs(Right.MANAGE_DOMAIN)
def show_domain(account_id: str) -> str:
    """The domain with its records and its state, or the form for one."""
    return _page(account_id)


def _page(account_id: str, form: DomainForm | None = None, refusal: str = "") -> str:
    domain = custom_domains.find_domain(account_id)
    return render_template(
        "dashboard/domain/index.html",
        domain=domain,
        state=states.describe(domain) if domain else None,
        records=custom_domains.records(domain) if domain else (),
        form=form or DomainForm(formdata=None),
        refusal=refusal,
        base=addresses.base("dashboard.show_home", account_id=account_id).split("/")[2],
    )


@blueprint.post("/<account_id>/domain")
@needs(Right.MANAGE_DOMAIN, fresh=True)
def set_domain(account_id: str) -> Page:
    """Give the account a domain, in place of the one that it has."""
    form = DomainForm()
    if not form.validate():
        return _page(account_id, form), 422
    try:
        custom_domains.set_domain(account_id, form.host.data or "", clock.now())
    except BillingError as refusal:
        return _page(account_id, form, forms.refuse(form, refusal)), 422
    flash("Set the records, then check them.", "good")
    return _back()


@blueprint.post("/<account_id>/domain/check")
@needs(Right.MANAGE_DOMAIN)
def check_domain(account_id: str) -> Page:
    """Look at the records now. The page answers when the name servers have, within seconds."""
    try:
        domain = custom_domains.check_domain(account_id, current_app.extensions["dns"], clock.now())
    except NotFound:
        return _back()  # somebody has removed it
    except BillingError as refusal:
        return _page(account_id, refusal=str(refusal)), 422
    if domain.works:
        flash("The domain works.", "good")
    else:
        flash("The domain does not work yet. It can take hours until a new record is seen everywhere.", "warning")
    return _back()


@blueprint.get("/<account_id>/domain/removal")
@needs(Right.MANAGE_DOMAIN, fresh=True)
def ask_to_remove_domain(account_id: str) -> Page:
    """Ask first: what customers have of links with this host leads nowhere afterwards."""
    domain = custom_domains.find_domain(account_id)
    return render_template("dashboard/domain/removal.html", domain=domain) if domain else _back()


@blueprint.post("/<account_id>/domain/removal")
@needs(Right.MANAGE_DOMAIN, fresh=True)
def remove_domain(account_id: str) -> Page:
    """Take the domain away."""
    try:
        custom_domains.remove_domain(account_id, clock.now())
    except NotFound:
        return _back()
    flash("The domain is removed. Remove its DNS records, too.", "good")
    return _back()


def _back() -> Response:
    return redirect(account_url("show_domain"), 303)
