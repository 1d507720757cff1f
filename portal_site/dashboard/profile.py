"""A user's own page: password, second steps, recovery codes, sessions; and the proof that some pages ask for."""

from collections.abc import Callable

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.dashboard import SIGNED_IN, blueprint, forms, needs, user
from portal_site.dashboard.access import passkey_forms
from portal_site.dashboard.access.passkey_forms import PasskeyForm
from portal_site.staff import passkeys, passwords, second_step, sessions, sign_in, users
from portal_site.staff.passkeys import Ceremony
from portal_site.staff.sign_in import TooManyTries
from portal_site.web import urls
from portal_site.web.input.forms import PortalForm
from portal_site.web.waiting import try_again

Page = str | tuple[str, int] | tuple[str, int, dict[str, str]]


class ProofForm(PortalForm):
    """Is it still the same person?"""

    password = forms.password_field()


class PasswordForm(PortalForm):
    """A new password, and the one of now."""

    current = forms.password_field("Current password")
    password = forms.password_field("New password")


@blueprint.get("/proof")
@needs(SIGNED_IN)
def ask_for_proof() -> str:
    """A passkey or the password, before something that only the user may do."""
    return _proof_page(ProofForm(formdata=None))


def _proof_page(form: ProofForm, refusal: str = "") -> str:
    there = urls.page(request.values.get("next", ""), "dashboard") or ""
    offer = passkey_forms.offer_use(user().user_id, Ceremony.PROVE)
    return render_template("dashboard/profile/proof.html", form=form, refusal=refusal, there=there, offer=offer)


@blueprint.post("/proof")
@needs(SIGNED_IN)
def prove() -> Response | Page:
    """Go on with what asked for the proof."""
    form = ProofForm()
    if not form.validate():
        return _proof_page(form), 422
    return _proved(form, lambda: sign_in.prove(user().user_id, form.password.data or "", clock.now()))


@blueprint.post("/proof/passkey")
@needs(SIGNED_IN)
def prove_with_passkey() -> Response | Page:
    """The same with a passkey in the password's place."""
    answer = PasskeyForm().read()
    return _proved(
        ProofForm(formdata=None),
        lambda: sign_in.prove_with_passkey(user().user_id, passkey_forms.party(), answer, clock.now()),
    )


def _proved(form: ProofForm, prove: Callable[[], None]) -> Response | Page:
    try:
        prove()
    except TooManyTries as refusal:
        page = _proof_page(form, f"Too many tries. {try_again(refusal.wait)}")
        return page, 429, {"Retry-After": str(refusal.wait)}
    except BillingError as refusal:
        return _proof_page(form, forms.refuse(form, refusal)), 422
    sessions.note_proof(user().session_id, clock.now())
    there = urls.page(request.form.get("next", ""), "dashboard")
    if there is None:
        flash("Confirmed. Please repeat what you were doing.", "good")
    return redirect(there or url_for("dashboard.show_accounts"), 303)


@blueprint.get("/profile")
@needs(SIGNED_IN)
def show_profile() -> str:
    """Password, second steps, recovery codes and sessions."""
    return profile_page()


def profile_page(form: PasswordForm | None = None, refusal: str = "") -> str:
    """The page, with what is wrong with a form of it."""
    return render_template(
        "dashboard/profile/show.html",
        form=form or PasswordForm(formdata=None),
        refusal=refusal,
        passkeys=passkeys.of_user(user().user_id),
        set_up=second_step.of_user(user().user_id),
        sessions=sessions.of_user(user().user_id, clock.now()),
        codes=users.recovery_codes_left(user().user_id),
        shortest=passwords.SHORTEST,
    )


@blueprint.post("/profile/password")
@needs(SIGNED_IN)
def change_password() -> Response | Page:
    """Set another password. All other sessions end."""
    form = PasswordForm()
    if not form.validate():
        return profile_page(form), 422
    try:
        sign_in.prove(user().user_id, form.current.data or "", clock.now(), "current")
        users.change_password(user().user_id, form.password.data or "", clock.now(), keep=user().session_id)
    except BillingError as refusal:
        return profile_page(form, forms.refuse(form, refusal)), 422
    flash("Your password is changed. You are signed out everywhere else.", "good")
    return redirect(url_for("dashboard.show_profile"), 303)


@blueprint.post("/profile/recovery-codes")
@needs(SIGNED_IN)
def replace_recovery_codes() -> Page:
    """New recovery codes, which are shown once; those of before end."""
    form = ProofForm()
    try:
        sign_in.prove(user().user_id, form.password.data or "", clock.now())
    except BillingError as refusal:
        return profile_page(refusal=str(refusal)), 422
    codes = second_step.new_recovery_codes(user().user_id, clock.now())
    return render_template("dashboard/sign_in/recovery_codes.html", codes=codes)


@blueprint.post("/profile/sessions/removal")
@needs(SIGNED_IN)
def end_other_sessions() -> Response:
    """Sign out everywhere else."""
    sessions.end(user().user_id, clock.now(), but=user().session_id)
    flash("You are signed out everywhere else.", "good")
    return redirect(url_for("dashboard.show_profile"), 303)


@blueprint.post("/profile/sessions/<session_id>/removal")
@needs(SIGNED_IN)
def end_session(session_id: str) -> Response:
    """Sign out in one other browser."""
    sessions.end(user().user_id, clock.now(), session_id)
    flash("That browser is signed out.", "good")
    return redirect(url_for("dashboard.show_profile"), 303)
