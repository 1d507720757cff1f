"""The only place that knows of `HX-*` headers."""

from flask import Flask, Response, request
from htmx_flask import Htmx


def init(app: Flask) -> None:
    """Teach the app's requests to say whether htmx sent them."""
    Htmx(app)


def refuse() -> Response:
    """Nothing to swap in: the page says itself that the session is over, and what was typed in it stays."""
    response = Response(status=401)
    response.vary.add("HX-Request")
    return response


def replace_url(fragment: Response, address: str) -> Response:
    """Let the browser's address follow a fragment, so that reloading and coming back show the page that one sees."""
    fragment.headers["HX-Replace-Url"] = address
    return fragment


def is_fragment_request() -> bool:
    """Whether the answer will be swapped into a page; only for guards that must not put a whole page there."""
    return bool(getattr(request, "htmx", False))
