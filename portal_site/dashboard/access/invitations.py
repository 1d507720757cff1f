"""The link of an invitation: a new user chooses a password, one who is a user already joins."""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError, NotFound
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.dashboard import forms, speak_english
from portal_site.dashboard.access import session_cookie, sign_in
from portal_site.staff import passwords, sessions, teams
from portal_site.web.input.forms import PortalForm, text_field

blueprint = Blueprint("invitations", __name__, url_prefix="/dashboard/invitations/<token>")
Page = str | tuple[str, int]


class AcceptForm(PortalForm):
    """Who comes in."""

    name = text_field("Your name", teams.LONGEST_NAME, True)
    password = forms.password_field()


@blueprint.before_request
def find_invitation() -> Any:
    """Find the invitation; one that is over is answered like one that never was."""
    speak_english()
    token = (request.view_args or {}).get("token", "")
    g.invitation = teams.find_invitation(token, clock.now())
    if g.invitation is None:
        return render_template("dashboard/invitations/over.html"), 404
    return None


@blueprint.get("")
def show(token: str) -> Page:
    """What the invitation is for. Opening it changes nothing."""
    return _page(token, AcceptForm(formdata=None))


@blueprint.post("")
def accept(token: str) -> Response | Page:
    """Make the new user, and sign in."""
    form = AcceptForm()
    if not form.validate():
        return _page(token, form), 422
    try:
        user = teams.accept(token, form.name.data or "", form.password.data or "", clock.now())
    except NotFound:
        return render_template("dashboard/invitations/over.html"), 404
    except BillingError as refusal:
        return _page(token, form, forms.refuse(form, refusal)), 422
    return sign_in.finish(user.id, second_step=False)


@blueprint.post("/join")
def join(token: str) -> Response | Page:
    """Let a user who is signed in into the account."""
    found = sessions.find(session_cookie.token(), clock.now())
    if found is None or not found.has_second_step:
        session[sign_in.NEXT] = None
        return redirect(url_for("sign_in.show_form"), 303)
    try:
        with acting_as(ActorType.USER, found.user_id):
            account_id = teams.join(token, found.user_id, clock.now())
    except NotFound:
        return render_template("dashboard/invitations/over.html"), 404
    flash("You have joined the team.", "good")
    return redirect(url_for("dashboard.show_home", account_id=account_id), 303)


def _page(token: str, form: AcceptForm, refusal: str = "") -> str:
    invitation, business, is_user = g.invitation
    found = sessions.find(session_cookie.token(), clock.now())
    return render_template(
        "dashboard/invitations/show.html", form=form, refusal=refusal, invitation=invitation, business=business,
        is_user=is_user, is_signed_in=found is not None and found.email == invitation.email, token=token,
        shortest=passwords.SHORTEST,
    )  # fmt: skip
