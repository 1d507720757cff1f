"""URLs: the templates' `url_for` builds what the router builds, and redirects lead to own paths only."""

from typing import Any

import flask
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Map, Rule

from portal_site.web import security, urls


@pytest.fixture(scope="module")
def ours(sqlite_app: Flask) -> object:
    """The function that templates call."""
    return sqlite_app.jinja_env.globals["url_for"]


@pytest.mark.parametrize("root", ["", "/billing"])
def test_every_route_has_the_routers_address(sqlite_app: Flask, ours: object, root: str) -> None:
    with sqlite_app.test_request_context(base_url=f"http://localhost{root}"):
        for rule in sqlite_app.url_map.iter_rules():
            values = {name: "in_aB3-x é/%?#" if f"<{name}>" in rule.rule else "2026" for name in rule.arguments}
            values |= {name: "live" for name in rule.arguments if name == "mode"}
            assert ours(rule.endpoint, **values) == flask.url_for(rule.endpoint, **values)  # type: ignore[operator]


@given(st.text(min_size=1, max_size=20))
def test_whatever_an_id_is(sqlite_app: Flask, ours: object, value: str) -> None:
    with sqlite_app.test_request_context():
        expected = flask.url_for("portal.show_invoice", invoice_id=value)
        assert ours("portal.show_invoice", invoice_id=value) == expected  # type: ignore[operator]


def test_queries_and_other_hosts_are_the_routers_work(sqlite_app: Flask, ours: object) -> None:
    with sqlite_app.test_request_context():
        assert ours("portal.show_invoices", after="1_in") == "/invoices?after=1_in"  # type: ignore[operator]
        assert ours("portal.show_overview", _external=True) == "http://localhost/"  # type: ignore[operator]


@pytest.mark.case("C8")
@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\nb", "javascript:x", ""]
)
@pytest.mark.parametrize("root", ["", "/billing"])
def test_redirects_lead_to_own_paths_only(sqlite_app: Flask, path: str, root: str) -> None:
    with sqlite_app.test_request_context(base_url=f"http://localhost{root}"):
        assert security.own_path(path) == f"{root}/"
        assert security.own_path(f"{root}/invoices") == f"{root}/invoices"
        assert security.own_path("/billingx/y") == (f"{root}/" if root else "/billingx/y")


def test_the_code_that_builds_a_url_is_compiled_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_builder = Rule._compile_builder

    def noted(rule: Rule, *arguments: bool) -> Any:
        compiled.append(rule.endpoint)
        return compile_builder(rule, *arguments)

    monkeypatch.setattr(Rule, "_compile_builder", noted)
    routes = Map([urls.LazyRule("/invoices/<name>", endpoint="invoice")]).bind("localhost")
    assert compiled == []
    assert [routes.build("invoice", {"name": name}) for name in ("in_1", "in_2")] == [
        "/invoices/in_1",
        "/invoices/in_2",
    ]
    assert compiled == ["invoice"]


def test_all_routes_compile_it_late(sqlite_app: Flask) -> None:
    assert {type(rule) for rule in sqlite_app.url_map.iter_rules()} == {urls.LazyRule}
