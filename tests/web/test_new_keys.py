"""A new secret key: what was signed with the former one goes on while it is named, and ends without a fault when it is not."""

from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask

from tests import world
from tests.client import PortalClient
from tests.conftest import SECRET, enter, make_app
from tests.portal import changing

NEW = "a later secret of the tests, long enough too"
EDIT = "/billing-information/edit"


def _restarted(app: Flask, folder: Path, client: PortalClient, *former: str, key: str = NEW) -> PortalClient:
    """The same browser, at the program with another key on the same database."""
    settings: dict[str, Any] = {"secret_key": key, "secret_key_fallbacks": former}
    other = make_app(app.config["SETTINGS"].database_url, folder, **settings)
    same = other.test_client()
    name = app.config["SESSION_COOKIE_NAME"]
    cookie = client.get_cookie(name)
    assert cookie is not None
    same.set_cookie(name, cookie.value)
    same.token = client.token  # type: ignore[attr-defined]
    return same  # type: ignore[return-value]


@pytest.mark.case("F15")
def test_who_was_in_the_middle_of_something_goes_on_under_a_new_key(app: Flask, tmp_path: Path) -> None:
    with time_machine.travel(world.HALF, tick=False):
        shop = world.shop()
        client = enter(app, shop.customer)
        page = changing.quote(client, shop, quantity=2)
        after = _restarted(app, tmp_path, client, "k" * 40, SECRET)
        assert (
            changing.confirm(after, shop, page).status_code == 303
        )  # the session, the form's token and the signed quote
        assert changing.state(shop)[0].quantity == 2
        assert after.send("/language", {"language": "fr"}).status_code == 303
        later = _restarted(app, tmp_path, after)  # the former key is not needed once the cookie was written again
        assert later.get("/").status_code == 200


@pytest.mark.case("F15")
def test_a_lost_key_logs_everybody_out_and_breaks_nothing(app: Flask, tmp_path: Path) -> None:
    with time_machine.travel(world.HALF, tick=False):
        shop = world.shop()
        client = enter(app, shop.customer)
        page = changing.quote(client, shop, quantity=2)
        after = _restarted(app, tmp_path, client)
        assert after.get("/").status_code == 403
        assert changing.confirm(after, shop, page).status_code == 403
        assert changing.untouched(shop)
        again = enter(after.application, shop.customer)
        assert again.get("/").status_code == 200
        assert changing.confirm(again, shop, page).status_code == 409  # what the lost key signed is shown anew
        assert changing.untouched(shop)
