"""The pages of the settings: a list of configurations, a page for each section of one, history, comparison, copies."""

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.accounts import portal_configurations
from portal_site.billing.accounts.portal_configurations import EditConflict
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import PortalConfiguration
from portal_site.dashboard import blueprint, forms, needs
from portal_site.dashboard.reads import catalogue, customer_states, people
from portal_site.dashboard.settings import differences, previews
from portal_site.dashboard.settings.look import Look
from portal_site.dashboard.settings.offers import Offers
from portal_site.dashboard.settings.sections import Cancellation, Information, Section, Words
from portal_site.dashboard.settings.subscriptions import Subscriptions
from portal_site.staff.roles import Right
from portal_site.web.input.forms import PortalForm, text_field
from portal_site.web.rendering import i18n

SECTIONS: dict[str, type[Section]] = {
    section.NAME: section for section in (Subscriptions, Cancellation, Offers, Information, Words, Look)
}
Page = Any


class CopyForm(PortalForm):
    """The name of a further configuration."""

    name = text_field("Name", portal_configurations.LONGEST_NAME, True)


def of_configuration(account_id: str, configuration_id: str) -> PortalConfiguration:
    """The configuration of the page, or 404."""
    try:
        return portal_configurations.get(account_id, configuration_id)
    except NotFound:
        abort(404)


def section_of(name: str) -> type[Section]:
    """The section with this name, or 404."""
    return SECTIONS.get(name) or abort(404)


@blueprint.get("/<account_id>/settings")
@needs(Right.VIEW_SETTINGS)
def show_configurations(account_id: str) -> str:
    """The configurations of both modes."""
    return _list_page(account_id, CopyForm(formdata=None))


def _list_page(account_id: str, form: CopyForm, refusal: str = "") -> str:
    found = portal_configurations.of_account(account_id)
    return render_template("dashboard/settings/index.html", configurations=found, form=form, refusal=refusal)


@blueprint.get("/<account_id>/settings/<configuration_id>/<section>")
@needs(Right.VIEW_SETTINGS)
def show_settings(account_id: str, configuration_id: str, section: str) -> Page:
    """The form of a section, with the preview beside it."""
    row, kind = of_configuration(account_id, configuration_id), section_of(section)
    settings = portal_configurations.settings_of(row)
    form = kind.open(settings, catalogue.find(account_id, row.livemode))
    return _section_page(row, form, row.version)


def _section_page(row: PortalConfiguration, form: Section, version: int, refusal: str = "", **conflict: Any) -> Page:
    page = render_template(
        "dashboard/settings/section.html",
        configuration=row,
        form=form,
        sections=SECTIONS.values(),
        version=version,
        refusal=refusal,
        conflict=conflict.get("conflict", ()),
        touched=customer_states.count_touched(row.account_id, row.livemode) if row.is_default else "",
        states=customer_states.find(row.account_id, row.livemode),
        pages=previews.PAGES,
        languages=i18n.LANGUAGES,
        looked_at=kept_controls(form.PAGE),
    )
    return page, 200, {"Content-Security-Policy": forms.framing_policy()}


@blueprint.post("/<account_id>/settings/<configuration_id>/<section>")
@needs(Right.EDIT_SETTINGS)
def save_settings(account_id: str, configuration_id: str, section: str) -> Page:
    """Store a section, unless somebody else has changed the settings since the page was loaded."""
    row, kind = of_configuration(account_id, configuration_id), section_of(section)
    settings = portal_configurations.settings_of(row)
    form = kind.open(settings, catalogue.find(account_id, row.livemode), request.form)
    version = request.form.get("version", type=int) or 0
    if not form.validate():
        return _refused(row, form, version)
    try:
        after = portal_configurations.change(account_id, configuration_id, version, form.changes(settings), clock.now())
    except EditConflict as conflict:
        # What is stored now stays in force until what was typed is saved once more.
        shown = differences.between(conflict.settings, form.changed(conflict.settings))
        page, _status, headers = _section_page(row, form, conflict.version, conflict=shown or differences.NONE)
        return page, 409, headers
    except BillingError as refusal:
        field = form.field_of(refusal.param)
        if field is None:
            return _refused(row, form, version, str(refusal))
        form.refuse(field, str(refusal))
        return _refused(row, form, version)
    flash(
        "Saved. Customers see it with their next click." if after.version != version else "Nothing was different.",
        "good",
    )
    return redirect(_address(account_id, configuration_id, section), 303)


def kept_controls(page: str) -> dict[str, str]:
    """What the preview shows, as it was chosen; at first the page that the section is about."""
    chosen = {name: request.values.get(name, "") for name in ("page", "state", "days", "language", "scheme", "device")}
    return {**chosen, "page": chosen["page"] or page, "days": chosen["days"] or "0"}


def _refused(row: PortalConfiguration, form: Section, version: int, refusal: str = "") -> Page:
    page, _status, headers = _section_page(row, form, version, refusal)
    return page, 422, headers


def _address(account_id: str, configuration_id: str, section: str) -> str:
    return url_for("dashboard.show_settings", account_id=account_id, configuration_id=configuration_id, section=section)


@blueprint.get("/<account_id>/settings/<configuration_id>/history")
@needs(Right.VIEW_SETTINGS)
def show_history(account_id: str, configuration_id: str) -> str:
    """Who changed what and when, the newest first."""
    row = of_configuration(account_id, configuration_id)
    found = portal_configurations.versions(account_id, configuration_id, request.args.get("before", type=int))
    changes = [
        differences.Change.of(after, before.settings if before else None)
        for after, before in zip(found, [*found[1:], None], strict=False)
    ][:50]
    names = people.names([change.actor_id for change in changes if change.actor_id])
    return render_template(
        "dashboard/settings/history.html", configuration=row, changes=changes, names=names,
        more=found[50].version + 1 if len(found) > 50 else None,
    )  # fmt: skip


@blueprint.post("/<account_id>/settings/<configuration_id>/history/<int:version>/restoration")
@needs(Right.EDIT_SETTINGS)
def restore_settings(account_id: str, configuration_id: str, version: int) -> Page:
    """Go back to former settings, which is a change like any other."""
    row = of_configuration(account_id, configuration_id)
    try:
        portal_configurations.restore(account_id, configuration_id, row.version, version, clock.now())
    except NotFound:
        abort(404)
    except BillingError as refusal:  # as when a price of then is not sold any more
        flash(f"These settings cannot be restored. {refusal}", "bad")
    else:
        flash("Restored. Customers see it with their next click.", "good")
    there = url_for("dashboard.show_history", account_id=account_id, configuration_id=configuration_id)
    return redirect(there, 303)


@blueprint.get("/<account_id>/settings/<configuration_id>/comparison")
@needs(Right.VIEW_SETTINGS)
def compare_settings(account_id: str, configuration_id: str) -> str:
    """Two configurations side by side: what differs."""
    mine = of_configuration(account_id, configuration_id)
    everything = portal_configurations.of_account(account_id)
    others = [one for one in everything if one.id != configuration_id]
    wanted = request.args.get("with")
    other = next((one for one in others if one.id == wanted), others[0] if others and not wanted else None)
    found = (
        differences.between(portal_configurations.settings_of(mine), portal_configurations.settings_of(other))
        if other
        else []
    )
    return render_template(
        "dashboard/settings/comparison.html", configuration=mine, other=other, others=others, found=found
    )


@blueprint.post("/<account_id>/settings/<configuration_id>/copies")
@needs(Right.EDIT_SETTINGS)
def copy_configuration(account_id: str, configuration_id: str) -> Page:
    """A further configuration that begins as a copy."""
    of_configuration(account_id, configuration_id)
    form = CopyForm()
    if not form.validate():
        return _list_page(account_id, form), 422
    try:
        made = portal_configurations.copy(account_id, configuration_id, form.name.data or "", clock.now())
    except BillingError as refusal:
        return _list_page(account_id, form, forms.refuse(form, refusal)), 422
    flash("The copy is ready. Links use it when they name it.", "good")
    return redirect(_address(account_id, made.id, Words.NAME), 303)


@blueprint.post("/<account_id>/settings/<configuration_id>/activity")
@needs(Right.EDIT_SETTINGS)
def switch_configuration(account_id: str, configuration_id: str) -> Page:
    """Switch a configuration on or off."""
    wanted = request.form.get("active") == "yes"
    try:
        portal_configurations.set_active(account_id, configuration_id, wanted, clock.now())
    except NotFound:
        abort(404)
    except BillingError as refusal:
        return _list_page(account_id, CopyForm(formdata=None), str(refusal)), 422
    flash("It is active." if wanted else "It is inactive: its links lead nowhere.", "good")
    return redirect(url_for("dashboard.show_configurations", account_id=account_id), 303)


@blueprint.get("/<account_id>/settings/<configuration_id>/<section>/preview")
@needs(Right.VIEW_SETTINGS)
def show_preview(account_id: str, configuration_id: str, section: str) -> Response:
    """The portal with the settings that are stored."""
    row = of_configuration(account_id, configuration_id)
    section_of(section)
    return previews.show(row, portal_configurations.settings_of(row), clock.now())


@blueprint.post("/<account_id>/settings/<configuration_id>/<section>/preview")
@needs(Right.VIEW_SETTINGS)
def preview_settings(account_id: str, configuration_id: str, section: str) -> Response:
    """The portal with what was typed, which is not stored."""
    row, kind = of_configuration(account_id, configuration_id), section_of(section)
    settings = portal_configurations.settings_of(row)
    form = kind.open(settings, catalogue.find(account_id, row.livemode), request.form)
    return previews.show(row, form.changed(settings), clock.now())
