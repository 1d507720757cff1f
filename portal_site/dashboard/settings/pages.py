"""The pages of the settings: a list of configurations, a page for each section of one, history, comparison, copies."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.accounts import account_settings, portal_configurations, versions
from portal_site.billing.accounts.versions import EditConflict
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.models import PortalConfiguration
from portal_site.branding import logos
from portal_site.dashboard import blueprint, forms, needs, place
from portal_site.dashboard.reads import catalogue, customer_states, people
from portal_site.dashboard.settings import differences, emails, previews
from portal_site.dashboard.settings.branding import BrandingSection
from portal_site.dashboard.settings.differences import Difference
from portal_site.dashboard.settings.sections import Section, Words
from portal_site.dashboard.settings.subjects import ACCOUNT, OF_ACCOUNTS, Subject, find
from portal_site.staff.roles import Right
from portal_site.web.input.forms import PortalForm, text_field
from portal_site.web.rendering import i18n

PICTURES = ("logo", "icon")
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


@blueprint.get("/<account_id>/settings")
@needs(Right.VIEW_SETTINGS)
def show_configurations(account_id: str) -> str:
    """The configurations of both modes."""
    return _list_page(account_id, CopyForm(formdata=None))


def _list_page(account_id: str, form: CopyForm, refusal: str = "") -> str:
    found = portal_configurations.of_account(account_id)
    return render_template(
        "dashboard/settings/index.html",
        configurations=found,
        form=form,
        refusal=refusal,
        of_account=OF_ACCOUNTS.values(),
    )


@blueprint.get("/<account_id>/settings/<configuration_id>/<section>")
@needs(Right.VIEW_SETTINGS)
def show_settings(account_id: str, configuration_id: str, section: str) -> Page:
    """The form of a section, with the preview beside it."""
    subject = find(account_id, configuration_id)
    form = subject.section(section).open(subject.settings, catalogue.find(account_id, subject.row.livemode))
    return _section_page(subject, form, subject.version)


def _section_page(
    subject: Subject,
    form: Section,
    version: int,
    refusal: str = "",
    conflict: Sequence[Difference] = (),
    picture_errors: Mapping[str, str] = MappingProxyType({}),
) -> Page:
    row = subject.row
    page = render_template(
        "dashboard/settings/section.html",
        subject=subject,
        form=form,
        sections=subject.sections.values(),
        version=version,
        refusal=refusal,
        conflict=conflict,
        picture_errors=picture_errors,
        touched=customer_states.count_touched(row.account_id, row.livemode) if row.is_default else "",
        states=[
            (state.name, f"{state.name} ({state.customer_name})")
            for state in customer_states.find(row.account_id, row.livemode, visible=place().may(Right.VIEW_CUSTOMERS))
        ],
        pages=previews.PAGES if form.CONTROLS == Section.CONTROLS else emails.NAMES,
        languages=i18n.LANGUAGES,
        chosen=preview_choices(form.PAGE),
    )
    return page, 200, {"Content-Security-Policy": forms.framing_policy()}


@blueprint.post("/<account_id>/settings/<configuration_id>/<section>")
@needs(Right.EDIT_SETTINGS)
def save_settings(account_id: str, configuration_id: str, section: str) -> Page:
    """Store a section, unless somebody else has changed the settings since the page was loaded."""
    subject = find(account_id, configuration_id)
    known = catalogue.find(account_id, subject.row.livemode)
    form = subject.section(section).open(subject.settings, known, request.form)
    version = forms.small_number(request.form.get("version")) or 0
    if not form.validate():
        return _refused(subject, form, version)
    try:
        stored = subject.change(version, form.changes(subject.settings), clock.now())
    except EditConflict as conflict:
        # What is stored now stays in force until what was typed is saved once more.
        shown = differences.between(conflict.settings, form.changed(conflict.settings))
        page, _status, headers = _section_page(subject, form, conflict.version, conflict=shown or differences.NONE)
        return page, 409, headers
    except BillingError as refusal:
        field = form.field_of(refusal.param)
        if field is None:
            return _refused(subject, form, version, str(refusal))
        form.refuse(field, str(refusal))
        return _refused(subject, form, version)
    flash("Saved. Customers see it with their next click." if stored != version else "Nothing was different.", "good")
    return redirect(_address(account_id, configuration_id, section), 303)


def preview_choices(page: str) -> dict[str, str]:
    """What the preview shows, as it was chosen; at first the page that the section is about."""
    chosen = {
        name: request.values.get(name, "")
        for name in ("page", "state", "days", "language", "scheme", "device", "format")
    }
    return {**chosen, "page": chosen["page"] or page, "days": chosen["days"] or "0"}


def _refused(subject: Subject, form: Section, version: int, refusal: str = "") -> Page:
    page, _status, headers = _section_page(subject, form, version, refusal)
    return page, 422, headers


def _address(account_id: str, configuration_id: str, section: str) -> str:
    return url_for("dashboard.show_settings", account_id=account_id, configuration_id=configuration_id, section=section)


@blueprint.get("/<account_id>/settings/<configuration_id>/history")
@needs(Right.VIEW_SETTINGS)
def show_history(account_id: str, configuration_id: str) -> str:
    """Who changed what and when, the newest first."""
    subject = find(account_id, configuration_id)
    found = versions.of_subject(account_id, subject.subject_id, forms.small_number(request.args.get("before")))
    changes = [
        differences.Change.of(after, before.settings if before else None)
        for after, before in zip(found, [*found[1:], None], strict=False)
    ][:50]
    names = people.names([change.actor_id for change in changes if change.actor_id])
    return render_template(
        "dashboard/settings/history.html", subject=subject, changes=changes, names=names,
        more=found[50].version + 1 if len(found) > 50 else None,
    )  # fmt: skip


@blueprint.post("/<account_id>/settings/<configuration_id>/history/<int:version>/restoration")
@needs(Right.EDIT_SETTINGS)
def restore_settings(account_id: str, configuration_id: str, version: int) -> Page:
    """Go back to former settings, which is a change like any other."""
    subject = find(account_id, configuration_id)
    current = forms.small_number(request.form.get("version"))
    try:
        subject.restore(current or 0, min(version, forms.MOST), clock.now())
    except NotFound:
        abort(404)
    except EditConflict:
        flash("Somebody else has changed these settings in the meantime. Look at them, then restore again.", "bad")
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
    subject = find(account_id, configuration_id)
    form = subject.section(section).open(subject.settings, catalogue.find(account_id, subject.row.livemode))
    return previews.show(subject, form, subject.settings, clock.now())


@blueprint.post("/<account_id>/settings/<configuration_id>/<section>/preview")
@needs(Right.VIEW_SETTINGS)
def preview_settings(account_id: str, configuration_id: str, section: str) -> Response:
    """The portal with what was typed, which is not stored."""
    subject = find(account_id, configuration_id)
    known = catalogue.find(account_id, subject.row.livemode)
    form = subject.section(section).open(subject.settings, known, request.form)
    try:
        typed = form.changed(subject.settings)
    except (ValueError, BillingError):  # what was typed is not validated here
        return previews.unfit()
    return previews.show(subject, form, typed, clock.now())


@blueprint.post("/<account_id>/pictures/<kind>")
@needs(Right.EDIT_SETTINGS)
def upload_picture(account_id: str, kind: str) -> Page:
    """Store a logo or icon, cleaned of everything but the picture, or take it away."""
    if kind not in PICTURES:
        abort(404)
    picture = None
    if not request.form.get("remove"):
        file = request.files.get("picture")
        try:
            picture = logos.accept(file.read() if file else b"")
        except (ValueError, OverflowError) as error:
            subject = find(account_id, ACCOUNT)
            form = BrandingSection.open(subject.settings, catalogue.find(account_id, subject.row.livemode))
            page, _status, headers = _section_page(subject, form, subject.version, picture_errors={kind: str(error)})
            return page, 422, headers
    account_settings.set_picture(account_id, kind, picture, clock.now())
    flash("Saved. Customers see it with their next click.", "good")
    return redirect(_address(account_id, ACCOUNT, BrandingSection.NAME), 303)
