"""The templates' `url_for` builds exactly the URLs that the router builds."""

import flask
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st


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
