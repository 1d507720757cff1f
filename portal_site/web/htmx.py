"""The only module that reads or sets `HX-*` headers."""

from flask import Flask, Response, request
from htmx_flask import Htmx


def init(app: Flask) -> None:
    """Set `request.htmx`, which tells whether htmx sent the request."""
    Htmx(app)


def refuse() -> Response:
    """An empty 401 response. The page itself shows that the session has ended, and keeps the entered form data."""
    response = Response(status=401)
    response.vary.add("HX-Request")
    return response


def say(words: str, status: int) -> Response:
    """A sentence in place of a fragment. The page stays as it is, and shows it where it says what went wrong."""
    response = Response(words, status, content_type="text/plain; charset=utf-8")
    response.vary.add("HX-Request")
    return response


def lead_to(address: str) -> Response:
    """An empty response to a request for a fragment, which loads another page instead."""
    response = Response(status=204)
    response.headers["HX-Redirect"] = address
    response.vary.add("HX-Request")
    return response


def replace_url(fragment: Response, address: str) -> Response:
    """Change the browser's URL along with a fragment, so that a reload shows the same state of the page."""
    fragment.headers["HX-Replace-Url"] = address
    return fragment


def is_fragment_request() -> bool:
    """Whether the response will be swapped into a page. For guards, which must not return a whole page then."""
    return bool(getattr(request, "htmx", False))
