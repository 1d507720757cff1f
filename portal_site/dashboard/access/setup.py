"""The first page of a new portal: its account and its owner. It needs the token that was printed at the start."""

from flask import Blueprint, abort, flash, g, render_template, request, session
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.accounts import accounts
from portal_site.billing.errors import BillingError
from portal_site.dashboard import forms, speak_english
from portal_site.dashboard.access import sign_in
from portal_site.staff import passwords, setup
from portal_site.web import addresses, signing
from portal_site.web.input.forms import text_field

blueprint = Blueprint("setup", __name__, url_prefix="/setup")
PURPOSE = "setup"
LIFE = 24 * 60 * 60  # seconds for which a printed link works
Page = str | tuple[str, int]


class SetupForm(forms.BusinessForm):
    """The business, and who owns the account."""

    name = text_field("Your name", 100, True)
    email = forms.email_field("Your email")
    password = forms.password_field()


def link(at: int) -> str | None:
    """The link to the page; None once somebody has begun."""
    return addresses.base("setup.show_form", token=signing.sign(PURPOSE, at)) if setup.is_open() else None


@blueprint.before_request
def require_token() -> None:
    """Answer 404 without the token of a new link, and as soon as somebody has begun."""
    speak_english()
    g.setup_token = (request.form if request.method == "POST" else request.args).get("token", "")
    made = signing.read(PURPOSE, g.setup_token)
    if not isinstance(made, int) or clock.now() - made > LIFE or not setup.is_open():
        abort(404)


@blueprint.get("")
def show_form() -> str:
    """The form; country, currency and time zone are guessed from the browser's language."""
    form = SetupForm(formdata=None)
    territory = next((tag.split("-")[1].upper() for tag in request.accept_languages.values() if "-" in tag), "")
    if territory in accounts.COUNTRIES:
        form.country.data = territory
        form.currency.data = (accounts.currencies_of(territory) or [""])[0]
        form.timezone.data = accounts.timezone_of(territory)
    return _page(form)


@blueprint.post("")
def begin() -> Response | Page:
    """Make account and owner, and sign in."""
    form = SetupForm()
    if not form.validate():
        return _page(form), 422
    try:
        _account_id, user = setup.begin(
            form.wanted, form.email.data or "", form.name.data or "", form.password.data or "", clock.now()
        )
    except BillingError as refusal:
        return _page(form, forms.refuse(form, refusal)), 422
    session.pop(sign_in.NEXT, None)
    flash("Your account is ready.", "good")
    return sign_in.finish(user.id, second_step=False)


def _page(form: SetupForm, refusal: str = "") -> str:
    return render_template(
        "dashboard/setup.html", form=form, refusal=refusal, token=g.setup_token, timezones=accounts.TIMEZONES,
        shortest=passwords.SHORTEST,
    )  # fmt: skip
