"""Error pages: in the merchant's colours where it is known whose page it is, and shown whatever fails while they are made."""

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from tests import world
from tests.conftest import enter


def test_an_address_that_does_not_exist_is_answered_in_the_merchants_frame(lite_app: Flask) -> None:
    page = enter(lite_app, world.scene("Nordlicht").customer).get("/nowhere/at/all")
    assert page.status_code == 404
    assert "This page does not exist" in page.text
    assert "Nordlicht" in page.text


def test_it_is_answered_while_the_database_cannot_be_asked_whose_page_it_is(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = enter(lite_app, world.scene("Nordlicht").customer)

    def fail() -> None:
        raise OperationalError("SELECT 1", {}, Exception("the server closed the connection"))

    monkeypatch.setitem(lite_app.extensions, "find_owner", fail)
    page = client.get("/nowhere/at/all")
    assert page.status_code == 404
    assert "This page does not exist" in page.text
    assert "Nordlicht" not in page.text
