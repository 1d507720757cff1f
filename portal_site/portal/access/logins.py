"""The login page of a configuration: an e-mail address, the code that is sent there, and the customer whose pages open.

The same pages replace an expired session whose link allows it; the code goes to the customer's own address then.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, abort, current_app, g, redirect, render_template, request, session, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response
from wtforms import BooleanField

from portal_site import clock
from portal_site.billing.errors import BillingError
from portal_site.billing.portal_access import logins
from portal_site.billing.portal_access.devices import is_device_of_account
from portal_site.billing.portal_access.logins import Candidate, LoginPage, StartedLogin, TooManyRequests
from portal_site.billing.portal_access.portal_sessions import hash_token
from portal_site.mail import login_codes
from portal_site.mail.messages import masked
from portal_site.portal.access import devices, return_after_login, visitors
from portal_site.portal.access.email_fields import is_address
from portal_site.web import hosts, signing
from portal_site.web.input.forms import PortalForm, checked_field, translated
from portal_site.web.networks import client_network
from portal_site.web.rendering import i18n
from portal_site.web.waiting import try_again

blueprint = Blueprint("logins", __name__)  # registered as `logins` and, for expired sessions, as `replacements`
MEMBER = "login"  # of the browser's cookie
CHOICE = "login-choice"
Page = str | tuple[str, int] | tuple[str, int, dict[str, str]]


class EmailForm(PortalForm):
    """Who is it?"""

    email = checked_field(_l("Email"), logins.LONGEST_EMAIL, True, is_address)


class CodeForm(PortalForm):
    """The code, however it was copied."""

    code = checked_field(_l("Code"), 40, True)
    remember = BooleanField(_l("Stay logged in on this device"))

    @property
    def digits(self) -> str:
        """Its digits, in whatever script they were typed."""
        return "".join(str(unicodedata.decimal(c)) for c in self.code.data or "" if c.isdecimal())


@blueprint.url_value_preprocessor
def find_page(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Find the login page, whose owner's colours the pages have. Any other id is answered like one that never was."""
    given = values or {}
    page_id, ticket = given.pop("login_page_id", None), given.pop("ticket", None)
    g.login_page = g.lost_visitor = None
    if not current_app.config["SETTINGS"].sends_mail:
        return
    if page_id is not None and (page := logins.find_page(page_id)) and hosts.shows(page.account_id):
        g.login_page, g.lost_visitor = page, visitors.find_login_owner(page_id)
        g.login_address = {"login_page_id": page_id}
    session_id = signing.read(login_codes.TICKET, ticket) if ticket is not None else None
    if session_id is None:
        return
    if (page := logins.find_replaceable(session_id, clock.now())) and hosts.shows(page.account_id):
        g.login_page, g.lost_visitor = page, visitors.find_session_owner(page.account_id, session_id)
        g.login_address = {"ticket": ticket}


@blueprint.before_request
def require_page() -> None:
    """Answer 404 without a page."""
    if g.login_page is None:
        abort(404)


@blueprint.get("")
def show_login() -> Response | str:
    """The form for the e-mail address, with `prefilled_email` in it; who is remembered on this device needs none."""
    if _page().email is not None:
        return _resend_page()
    known = devices.token()
    if known is not None and is_device_of_account(known, _page().account_id, clock.now()):
        return redirect(url_for("portal.show_overview"), 303)
    form = EmailForm(formdata=None, email=request.args.get("prefilled_email", "")[: logins.LONGEST_EMAIL])
    return _email_page(form)


@blueprint.post("")
def ask_for_code() -> Response | Page:
    """Send a code, if there is such a customer. The answer is the same if there is none."""
    form, own = EmailForm(), _page().email
    if own is None and not form.validate():
        return _email_page(form), 422
    email = own or form.email.data or ""
    network = hash_token(client_network())
    try:
        started = logins.request_code(
            _page(), email, network, i18n.current().locale, clock.now(), host=hosts.own_host()
        )
    except TooManyRequests as refusal:
        words = f"{translated(refusal)} {try_again(refusal.wait)}"
        shown = _email_page(form, words) if own is None else _resend_page(words)
        return shown, 429, {"Retry-After": str(refusal.wait)}
    session[MEMBER] = [_page().id, started.request_id, started.secret, masked(own) if own else email]
    return redirect(_address("show_code"), 303)


@blueprint.get("/code")
def show_code() -> Response | str:
    """The form for the code. The link in the e-mail fills it in, in the browser where it was asked for."""
    form = CodeForm(formdata=None, code=request.args.get("code", "")[:40])
    if _started() is None and visitors.find_visitor(clock.now()) is not None:
        return redirect(url_for("portal.show_overview"), 303)  # the code was used, and the link is followed once more
    if _started() is None:
        return render_template("portal/logins/elsewhere.html", address=_address)
    return _code_page(form)


@blueprint.post("/code")
def enter_code() -> Response | Page:
    """Let the customer in with the right code; of several customers with the address, ask which."""
    started, form = _started(), CodeForm()
    if started is None:
        return redirect(_address("show_login"), 303)
    if not form.validate():
        return _code_page(form), 422
    hashes = login_codes.code_hashes(started.request_id, form.digits)
    try:
        found = logins.check_code(started, hashes, clock.now())
    except BillingError as refusal:
        form.code.errors = [translated(refusal)]
        return _code_page(form), 422
    if len(found) == 1:
        return _let_in(started, found[0].id, remember=form.remember.data)
    return _choice_page(started, found, remember=form.remember.data)


@blueprint.post("/customer")
def choose_customer() -> Response | Page:
    """Let in the chosen one of several customers."""
    started = _started()
    checked = signing.read(CHOICE, request.form.get("checked", ""))
    if started is None or checked != started.request_id:
        return redirect(_address("show_login"), 303)
    return _let_in(started, request.form.get("customer", ""), remember=bool(request.form.get("remember")))


def _let_in(started: StartedLogin, customer_id: str, *, remember: bool) -> Response | Page:
    at = clock.now()
    try:
        entry = logins.open_session(started, customer_id, at)
    except BillingError as refusal:
        form = CodeForm(formdata=None)
        form.code.errors = [translated(refusal)]
        return _code_page(form), 422
    there = return_after_login.resume_page(entry.token, entry.cookie, at, keep_language=True)
    if remember and _page().remembers_devices:
        devices.remember(entry.token, at)
    return redirect(there or url_for("portal.show_overview"), 303)


def _page() -> LoginPage:
    page: LoginPage = g.login_page
    return page


def _started() -> StartedLogin | None:
    """The request of this browser on this page."""
    page_id, request_id, secret, _email = session.get(MEMBER) or (None, "", "", "")
    return StartedLogin(request_id, secret) if page_id == _page().id else None


def _address(view: str) -> str:
    return url_for(f".{view}", **g.login_address)


def _email_page(form: EmailForm, refusal: str = "") -> str:
    return render_template("portal/logins/email.html", form=form, refusal=refusal, address=_address)


def _resend_page(refusal: str = "") -> str:
    words = masked(_page().email or "")
    return render_template("portal/logins/resend.html", email=words, refusal=refusal, address=_address)


def _code_page(form: CodeForm) -> str:
    email = session[MEMBER][3]
    options = [form.remember] if _page().remembers_devices else []
    return render_template("portal/logins/code.html", form=form, email=email, options=options, address=_address)


def _choice_page(started: StartedLogin, found: Sequence[Candidate], *, remember: bool) -> str:
    kept = {"checked": signing.sign(CHOICE, started.request_id), **({"remember": "y"} if remember else {})}
    return render_template("portal/logins/choice.html", customers=found, kept=kept, address=_address)
