"""How often a code can be asked for and guessed, and that nobody is kept from one by others."""

from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from portal_site.billing.models import Customer, LoginRequest
from portal_site.billing.portal_access import logins
from tests import world
from tests.client import PortalClient, text
from tests.portal.logging_in import AT, EMAIL, NOW, ask, enter_code, login_page, mail_is_on, mails  # noqa: F401
from tests.world import reading


@NOW
@pytest.mark.case("A8")
@pytest.mark.both_databases
def test_after_five_tries_the_right_code_is_worth_nothing(app: Flask) -> None:
    page = login_page(world.shop())
    client, _asked = ask(app, page)
    ((code, _body),) = mails(app)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    said = [text(enter_code(client, page, wrong).text) for _ in range(5)]
    assert all("This is not the code that we sent last." in each for each in said[:4])
    assert "This code is no longer valid." in said[4]
    assert enter_code(client, page, code).status_code == 422
    assert client.get("/").status_code == 403


def _ask_from(app: Flask, page: str, network: str, email: str = EMAIL) -> int:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    there = {"environ_base": {"REMOTE_ADDR": network}}
    client.get(page, **there)
    return client.send(page, {"email": email}, **there).status_code


@NOW
@pytest.mark.case("A10")
@pytest.mark.both_databases
def test_an_address_gets_three_codes_in_ten_minutes(app: Flask) -> None:
    page = login_page(world.shop())
    for _ in range(5):
        assert ask(app, page)[1].status_code == 303
    assert len(mails(app)) == 3


@NOW
@pytest.mark.case("A10")
def test_who_asks_for_somebody_elses_code_does_not_keep_it_from_them(lite_app: Flask) -> None:
    page = login_page(world.shop())
    for _ in range(5):
        _ask_from(lite_app, page, "203.0.113.9")
    mails(lite_app)
    client, _asked = ask(lite_app, page)
    codes = [code for code, _body in mails(lite_app)]
    assert len(codes) == 4
    assert any(enter_code(client, page, code).status_code == 303 for code in codes)


@NOW
@pytest.mark.case("A10")
def test_an_address_gets_ten_codes_in_an_hour_from_wherever(lite_app: Flask) -> None:
    page = login_page(world.shop())
    for number in range(12):
        assert _ask_from(lite_app, page, f"203.0.113.{number}") == 303
    assert len(mails(lite_app)) == logins.MOST_TO_ADDRESS[logins.HOUR]


@NOW
def test_a_network_that_asks_too_often_is_told_to_wait(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_OF_NETWORK", {logins.HOUR: 2, logins.DAY: 3})
    page = login_page(world.shop())
    near = ("2001:db8::5", "2001:db8:0:7::6", "2001:db8:0:ffff::1")
    assert [_ask_from(lite_app, page, each, f"{each}@x.example") for each in near] == [422] * 3
    assert [_ask_from(lite_app, page, each) for each in near] == [303, 303, 429]
    assert _ask_from(lite_app, page, "2001:db8:1::1") == 303
    assert [_ask_from(lite_app, page, each) for each in ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1")] == [
        303,
        303,
        429,
    ]
    with time_machine.travel(AT + logins.HOUR, tick=False):
        assert [_ask_from(lite_app, page, near[0]) for _ in range(2)] == [303, 429]


@NOW
@pytest.mark.parametrize(("later", "header", "words"), [(0, "3600", "in 1 hour."), (3510, "90", "in 2 minutes.")])
def test_a_network_is_told_how_long_it_has_to_wait(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch, later: int, header: str, words: str
) -> None:
    monkeypatch.setattr(logins, "MOST_OF_NETWORK", {logins.HOUR: 2})
    page = login_page(world.shop())
    for _ in range(2):
        assert ask(lite_app, page)[1].status_code == 303
    with time_machine.travel(AT + later, tick=False):
        _client, refused = ask(lite_app, page)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, header)
    assert f"Too many codes have been requested. Try again {words}" in text(refused.text)


@NOW
def test_one_request_that_cannot_be_answered_keeps_nobody_else_out(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = login_page(world.shop())
    ask(lite_app, page)
    broken = world.shop("Broken")
    with world.transaction() as session:
        account = session.get(world.Account, broken.customer.account_id)
        assert account
        account.branding = {"button": "nonsense"}
        session.execute(update(Customer).where(Customer.id == broken.customer.id).values(email=EMAIL))
    client: PortalClient = lite_app.test_client()  # type: ignore[assignment]
    started = logins.request_code(logins.find_page(login_page(broken).removeprefix("/login/")), EMAIL, "x", None, AT)  # type: ignore[arg-type]
    assert started.request_id
    assert client
    assert len(mails(lite_app)) == 1
    with reading() as reader:
        query = select(LoginRequest.id).where(LoginRequest.answered_at.is_(None))
        assert reader.execute(query.execution_options(unscoped="a test")).first() is None


@NOW
def test_a_database_that_fails_in_between_answers_nobody_yet(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    page = login_page(world.shop())
    ask(lite_app, page)

    def fail(*_given: Any) -> bool:
        raise OperationalError("SELECT", {}, Exception("gone"))

    with monkeypatch.context() as patched:
        patched.setattr(logins, "may_mail", fail)
        with pytest.raises(OperationalError):
            mails(lite_app)
    assert len(mails(lite_app)) == 1
