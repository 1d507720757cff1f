"""The only place that knows of `HX-*` headers."""

from flask import Flask, Response, redirect, request
from htmx_flask import Htmx
from werkzeug.wrappers import Response as BaseResponse


def init(app: Flask) -> None:
    """Teach the app's requests to say whether htmx sent them."""
    Htmx(app)


def leave_to(address: str) -> BaseResponse:
    """Send the whole browser to another page: a redirect would only swap that page into a corner of this one."""
    if not getattr(request, "htmx", False):
        return redirect(address, 303)
    response = Response(status=204)
    response.headers["HX-Redirect"] = address
    response.vary.add("HX-Request")
    return response


def stand_for(fragment: Response, address: str) -> Response:
    """Let the browser's address follow a fragment, so that reloading and coming back show the page that one sees."""
    fragment.headers["HX-Replace-Url"] = address
    return fragment


def is_fragment_request() -> bool:
    """Whether the answer will be swapped into a page; only for guards that must not put a whole page there."""
    return bool(getattr(request, "htmx", False))
