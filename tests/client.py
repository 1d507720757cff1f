"""The tests' HTTP client. It checks every response against the rules in `lint`, and fills in forms as a browser does."""

import html
import re
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import lxml.html
from flask.testing import FlaskClient
from lxml.html import HtmlElement
from werkzeug.test import TestResponse

from tests import lint

TOKEN = re.compile(r'name="csrf_token" value="([^"]*)"')
EVERYWHERE = ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy")


class PortalClient(FlaskClient):
    """A client that checks each response. `send` posts with the CSRF token of the last page."""

    token = ""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:  # type: ignore[override]
        kwargs.setdefault("buffered", True)  # to the end, as a browser does: a response half read keeps its context
        # Each request gets its own app context. Otherwise requests would share the test's `g` and database session.
        with self.application.app_context():
            response = super().open(*args, **kwargs)
        for name in EVERYWHERE:
            assert name in response.headers, f"{response.request.path} lacks {name}"
        is_email = (
            "style-src 'unsafe-inline'" in response.headers["Content-Security-Policy"]
        )  # which is shown in a frame
        if response.mimetype == "text/html" and response.data and response.status_code // 100 != 3 and not is_email:
            whole = response.text.lstrip().startswith("<!doctype")
            lint.check(response.text, response.headers["Content-Security-Policy"], whole=whole)
            token = TOKEN.search(response.text)
            self.token = html.unescape(token[1]) if token else self.token
        return response

    def send(self, path: str, data: dict[str, Any] | None = None, **kwargs: Any) -> TestResponse:
        """POST form data to `path` with the CSRF token of the last page."""
        return self.post(path, data={"csrf_token": self.token, **(data or {})}, **kwargs)

    def form(self, page: str, action: str | None = None) -> dict[str, str]:
        """The form data of the form on `page` with this `action` (default: the page itself), as a browser would send it."""
        response = self.get(page)
        assert response.status_code == 200, response.status
        for form in parse(response.text).iter("form"):
            if form.get("action") == (action or page):
                return dict(_fields(form))
        raise AssertionError(f"{page} has no form to {action or page}")


@lru_cache(maxsize=8)
def parse(markup: str) -> HtmlElement:
    """The document's tree. It is cached and must not be changed.

    By a fast parser, which takes any markup: that it is right has been checked by `lint` where it was fetched.
    """
    return lxml.html.document_fromstring(markup)


class _Words(HTMLParser):
    """Collects the text of the body, or of a fragment."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self.found.clear()

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@lru_cache(maxsize=8)
def text(markup: str) -> str:
    """The text of the document's body, with single blanks. It has no need of a tree, which takes five times as long."""
    words = _Words()
    words.feed(markup)
    words.close()
    return " ".join(" ".join(words.found).split())


def _fields(form: HtmlElement) -> Any:
    for field in form.iter():
        name = field.get("name") if isinstance(field.tag, str) else None
        if not name or field.tag == "button":
            continue
        if field.tag == "select":
            chosen = [o for o in field.iter("option") if o.get("selected") is not None] or list(field.iter("option"))[
                :1
            ]
            yield name, chosen[0].get("value", "") if chosen else ""
        elif field.get("type") in ("radio", "checkbox"):
            if field.get("checked") is not None:
                yield name, field.get("value", "on")
        else:
            yield name, field.get("value", "")
