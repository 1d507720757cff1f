"""The first page of a new portal: it needs the printed token, and works once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal_site.billing.accounts.accounts import NewAccount
from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.billing.models import Account, PortalConfiguration
from portal_site.dashboard.access import setup as pages
from portal_site.db.transactions import reading
from portal_site.staff import setup
from tests import world
from tests.client import PortalClient
from tests.dashboard.staff import BUSINESS, PASSWORD, client_of, employ

AT = world.HALF
NOW = time_machine.travel(AT, tick=False)
GOOD = {
    "business_name": "Lumen Press", "country": "FR", "currency": "eur", "timezone": "Europe/Paris",
    "name": "Ada Byron", "email": "ada@lumen.example", "password": PASSWORD,
}  # fmt: skip


def _link(app: Flask, at: int = AT) -> str:
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        found = pages.link(at)
    assert found
    return found.removeprefix("http://127.0.0.1:8000")


def _open(app: Flask, at: int = AT) -> tuple[PortalClient, str]:
    client, link = client_of(app), _link(app, at)
    assert client.get(link, headers={"Accept-Language": "fr-FR"}).status_code == 200
    return client, link.partition("token=")[2]


@NOW
def test_the_page_makes_an_account_and_its_owner(app: Flask) -> None:
    client, token = _open(app)
    done = client.send("/setup", {**GOOD, "token": token})
    assert (done.status_code, done.location) == (303, "/dashboard")
    assert client.get("/dashboard").location == "/dashboard/sign-in/second-step"
    with reading() as reader:
        anybody = {"unscoped": "there is one"}
        account = reader.execute(select(Account).execution_options(**anybody)).one()
        modes = reader.scalars(
            select(PortalConfiguration.livemode).where(
                PortalConfiguration.account_id == account.id, PortalConfiguration.is_default, PortalConfiguration.active
            )
        ).all()
    assert (account.business_name, account.country, account.default_currency) == ("Lumen Press", "FR", "eur")
    assert sorted(modes) == [False, True]
    assert client_of(app).get(f"/setup?token={token}").status_code == 404  # once
    with app.test_request_context():
        assert pages.link(AT) is None


@NOW
def test_the_form_guesses_from_the_language(app: Flask) -> None:
    page = client_of(app).get(_link(app), headers={"Accept-Language": "de-AT,de;q=0.9"}).text
    assert '<option selected value="AT">' in page
    assert '<option selected value="eur">' in page
    assert 'value="Europe/Vienna"' in page


@NOW
@pytest.mark.parametrize("token", ["", "x", "eyJhIjoxfQ.aaaa"])
def test_without_the_token_there_is_no_page(app: Flask, token: str) -> None:
    client = client_of(app)
    assert client.get("/setup").status_code == 404
    assert client.get(f"/setup?token={token}").status_code == 404
    client.get("/dashboard/sign-in")
    assert client.send("/setup", {**GOOD, "token": token}).status_code == 404


@NOW
def test_a_link_of_yesterday_does_not_work(app: Flask) -> None:
    assert client_of(app).get(_link(app, AT - pages.LIFE - 1)).status_code == 404
    assert client_of(app).get(_link(app, AT - pages.LIFE)).status_code == 200


@NOW
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"business_name": "  "}, "Business name is required."),
        ({"country": "XX"}, "Not a valid choice."),
        ({"currency": "dem"}, "Not a valid choice."),
        ({"timezone": "Mars/Olympus"}, "Choose a time zone."),
        ({"email": "ada"}, "Enter an email address"),
        ({"password": "short"}, "Use at least 10 characters."),
        ({"password": "lumenpress1"}, "easy to guess"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field_and_nothing_is_made(
    app: Flask, wrong: dict[str, str], words: str
) -> None:
    client, token = _open(app)
    page = client.send("/setup", {**GOOD, **wrong, "token": token})
    assert (page.status_code, words in page.text) == (422, True)
    assert "Ada Byron" in page.text
    assert PASSWORD not in page.text
    assert setup.is_open()


@NOW
def test_of_two_that_begin_at_once_one_does(app: Flask) -> None:
    start = threading.Barrier(2)

    def begin(number: int) -> bool:
        with app.app_context(), acting_as(ActorType.OPERATOR):
            start.wait()
            try:
                setup.begin(BUSINESS, f"{number}@lumen.example", "Ada", PASSWORD, AT)
            except BillingError:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, range(2))) == [False, True]


@NOW
def test_with_an_account_there_is_no_set_up(app: Flask) -> None:
    employ(setup.create_account(NewAccount("Other", "DE", "eur", "UTC"), AT).id)
    with app.test_request_context():
        assert pages.link(AT) is None
