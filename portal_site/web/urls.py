"""Addresses of our own pages for templates, made from each route's pattern without asking the router.

A page holds some thirty of them, and the router takes longer for each than a template for a paragraph.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import flask
from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException

from portal_site.web import security

LONGEST = 1000


def init(app: Flask) -> None:
    """Replace the templates' `url_for`. Called when all routes are there."""
    patterns = {rule.endpoint: _pattern(rule.rule, rule.arguments) for rule in app.url_map.iter_rules()}

    def address(endpoint: str, **values: Any) -> str:
        pattern = patterns.get(endpoint)
        if (
            pattern is None
            or values.keys() != pattern[1]
            or not all(isinstance(value, str) for value in values.values())
        ):
            return flask.url_for(endpoint, **values)  # a query, another host, an anchor: the router's own work
        return request.root_path.rstrip("/") + pattern[0] % _quoted(values)

    app.jinja_env.globals["url_for"] = address


def page(path: str, door: str) -> str | None:
    """The path itself, perhaps with a query, if a page of that door (a blueprint) stands there; None for anything else."""
    if len(path) > LONGEST or security.own_path(path) != path:
        return None
    try:
        endpoint, _ = current_app.create_url_adapter(request).match(path.partition("?")[0], "GET")  # type: ignore[union-attr]
    except HTTPException:  # nothing stands there, or it would have to be asked in another way
        return None
    return path if endpoint.startswith(f"{door}.") else None


def _pattern(rule: str, names: set[str]) -> tuple[str, set[str]]:
    pattern = rule.replace("%", "%%")
    for name in names:
        pattern = pattern.replace(f"<{name}>", f"%({name})s")
    return pattern, names


def _quoted(values: Mapping[str, str]) -> dict[str, str]:
    return {name: quote(value, safe="!$&'()*+,/;=:@") for name, value in values.items()}
