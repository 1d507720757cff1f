"""The pages that need no session: following a link, an expired session, choosing a language, and after logging out."""

from flask import Blueprint, abort, current_app, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import NotFound
from portal_site.billing.portal_access import logins, portal_sessions
from portal_site.mail import login_codes
from portal_site.portal.access import return_after_login, visitors
from portal_site.portal.access.visitors import PortalOwner
from portal_site.web import hosts, security, signing, urls
from portal_site.web.rendering import i18n

blueprint = Blueprint("sessions", __name__)


@blueprint.get("/p/session/<token>")
def follow_link(token: str) -> Response | tuple[str, int]:
    """Exchange the link for a cookie, and redirect to a URL without the token.

    That is the page that the link names as `to`, else the one on which this customer was refused, else the overview.
    """
    at, asked = clock.now(), urls.page(request.args.get("to", ""), "portal")
    try:
        cookie = portal_sessions.follow_link(token, at, only_of=hosts.account())
    except NotFound:
        return over_page(token, "link", asked)
    left = return_after_login.resume_page(token, cookie, at)
    return redirect(asked or left or url_for("portal.show_overview"), 303)


@blueprint.get("/session-over")
def show_session_over() -> tuple[str, int]:
    """The page for a session that has expired."""
    return over_page(session.get(visitors.COOKIE_MEMBER), "session")


def over_page(token: str | None, reason: str, there: str | None = None) -> tuple[str, int]:
    """The page for an expired link or session. It names the business if known, and links back, finally to the page `there`."""
    g.lost_visitor = visitors.find_expired_owner(token)
    return_after_login.remember_page(g.lost_visitor, there, clock.now())
    return render_template("portal/sessions/over.html", business=g.lost_visitor, reason=reason), 403


@blueprint.app_template_global()
def code_address(business: PortalOwner | None) -> str:
    """Where a customer whose link or session has expired gets a code; empty if that is not possible."""
    if business is None or not current_app.config["SETTINGS"].sends_mail:
        return ""
    if logins.find_replaceable(business.session_id, clock.now()):
        return url_for("replacements.show_login", ticket=signing.sign(login_codes.TICKET, business.session_id))
    return url_for("logins.show_login", login_page_id=business.login_page_id) if business.login_page_id else ""


@blueprint.get("/logged-out")
def show_logged_out() -> str:
    """The page after logging out."""
    g.lost_visitor = visitors.find_expired_owner(session.pop("left", None))
    return render_template("portal/sessions/logged_out.html", business=g.lost_visitor)


@blueprint.post("/language")
def choose_language() -> Response:
    """Change the language, and show the same page again."""
    language = request.form.get("language", "")
    if language not in i18n.LANGUAGES:
        abort(400)
    session["locale"] = language
    return redirect(security.own_path(request.form.get("next", "")), 303)
