"""What a user adds to the second step of signing in, and takes off it: passkeys, and the app."""

from flask import abort, flash, redirect, render_template, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import BillingError, NotFound
from portal_site.dashboard import SIGNED_IN, blueprint, forms, needs, user
from portal_site.dashboard.access import passkey_forms, sign_in
from portal_site.dashboard.access.passkey_forms import NewPasskeyForm
from portal_site.dashboard.access.sign_in import CodeForm
from portal_site.dashboard.profile import profile_page
from portal_site.staff import passkeys, second_step

Page = str | tuple[str, int]


@blueprint.get("/profile/passkeys/new")
@needs(SIGNED_IN, fresh=True)
def show_new_passkey() -> str:
    """The form for a new passkey."""
    return _passkey_page(passkey_forms.blank())


def _passkey_page(form: NewPasskeyForm, refusal: str = "") -> str:
    offer = passkey_forms.offer_new(user().user_id)
    return render_template("dashboard/profile/new_passkey.html", form=form, refusal=refusal, offer=offer)


@blueprint.post("/profile/passkeys")
@needs(SIGNED_IN, fresh=True)
def add_passkey() -> Response | Page:
    """Keep a new passkey."""
    form, at = NewPasskeyForm(), clock.now()
    if not form.validate():
        return _passkey_page(form), 422
    try:
        passkeys.add(passkey_forms.party(), user().user_id, form.read(), form.name.data or "", at, first=False)
    except BillingError as refusal:
        return _passkey_page(form, forms.refuse(form, refusal)), 422
    return _done("The passkey is added. You can use it at your next sign-in.")


@blueprint.post("/profile/passkeys/<passkey_id>/removal")
@needs(SIGNED_IN, fresh=True)
def remove_passkey(passkey_id: str) -> Response | Page:
    """Forget a passkey."""
    try:
        name = passkeys.remove(user().user_id, passkey_id, clock.now())
    except NotFound:
        abort(404)
    except BillingError as refusal:
        return profile_page(refusal=str(refusal)), 422
    return _done(f"The passkey “{name}” signs nobody in any more. You can delete it from your device, too.")


@blueprint.get("/profile/app")
@needs(SIGNED_IN, fresh=True)
def show_app_setup() -> Response | str:
    """The QR code for the app, for somebody who has passkeys only."""
    if second_step.of_user(user().user_id).has_app:
        return redirect(url_for("dashboard.show_profile"), 303)
    return _app_page(CodeForm(formdata=None))


def _app_page(form: CodeForm) -> str:
    return render_template("dashboard/profile/app.html", form=form, **sign_in.offer_app(user()))


@blueprint.post("/profile/app")
@needs(SIGNED_IN, fresh=True)
def set_up_app() -> Response | Page:
    """Confirm the app with its first code."""
    form = CodeForm()
    if sign_in.confirm_app(user(), form, first=False) is None:
        return _app_page(form), 422
    session.pop(sign_in.SECRET, None)
    return _done("The app is set up. You can use its codes at your next sign-in.")


@blueprint.post("/profile/app/removal")
@needs(SIGNED_IN, fresh=True)
def remove_app() -> Response | Page:
    """Forget the app."""
    try:
        second_step.remove_app(user().user_id, clock.now())
    except BillingError as refusal:
        return profile_page(refusal=str(refusal)), 422
    return _done("The codes of the app sign nobody in any more.")


def _done(words: str) -> Response:
    flash(words, "good")
    return redirect(url_for("dashboard.show_profile"), 303)
