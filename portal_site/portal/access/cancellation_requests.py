"""The page for cancelling without logging in: an address and a number, always the same answer, and the rest by e-mail."""

import re
from typing import Any

from flask import Blueprint, abort, current_app, g, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response
from wtforms.validators import ValidationError

from portal_site import clock
from portal_site.billing.cancellation import requests
from portal_site.portal.access import visitors
from portal_site.portal.access.email_fields import is_address
from portal_site.web.input.forms import PortalForm, checked_field

blueprint = Blueprint("cancellation_requests", __name__, url_prefix="/cancel/<page_id>")
NUMBER = re.compile(r"[A-Za-z0-9_#/-]+")
Page = str | tuple[str, int]


def is_number(_form: Any, field: Any) -> None:
    """Validate a number. It is repeated in an e-mail, where it must not be able to say anything."""
    if not NUMBER.fullmatch((field.data or "").strip()):
        raise ValidationError(_("Enter the number as it is on your invoice."))


class RequestForm(PortalForm):
    """Whose subscription, and which."""

    email = checked_field(_l("Email"), requests.LONGEST, True, is_address)
    number = checked_field(_l("Invoice or subscription number"), requests.LONGEST_NUMBER, True, is_number)


@blueprint.url_value_preprocessor
def find_page(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Find whose page it is. Any other id is answered like one that never was."""
    page_id = (values or {}).pop("page_id", "")
    g.page_id, g.account_id = page_id, None
    if current_app.config["SETTINGS"].sends_mail:
        g.account_id = requests.find_page(page_id)
    g.lost_visitor = visitors.find_cancellation_owner(page_id) if g.account_id else None


@blueprint.before_request
def require_page() -> None:
    """Answer 404 without a page."""
    if g.lost_visitor is None:
        abort(404)


@blueprint.get("")
def show_form() -> str:
    """The form."""
    return _form_page(RequestForm(formdata=None))


@blueprint.post("")
def send_request() -> Response | Page:
    """Store the request. The answer is the same, whoever has the address."""
    form = RequestForm()
    if not form.validate():
        return _form_page(form), 422
    requests.request(g.account_id, form.email.data or "", form.number.data or "", clock.now())
    return redirect(url_for(".show_sent", page_id=g.page_id), 303)


@blueprint.get("/sent")
def show_sent() -> str:
    """What to do next."""
    return render_template("portal/cancellation_requests/sent.html", business=g.lost_visitor)


def _form_page(form: RequestForm) -> str:
    here = url_for(".send_request", page_id=g.page_id)
    return render_template("portal/cancellation_requests/form.html", form=form, here=here)
