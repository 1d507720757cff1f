"""Signing in with a password and a second step, setting that step up, and signing out."""

import segno
from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.dashboard import forms, speak_english
from portal_site.dashboard.access import passkey_forms, session_cookie
from portal_site.dashboard.access.passkey_forms import NewPasskeyForm, PasskeyForm
from portal_site.staff import passkeys, second_step, sessions, sign_in
from portal_site.staff.passkeys import Ceremony
from portal_site.staff.second_step import SetUp
from portal_site.staff.sessions import SignedIn
from portal_site.staff.sign_in import PasswordAccepted, TooManyTries
from portal_site.web import urls
from portal_site.web.input.forms import PortalForm
from portal_site.web.networks import client_network
from portal_site.web.waiting import try_again

blueprint = Blueprint("sign_in", __name__, url_prefix="/dashboard/sign-in")
MEMBER = "password-accepted"  # of the browser's cookie
NEXT, SECRET = "dashboard-next", "new-second-step"
RECOVERY_HINT = "One of your recovery codes."
APP_HINT = "The six digits that your authenticator app shows, or one of your recovery codes."
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
    if second_step.of_user(accepted.user_id).is_done:
        return redirect(url_for("sign_in.show_code"), 303)
    return finish(accepted.user_id, second_step=False)


def _password_page(form: SignInForm, refusal: str = "") -> str:
    return render_template("dashboard/sign_in/password.html", form=form, refusal=refusal)


def _with_wait(refusal: TooManyTries) -> str:
    return f"Too many tries. {try_again(refusal.wait)}"


@blueprint.get("/code")
def show_code() -> Response | str:
    """The button for a passkey, if there is one, and the form for a code."""
    accepted = _accepted()
    if accepted is None:
        return redirect(url_for("sign_in.show_form"), 303)
    return _code_page(accepted, CodeForm(formdata=None))


def _code_page(accepted: PasswordAccepted, form: CodeForm, refusal: str = "") -> str:
    there = second_step.of_user(accepted.user_id)
    return render_template(
        "dashboard/sign_in/code.html",
        form=form,
        refusal=refusal,
        offer=passkey_forms.offer_use(accepted.user_id, Ceremony.SIGN_IN),
        heading=_heading(there),
        hint=APP_HINT if there.has_app else RECOVERY_HINT,
    )


def _heading(there: SetUp) -> str:
    if not there.has_passkey:
        return "Enter your code"
    return "Use your passkey or a code" if there.has_app else "Use your passkey"


@blueprint.post("/code")
def check_code() -> Response | Page:
    """Sign in with the code of the app, or a recovery code."""
    accepted, form = _accepted(), CodeForm()
    if accepted is None:
        return redirect(url_for("sign_in.show_form"), 303)
    if not form.validate():
        return _code_page(accepted, form), 422
    try:
        found = sign_in.check_second_step(accepted, form.code.data or "", clock.now())
    except TooManyTries as refusal:
        return _code_page(accepted, form, _with_wait(refusal)), 429, {"Retry-After": str(refusal.wait)}
    except BillingError as refusal:
        return _code_page(accepted, form, forms.refuse(form, refusal)), 422
    return finish(found.id, second_step=True)


@blueprint.post("/code/passkey")
def check_passkey() -> Response | Page:
    """Sign in with a passkey."""
    accepted, code = _accepted(), CodeForm(formdata=None)
    if accepted is None:
        return redirect(url_for("sign_in.show_form"), 303)
    try:
        found = sign_in.check_passkey(accepted, passkey_forms.party(), PasskeyForm().read(), clock.now())
    except TooManyTries as refusal:
        return _code_page(accepted, code, _with_wait(refusal)), 429, {"Retry-After": str(refusal.wait)}
    except BillingError as refusal:
        return _code_page(accepted, code, str(refusal)), 422
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
    """The QR code for the app with the form for its first code, and a passkey. No page of the dashboard opens before that."""
    found = sessions.find(session_cookie.token(), clock.now())
    if found is None or found.has_second_step:
        return redirect(url_for("dashboard.show_accounts"), 303)
    return _setup_page(found, CodeForm(formdata=None), passkey_forms.blank())


def secret_of(user_id: str) -> str | None:
    """The secret that this browser keeps for this user until its first code has been typed."""
    whose, secret = session.get(SECRET) or ("", "")
    return secret if whose == user_id and second_step.read_secret(secret) else None


def offer_app(found: SignedIn) -> dict[str, str]:
    """What a page shows of a secret for the app: the QR code as `picture`, and the `secret` to type."""
    if secret_of(found.user_id) is None:
        session[SECRET] = [found.user_id, second_step.new_secret()]
    secret = second_step.read_secret(session[SECRET][1]) or ""
    drawing = segno.make(second_step.address_of(secret, found.email), error="m")
    words = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return {"picture": drawing.svg_data_uri(scale=5, border=4, light="#fff"), "secret": words}


def _setup_page(found: SignedIn, form: CodeForm, passkey: NewPasskeyForm, refusal: str = "") -> str:
    return render_template(
        "dashboard/sign_in/second_step.html", form=form, passkey=passkey, refusal=refusal,
        offer=passkey_forms.offer_new(found.user_id), **offer_app(found),
    )  # fmt: skip


@blueprint.post("/second-step")
def set_up_second_step() -> Response | Page:
    """Confirm the app with its first code; the recovery codes are shown once."""
    found, form = sessions.find(session_cookie.token(), clock.now()), CodeForm()
    if found is None or found.has_second_step:
        return redirect(url_for("dashboard.show_accounts"), 303)
    if secret_of(found.user_id) is None:
        return redirect(url_for("sign_in.show_second_step_setup"), 303)
    codes = confirm_app(found, form, first=True)
    if codes is None:
        return _setup_page(found, form, passkey_forms.blank()), 422
    return _begin(found, codes)


def confirm_app(found: SignedIn, form: CodeForm, *, first: bool) -> list[str] | None:
    """Keep the app whose first code was typed, as `second_step.confirm` does; None with the reason at the form's field."""
    kept = secret_of(found.user_id) or ""
    codes = None
    if form.validate():
        codes = second_step.confirm(found.user_id, kept, form.code.data or "", clock.now(), first=first)
        if codes is None:
            form.code.errors = ["This code is wrong. Does the phone show the right time?"]
    return codes


def _begin(found: SignedIn, codes: list[str]) -> str:
    """Go on with the second step that was just set up."""
    sessions.end(found.user_id, clock.now())  # also those that others have opened with the password alone
    _forget()
    _keep(found.user_id, second_step=True)
    return render_template("dashboard/sign_in/recovery_codes.html", codes=codes)


@blueprint.post("/second-step/passkey")
def set_up_passkey() -> Response | Page:
    """Keep the first passkey in the app's place; the recovery codes are shown once."""
    found, form = sessions.find(session_cookie.token(), clock.now()), NewPasskeyForm()
    if found is None or found.has_second_step:
        return redirect(url_for("dashboard.show_accounts"), 303)
    refusal, codes = "", None
    try:
        if form.validate():
            name, at = form.name.data or "", clock.now()
            codes = passkeys.add(passkey_forms.party(), found.user_id, form.read(), name, at, first=True)
    except BillingError as error:
        refusal = forms.refuse(form, error)
    if codes is None:
        return _setup_page(found, CodeForm(formdata=None), form, refusal), 422
    return _begin(found, codes)


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
