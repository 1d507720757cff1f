"""Security headers, cookie settings and protection against cross-site requests, for every response."""

from typing import Any

from flask import Flask, Response, abort, current_app, request, session
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response as WerkzeugResponse

from portal_site.config import Settings
from portal_site.web import hosts

PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "object-src": "'none'",
}
CONTENT_SECURITY_POLICY = "; ".join(f"{name} {value}" for name, value in POLICY.items())
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: over HTTPS, the CSRF check requires a Referer header of this site.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
YEAR = 365 * 24 * 60 * 60
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
csrf = CSRFProtect()


def cookie_settings(settings: Settings) -> dict[str, Any]:
    """Flask's settings for the session's cookie: signed, not readable by scripts, and limited to this host.

    SameSite is Lax, because customers follow links from their e-mails. Browsers take `__Host-` only for the path `/`.
    """
    secure_name = "__Secure-portal" if settings.prefix else "__Host-portal"
    return {
        "SESSION_COOKIE_NAME": secure_name if settings.secure else f"portal-{settings.port}",
        "SESSION_COOKIE_SECURE": settings.secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_PATH": f"{settings.prefix}/",
        # The newest key, which signs, comes last. Without this, forms of before a change of keys would be refused.
        "WTF_CSRF_SECRET_KEY": [*settings.secret_key_fallbacks, settings.secret_key],
        "WTF_CSRF_TIME_LIMIT": None,  # a token is valid as long as the session, so that forms can stay open
        "PREFERRED_URL_SCHEME": "https" if settings.secure else "http",
    }


def init(app: Flask) -> None:
    """Refuse cross-origin requests, then check the CSRF token, and add the headers to every response."""
    app.before_request(refuse_nul)
    app.before_request(refuse_other_origins)
    csrf.init_app(app)
    app.after_request(add_headers)


def refuse_nul() -> None:
    """Answer 404 for a URL with a NUL. No page has one, and PostgreSQL does not accept it in a text."""
    if "\0" in request.path or b"%00" in request.query_string or b"\0" in request.query_string:
        abort(404)


def refuse_other_origins() -> None:
    """Answer 403 for a request that changes something and does not come from this site.

    Browsers send Sec-Fetch-Site and Origin, and pages cannot forge them.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", request.host_url.rstrip("/"))
    if site not in ("same-origin", "none") or origin != request.host_url.rstrip("/"):
        abort(403)


def add_headers(response: Response) -> Response:
    """Add the security headers to a response, unless the view has set them."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        below = "" if hosts.is_shared() else "; includeSubDomains"
        response.headers.setdefault("Strict-Transport-Security", f"max-age={YEAR}{below}")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def cookie_name(suffix: str) -> str:
    """The name of a cookie beside the session's."""
    return f"{current_app.config['SESSION_COOKIE_NAME']}-{suffix}"


def set_cookie(response: WerkzeugResponse, suffix: str, value: str, seconds: int) -> None:
    """Set a cookie beside the session's, with the session's protection; an empty value deletes it."""
    config = current_app.config
    response.set_cookie(
        cookie_name(suffix), value, max_age=seconds if value else 0, path=config["SESSION_COOKIE_PATH"],
        secure=config["SESSION_COOKIE_SECURE"], httponly=True, samesite=config["SESSION_COOKIE_SAMESITE"],
    )  # fmt: skip


def refusal_headers(settings: Settings) -> list[tuple[str, str]]:
    """The headers of responses that a server refuses before the program receives the request, whatever its host is."""
    transport = {"Strict-Transport-Security": f"max-age={YEAR}"} if settings.secure else {}
    return list({**HEADERS, **transport, "Cache-Control": "no-store"}.items())


def start_over(*, keep_forms: bool = False) -> None:
    """Clear the session cookie. With `keep_forms` the CSRF secret is kept, so that open forms stay valid."""
    secret = session.get("csrf_token") if keep_forms else None
    session.clear()
    if secret:
        session["csrf_token"] = secret


def own_path(path: str) -> str:
    """The path if it is one of the portal's on this host, else the top. `//host` and backslashes could lead elsewhere."""
    root = request.root_path.rstrip("/")
    is_local = path.startswith(f"{root}/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local else f"{root}/"
