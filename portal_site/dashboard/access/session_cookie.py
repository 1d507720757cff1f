"""The cookie of a user who is signed in. It is not the portal's, so that neither's log-out ends the other."""

from flask import Flask, Response, current_app, g, request

from portal_site.staff import sessions


def init(app: Flask) -> None:
    """Send the cookie with the response in which it changes."""
    app.after_request(_send)


def _name() -> str:
    return f"{current_app.config['SESSION_COOKIE_NAME']}-dashboard"


def token() -> str | None:
    """The token of this browser's cookie."""
    return request.cookies.get(_name())


def keep(session_token: str) -> None:
    """Sign this browser in."""
    g.dashboard_cookie = session_token


def forget() -> None:
    """Sign this browser out."""
    g.dashboard_cookie = ""


def _send(response: Response) -> Response:
    changed = g.pop("dashboard_cookie", None)
    if changed is not None:
        config = current_app.config
        response.set_cookie(
            _name(), changed, max_age=sessions.WHOLE_LIFE if changed else 0, path=config["SESSION_COOKIE_PATH"],
            secure=config["SESSION_COOKIE_SECURE"], httponly=True, samesite=config["SESSION_COOKIE_SAMESITE"],
        )  # fmt: skip
    return response
