"""The pages that need no session: following a link, a session that is over, choosing a language, being logged out."""

from flask import Blueprint, abort, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from portal_site import clock
from portal_site.billing.errors import NotFound
from portal_site.billing.portal_access import portal_sessions
from portal_site.portal.access import return_after_login, visitors
from portal_site.web import security, urls
from portal_site.web.rendering import i18n

blueprint = Blueprint("sessions", __name__)


@blueprint.get("/p/session/<token>")
def follow_link(token: str) -> Response | tuple[str, int]:
    """Swap the link for a cookie and go to an address that can be shown, shared and bookmarked.

    That is the page which the link names as `to`, else the one on which this customer was turned away, else the overview.
    """
    at, asked = clock.now(), urls.page(request.args.get("to", ""), "portal")
    try:
        cookie = portal_sessions.follow_link(token, at)
    except NotFound:
        return over_page(token, "link", asked)
    left = return_after_login.resume_page(token, cookie, at)
    return redirect(asked or left or url_for("portal.show_overview"), 303)


@blueprint.get("/session-over")
def show_session_over() -> tuple[str, int]:
    """Where a page that was left open too long ends up."""
    return over_page(session.get(visitors.COOKIE_MEMBER), "session")


def over_page(token: str | None, reason: str, there: str | None = None) -> tuple[str, int]:
    """The page that says so, names the business when it is known, and leads back, in the end to the page `there`."""
    g.lost_visitor = visitors.find_expired_owner(token)
    return_after_login.remember_page(g.lost_visitor, there, clock.now())
    return render_template("portal/sessions/over.html", business=g.lost_visitor, reason=reason), 403


@blueprint.get("/logged-out")
def show_logged_out() -> str:
    """The way out, after the session ended on the server."""
    g.lost_visitor = visitors.find_expired_owner(session.pop("left", None))
    return render_template("portal/sessions/logged_out.html", business=g.lost_visitor)


@blueprint.post("/language")
def choose_language() -> Response:
    """Speak another language from now on, and show the same page again."""
    language = request.form.get("language", "")
    if language not in i18n.LANGUAGES:
        abort(400)
    session["locale"] = language
    return redirect(security.own_path(request.form.get("next", "/")), 303)
