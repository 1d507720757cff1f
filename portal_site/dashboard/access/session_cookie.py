"""The cookie of a user who is signed in. It is not the portal's, so that neither's log-out ends the other."""

from flask import Flask, Response, g, request

from portal_site.staff import sessions
from portal_site.web import security

SUFFIX = "dashboard"  # of the cookie's name


def init(app: Flask) -> None:
    """Send the cookie with the response in which it changes."""
    app.after_request(_send)


def token() -> str | None:
    """The token of this browser's cookie."""
    return request.cookies.get(security.cookie_name(SUFFIX))


def keep(session_token: str) -> None:
    """Sign this browser in."""
    g.dashboard_cookie = session_token


def forget() -> None:
    """Sign this browser out."""
    g.dashboard_cookie = ""


def _send(response: Response) -> Response:
    changed = g.pop("dashboard_cookie", None)
    if changed is not None:
        security.set_cookie(response, SUFFIX, changed, sessions.WHOLE_LIFE)
    return response
