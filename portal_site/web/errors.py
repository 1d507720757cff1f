"""Error pages. They use one template, with the merchant's branding if there is a portal visit."""

import logging
from contextlib import suppress

from flask import Flask, Response, current_app, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, TimeoutError
from werkzeug.exceptions import HTTPException, InternalServerError, SecurityError, TooManyRequests

from portal_site.billing.errors import NotFound, Unreadable
from portal_site.db.faults import described, is_unavailable
from portal_site.web import htmx
from portal_site.web.rendering import i18n, themes
from portal_site.web.waiting import try_again

log = logging.getLogger("portal_site")
RETRY_SECONDS = "10"
STAFF = ("/dashboard", "/setup")  # paths of pages that are not the customers'


def init(app: Flask) -> None:
    """Register an error page for every error. The pages show no internal details."""
    app.register_error_handler(HTTPException, show_http_error)
    app.register_error_handler(SecurityError, show_unknown_host)
    app.register_error_handler(NotFound, lambda _error: page(404))
    app.register_error_handler(Unreadable, show_unreadable)
    app.register_error_handler(CSRFError, lambda _error: page(403))
    app.register_error_handler(TooManyRequests, show_too_many_requests)
    for kind in (DBAPIError, TimeoutError):
        app.register_error_handler(kind, show_database_error)


def show_http_error(error: HTTPException) -> Response:
    """The page for an HTTP error. The error's Allow and Retry-After headers are kept."""
    if isinstance(error, InternalServerError):
        log.error("a request failed", exc_info=error.original_exception)
    response = page(error.code or 500)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def show_unknown_host(_error: SecurityError) -> Response:
    """Plain text, even to the API's clients: a page would have links to a host that is not ours."""
    return Response("This host is not served here.\n", 400, content_type="text/plain; charset=utf-8")


def show_too_many_requests(error: TooManyRequests) -> Response:
    """The page that says when to try again; the sentence alone for a fragment, whose page shows it and stays as it is."""
    seconds = int(str(error.retry_after or RETRY_SECONDS))
    if htmx.is_fragment_request():
        _find_owner()
        title, advice = _too_many(seconds)
        response = htmx.say(f"{title}. {advice}", 429)
    else:
        response = page(429, seconds)
    response.headers["Retry-After"] = str(seconds)
    return response


def show_unreadable(error: Unreadable) -> Response:
    """The page for an invalid row. All others are shown as usual."""
    log.error("%s makes no sense", error)
    return page(409)


def show_database_error(error: DBAPIError | TimeoutError) -> Response:
    """The page for a database that is unavailable, busy or full. Nothing was written, so the request can be retried."""
    if not is_unavailable(error):
        return show_http_error(InternalServerError(original_exception=error))
    log.error("the database cannot be used: %s", described(error))
    response = page(503)
    response.headers["Retry-After"] = RETRY_SECONDS
    return response


def page(status: int, wait: int = 0) -> Response:
    """The error page for an HTTP status, in the merchant's colours where it is known whose page it is.

    `wait` are the seconds until one may try again, where that is what the page is about.

    An address that does not exist belongs to no blueprint, which would have looked for the visitor. After a fault of the
    server nothing is asked of the database, and one that fails now leaves the page without the merchant's colours.
    """
    is_staff = request.path.startswith(STAFF)
    if is_staff:
        g.locale_context = i18n.context_for(i18n.DEFAULT)  # the dashboard's language
    elif status < 500:
        _find_owner()
    home = (
        ("/dashboard", "Go to the dashboard")
        if is_staff
        else (url_for("portal.show_overview"), _("Go to the overview"))
    )
    title, advice = _too_many(wait) if wait else _words(status)
    page = render_template("errors/error.html", title=title, advice=advice, status=status, home=home)
    response = make_response(page, status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _find_owner() -> None:
    if themes.owner() is None:
        with suppress(DBAPIError, TimeoutError):
            g.lost_visitor = current_app.extensions["find_owner"]()


def _too_many(wait: int) -> tuple[str, str]:
    return _("Too many requests"), f"{_('Nothing has been changed.')} {try_again(wait)}"


def _words(status: int) -> tuple[str, str]:
    if status == 404:
        return _("This page does not exist"), _("It may have moved, or you may not have access to it.")
    if status == 403:
        return _("This page is out of date"), _(
            "It belongs to an earlier visit. Go back, reload the page and try again."
        )
    if status == 405:
        return _("This page does not exist"), _("Go back and try again from there.")
    if status == 409:
        return _("This cannot be shown at the moment"), _(
            "What is stored about it makes no sense. The problem has been logged; everything else works as usual."
        )
    if status == 413:
        return _("We could not process this request"), _("The request was too large.")
    if status == 503:
        return _("This service is temporarily unavailable"), _(
            "Nothing has been changed. Please try again in a moment."
        )
    if status >= 500:
        return _("Something went wrong on our side"), _("The problem has been logged. Please try again in a moment.")
    return _("We could not process this request"), _("Go back and try again from there.")
