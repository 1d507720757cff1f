"""A configuration's login page and, with the default one, the account's page for cancelling without logging in."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.accounts import account_settings
from portal_site.billing.cancellation import requests
from portal_site.billing.errors import BillingError
from portal_site.billing.portal_access import logins
from portal_site.dashboard import blueprint, needs
from portal_site.dashboard.settings import subjects
from portal_site.dashboard.settings.subjects import Subject
from portal_site.staff.roles import Right
from portal_site.web import addresses


def _find(account_id: str, configuration_id: str) -> Subject:
    """The configuration, or 404; the account itself has no login page."""
    subject = subjects.find(account_id, configuration_id)
    return subjects.find(account_id, "") if subject.is_account else subject


@blueprint.get("/<account_id>/settings/<configuration_id>/login-page")
@needs(Right.VIEW_SETTINGS)
def show_login_page(account_id: str, configuration_id: str) -> str:
    """Whether the pages are open, and where."""
    return _page(_find(account_id, configuration_id))


def _page(subject: Subject, refusal: str = "") -> str:
    row, account = subject.row, account_settings.get(subject.account_id)
    login = row.login_page_id if row.login_page_enabled else None
    ending = account.cancellation_page_id if row.is_default else None
    return render_template(
        "dashboard/settings/login_page.html",
        subject=subject,
        refusal=refusal,
        login=addresses.of(subject.account_id, "logins.show_login", login_page_id=login) if login else "",
        ending=addresses.of(subject.account_id, "cancellation_requests.show_form", page_id=ending) if ending else "",
        has_ending=row.is_default,
    )


@blueprint.post("/<account_id>/settings/<configuration_id>/login-page")
@needs(Right.EDIT_SETTINGS)
def save_login_page(account_id: str, configuration_id: str) -> Response:
    """Open or close the login page, or give it another URL."""
    subject = _find(account_id, configuration_id)
    logins.set_page(
        subject.id, enabled="enabled" in request.form, new_url="new_url" in request.form, at=clock.now(),
        remembers_devices="remember" in request.form,
    )  # fmt: skip
    return _saved(subject)


@blueprint.post("/<account_id>/settings/<configuration_id>/cancellation-page")
@needs(Right.EDIT_SETTINGS)
def save_cancellation_page(account_id: str, configuration_id: str) -> Any:
    """Open or close the page for cancelling without logging in, or give it another URL."""
    subject = _find(account_id, configuration_id)
    enabled, new_url = "enabled" in request.form, "new_url" in request.form
    try:
        requests.set_page(account_id, enabled=enabled, new_url=new_url, at=clock.now())
    except BillingError as refusal:
        return _page(subject, str(refusal)), 422
    return _saved(subject)


def _saved(subject: Subject) -> Response:
    flash("Saved.", "good")
    there = url_for("dashboard.show_login_page", account_id=subject.account_id, configuration_id=subject.id)
    return redirect(there, 303)
