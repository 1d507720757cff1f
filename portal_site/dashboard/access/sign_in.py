"""Signing in with a password and a second step, setting that step up, and signing out."""

import segno
from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.dashboard import forms, speak_english
from portal_site.dashboard.access import session_cookie
from portal_site.db.transactions import transaction
from portal_site.staff import second_step, sessions, sign_in
from portal_site.staff.models import User
from portal_site.staff.sign_in import PasswordAccepted, TooManyTries
from portal_site.web import urls
from portal_site.web.input.forms import PortalForm
from portal_site.web.networks import client_network
from portal_site.web.waiting import try_again

blueprint = Blueprint("sign_in", __name__, url_prefix="/dashboard/sign-in")
MEMBER = "password-accepted"  # of the browser's cookie
NEXT, SECRET = "dashboard-next", "new-second-step"
Page = str | tuple[str, int] | tuple[str, int, dict[str, str]]


class SignInForm(PortalForm):
    """Who is it?"""

    email = forms.email_field()
    password = forms.password_field()


class CodeForm(PortalForm):
    """The second step."""

    code = forms.code_field()


@blueprint.before_request
def prepare() -> None:
    """These pages are in English, as the dashboard is."""
    speak_english()


@blueprint.get("")
def show_form() -> Response | str:
    """The form for address and password; whoever is signed in needs none."""
    there = urls.page(request.args.get("next", ""), "dashboard")
    if sessions.find(session_cookie.token(), clock.now()) is not None:
        return redirect(there or url_for("dashboard.show_accounts"), 303)
    session[NEXT] = there
    return render_template("dashboard/sign_in/password.html", form=SignInForm(formdata=None), refusal="")


@blueprint.post("")
def check_password() -> Response | Page:
    """Go on to the second step."""
    form = SignInForm()
    if not form.validate():
        return _password_page(form), 422
    try:
        accepted = sign_in.check_password(
            form.email.data or "", form.password.data or "", hash_token(client_network()), clock.now()
        )
    except TooManyTries as refusal:
        return _password_page(form, _with_wait(refusal)), 429, {"Retry-After": str(refusal.wait)}
    except BillingError as refusal:
        return _password_page(form, str(refusal)), 422
    session[MEMBER] = [accepted.user_id, accepted.changed_at, accepted.at]
    with transaction() as own:
        has_second_step = own.get_one(User, accepted.user_id).totp_confirmed_at is not None
    if has_second_step:
        return redirect(url_for("sign_in.show_code"), 303)
    return finish(accepted.user_id, second_step=False)


def _password_page(form: SignInForm, refusal: str = "") -> str:
    return render_template("dashboard/sign_in/password.html", form=form, refusal=refusal)


def _with_wait(refusal: TooManyTries) -> str:
    return f"Too many tries. {try_again(refusal.wait)}"


@blueprint.get("/code")
def show_code() -> Response | str:
    """The form for the second step."""
    if _accepted() is None:
        return redirect(url_for("sign_in.show_form"), 303)
    return render_template("dashboard/sign_in/code.html", form=CodeForm(formdata=None), refusal="")


@blueprint.post("/code")
def check_code() -> Response | Page:
    """Sign in with the code of the app, or a recovery code."""
    accepted, form = _accepted(), CodeForm()
    if accepted is None:
        return redirect(url_for("sign_in.show_form"), 303)
    if not form.validate():
        return render_template("dashboard/sign_in/code.html", form=form, refusal=""), 422
    try:
        found = sign_in.check_second_step(accepted, form.code.data or "", clock.now())
    except TooManyTries as refusal:
        page = render_template("dashboard/sign_in/code.html", form=form, refusal=_with_wait(refusal))
        return page, 429, {"Retry-After": str(refusal.wait)}
    except BillingError as refusal:
        words = forms.refuse(form, refusal)
        return render_template("dashboard/sign_in/code.html", form=form, refusal=words), 422
    return finish(found.id, second_step=True)


def finish(user_id: str, *, second_step: bool) -> Response:
    """Sign this browser in, and go on to where the user wanted to be."""
    there = session.pop(NEXT, None)
    _forget()
    before = sessions.find(session_cookie.token(), clock.now())
    if before is not None:
        sessions.end(before.user_id, clock.now(), before.session_id)
    _keep(user_id, second_step=second_step)
    return redirect(there or url_for("dashboard.show_accounts"), 303)


def _forget() -> None:
    """Forget what belongs to whoever sat here before: an accepted password, a new secret, and open forms."""
    for name in (MEMBER, SECRET, "csrf_token"):
        session.pop(name, None)


def _keep(user_id: str, *, second_step: bool) -> None:
    browser, at = request.user_agent.string, clock.now()
    session_cookie.keep(sessions.open_session(user_id, browser, at, second_step=second_step))


def _accepted() -> PasswordAccepted | None:
    kept = session.get(MEMBER)
    return PasswordAccepted(*kept) if kept else None


@blueprint.get("/second-step")
def show_second_step_setup() -> Response | str:
    """The QR code for the app, and the form for its first code. No page of the dashboard opens before that."""
    found = sessions.find(session_cookie.token(), clock.now())
    if found is None or found.has_second_step:
        return redirect(url_for("dashboard.show_accounts"), 303)
    if _secret_of(found.user_id) is None:
        session[SECRET] = [found.user_id, second_step.new_secret()]
    return _setup_page(CodeForm(formdata=None), found.email)


def _secret_of(user_id: str) -> str | None:
    """The secret that this browser keeps for this user until its first code has been typed."""
    whose, secret = session.get(SECRET) or ("", "")
    return secret if whose == user_id and second_step.read_secret(secret) else None


def _setup_page(form: CodeForm, email: str) -> str:
    secret = second_step.read_secret(session[SECRET][1]) or ""
    drawing = segno.make(second_step.address_of(secret, email), error="m")
    return render_template(
        "dashboard/sign_in/second_step.html",
        form=form,
        picture=drawing.svg_data_uri(scale=5, border=4, light="#fff"),
        secret=" ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
    )


@blueprint.post("/second-step")
def set_up_second_step() -> Response | Page:
    """Confirm the app with its first code; the recovery codes are shown once."""
    found, form = sessions.find(session_cookie.token(), clock.now()), CodeForm()
    if found is None or found.has_second_step:
        return redirect(url_for("dashboard.show_accounts"), 303)
    kept = _secret_of(found.user_id)
    if kept is None:
        return redirect(url_for("sign_in.show_second_step_setup"), 303)
    codes = second_step.confirm(found.user_id, kept, form.code.data or "", clock.now()) if form.validate() else None
    if codes is None:
        if not form.code.errors:
            form.code.errors = ["This code is wrong. Does the phone show the right time?"]
        return _setup_page(form, found.email), 422
    sessions.end(found.user_id, clock.now())  # also those that others have opened with the password alone
    _forget()
    _keep(found.user_id, second_step=True)
    return render_template("dashboard/sign_in/recovery_codes.html", codes=codes)


@blueprint.post("/out")
def sign_out() -> Response:
    """End the session on the server and delete it from this browser."""
    found = sessions.find(session_cookie.token(), clock.now())
    if found is not None:
        sessions.end(found.user_id, clock.now(), found.session_id)
    session_cookie.forget()
    session.pop(NEXT, None)
    _forget()
    g.pop("csrf_token", None)
    flash("You are signed out.", "good")
    response = redirect(url_for("sign_in.show_form"), 303)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
