"""Templates share the environment's globals."""

import pytest
from flask import Flask


def test_an_included_template_has_the_same_globals(sqlite_app: Flask) -> None:
    env = sqlite_app.jinja_env
    assert env.get_template("portal/invoices/_rows.html").globals is env.globals


def test_no_template_can_add_globals_for_all_others(sqlite_app: Flask) -> None:
    with pytest.raises(ValueError, match="globals of one template: secret"):
        sqlite_app.jinja_env.from_string("{{ secret }}", globals={"secret": 1})
    assert "secret" not in sqlite_app.jinja_env.globals
