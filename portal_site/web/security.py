"""Headers, cookies and the refusal of forged requests, for every answer of the program."""

from typing import Any

from flask import Flask, Response, abort, request, session
from flask_wtf.csrf import CSRFProtect

from portal_site.config import Settings

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
    # Not no-referrer: over HTTPS the check against forged requests wants to see that a form came from here.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
YEAR = 365 * 24 * 60 * 60
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
csrf = CSRFProtect()


def cookie_settings(settings: Settings) -> dict[str, Any]:
    """The one cookie: signed, unreadable for scripts, for this host alone. Lax, since customers come from their mail."""
    return {
        "SESSION_COOKIE_NAME": "__Host-portal" if settings.secure else f"portal-{settings.port}",
        "SESSION_COOKIE_SECURE": settings.secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_PATH": "/",
        "WTF_CSRF_TIME_LIMIT": None,  # the session's own end is the limit; a form left open over lunch still works
        "PREFERRED_URL_SCHEME": "https" if settings.secure else "http",
    }


def init(app: Flask) -> None:
    """Refuse requests from elsewhere, then check the token; add the headers to whatever is answered."""
    app.before_request(refuse_nul)
    app.before_request(refuse_other_origins)
    csrf.init_app(app)
    app.after_request(add_headers)


def refuse_nul() -> None:
    """No address of ours holds a NUL, and PostgreSQL takes none in a text: such an address leads nowhere."""
    if "\0" in request.path or b"%00" in request.query_string or b"\0" in request.query_string:
        abort(404)


def refuse_other_origins() -> None:
    """A change must come from a page of ours. Browsers say where it comes from, and a page cannot forge that."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", request.host_url.rstrip("/"))
    if site not in ("same-origin", "none") or origin != request.host_url.rstrip("/"):
        abort(403)


def add_headers(response: Response) -> Response:
    """What every answer carries; a view may have set a stricter policy or a longer life for an asset."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", f"max-age={YEAR}; includeSubDomains")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def start_over(*, keep_forms: bool = False) -> None:
    """Forget everything that this browser's cookie held, the secret behind its form tokens included unless `keep_forms`."""
    secret = session.get("csrf_token") if keep_forms else None
    session.clear()
    if secret:
        session["csrf_token"] = secret


def own_path(path: str) -> str:
    """The path if it leads to a page of ours, else the front page. `//host` and backslashes would lead elsewhere."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else "/"
