"""A fast `url_for` for templates, which builds URLs from the routes' patterns without using the router.

A page has about thirty URLs, and building one with the router takes longer than rendering a paragraph.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import flask
from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from portal_site.web import security

LONGEST = 1000
_SAFE = re.compile(r"[\w.~-]*", re.ASCII)  # what stands in a URL as it is, such as ids


class LazyRule(Rule):
    """A route whose URL-building code is compiled when it is first used.

    Werkzeug compiles it for each route at once, which takes a tenth of the program's start, although few are ever used. The
    method is private to it: should it get another name, routes are compiled at once again, and a test fails.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        make = super()._compile_builder
        made: list[Callable[..., tuple[str, str]]] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not made:
                made.append(make(append_unknown))
            return made[0](rule, **values)

        return build


def init(app: Flask) -> None:
    """Replace the templates' `url_for`. It must be called after all routes are registered."""
    patterns = {
        rule.endpoint: _pattern(rule.rule, rule.arguments)
        for rule in app.url_map.iter_rules()
        if all(f"<{name}>" in rule.rule for name in rule.arguments)  # the router builds those with a converter
    }

    def address(endpoint: str, **values: Any) -> str:
        pattern = patterns.get(endpoint)
        if (
            pattern is None
            or values.keys() != pattern[1]
            or not all(isinstance(value, str) for value in values.values())
        ):
            return flask.url_for(endpoint, **values)  # a URL with a query, host or anchor
        return root() + pattern[0] % {name: _quoted(value) for name, value in values.items()}

    app.jinja_env.globals["url_for"] = address


def url_for(endpoint: str, **values: str) -> str:
    """The templates' `url_for` for Python code."""
    address: Callable[..., str] = current_app.jinja_env.globals["url_for"]  # type: ignore[assignment]
    return address(endpoint, **values)


def root() -> str:
    """The path below which the portal is mounted, without a slash at its end."""
    return request.root_path.rstrip("/")


def here() -> str:
    """The path of this request as the browser has it, with the query if any."""
    return f"{root()}{request.full_path.rstrip('?')}"


def page(path: str, blueprint: str) -> str | None:
    """The path unchanged, with its query if any, if it is a page of this blueprint; otherwise None."""
    if len(path) > LONGEST or security.own_path(path) != path:
        return None
    route = path.partition("?")[0].removeprefix(root())
    try:
        endpoint, _ = current_app.create_url_adapter(request).match(route, "GET")  # type: ignore[union-attr]
    except HTTPException:  # no such route, or not for GET
        return None
    return path if endpoint.startswith(f"{blueprint}.") else None


def nearest_page(path: str, blueprint: str) -> str:
    """The path if it is a page of this blueprint, else the nearest page above it, in the end the top."""
    while path and not page(path, blueprint):
        path = path.rpartition("/")[0]
    return path or f"{root()}/"


def _pattern(rule: str, names: set[str]) -> tuple[str, set[str]]:
    pattern = rule.replace("%", "%%")
    for name in names:
        pattern = pattern.replace(f"<{name}>", f"%({name})s")
    return pattern, names


def _quoted(value: str) -> str:
    return value if _SAFE.fullmatch(value) else quote(value, safe="!$&'()*+,/;=:@")
