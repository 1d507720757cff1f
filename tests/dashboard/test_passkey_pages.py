"""The pages that passkeys are added, used and removed with."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
import time_machine
from flask import Flask

from portal_site.db.transactions import transaction
from portal_site.staff import passkeys, second_step
from portal_site.staff.models import User
from tests import world
from tests.client import PortalClient, text
from tests.dashboard.authenticator import ORIGIN, Authenticator, asked_by, fields
from tests.dashboard.staff import PASSWORD, Employee, account, client_of, employ, sign_in

AT = world.HALF
SIGN_IN, CODE, BY_PASSKEY = "/dashboard/sign-in", "/dashboard/sign-in/code", "/dashboard/sign-in/code/passkey"
SETUP, PROFILE, PASSKEYS = "/dashboard/sign-in/second-step", "/dashboard/profile", "/dashboard/profile/passkeys"
NEW, PROOF, APP = f"{PASSKEYS}/new", "/dashboard/proof", "/dashboard/profile/app"
MISSING = "Passkeys need JavaScript and a browser that knows them."
pytestmark = pytest.mark.usefixtures("now")


@pytest.fixture
def now() -> Iterator[None]:
    with time_machine.travel(AT, tick=False):
        yield


@pytest.fixture
def site(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The app at a name, which passkeys need."""
    monkeypatch.setitem(lite_app.config, "SETTINGS", replace(lite_app.config["SETTINGS"], base_url=ORIGIN))
    return lite_app


@pytest.fixture
def ada(lite_app: Flask) -> Employee:
    with time_machine.travel(AT - 3600, tick=False):
        return employ(account())


def _add(client: PortalClient, device: Authenticator, name: str = "My phone") -> None:
    answer = device.create(asked_by(client.get(NEW).text))
    done = client.send(PASSKEYS, {"name": name, **fields(answer)})
    assert (done.status_code, done.location) == (303, PROFILE)


def _with_password(app: Flask, who: Employee) -> PortalClient:
    client = client_of(app)
    client.get(SIGN_IN)
    client.send(SIGN_IN, {"email": who.email, "password": PASSWORD})
    return client


def _with_passkey_only(app: Flask, who: Employee, device: Authenticator) -> PortalClient:
    client = sign_in(app, who)
    _add(client, device)
    assert client.send(f"{APP}/removal").status_code == 303
    return client


def test_a_passkey_is_added_used_and_removed(site: Flask, ada: Employee) -> None:
    client, device = sign_in(site, ada), Authenticator()
    _add(client, device)
    assert re.search(r"My phone Added [^<]{8,20}, not used yet", text(client.get(PROFILE).text))
    other = _with_password(site, ada)
    asked = other.get(CODE)
    assert "<h1>Use your passkey or a code</h1>" in asked.text
    assert MISSING in text(asked.text)
    assert "passkeys-" in asked.text
    done = other.send(BY_PASSKEY, fields(device.get(asked_by(asked.text))))
    assert (done.status_code, done.location) == (303, "/dashboard")
    assert re.search(r"My phone Added [^<]{8,20}, last used", text(other.get(PROFILE).text))
    (row,) = passkeys.of_user(ada.user_id)
    gone = other.send(f"{PASSKEYS}/{row.id}/removal")
    assert gone.status_code == 303
    assert "“My phone” signs nobody in any more" in text(other.get(PROFILE).text)
    assert other.send(f"{PASSKEYS}/{row.id}/removal").status_code == 404


def test_an_answer_that_is_wrong_is_asked_for_again(site: Flask, ada: Employee) -> None:
    client, device = sign_in(site, ada), Authenticator()
    lured = client.send(
        PASSKEYS, {"name": "P", **fields(device.create(asked_by(client.get(NEW).text), host="x.example"))}
    )
    assert (lured.status_code, "This passkey was not accepted." in lured.text) == (422, True)
    device_again = device.create(asked_by(lured.text))  # the page that says so asks anew
    assert client.send(PASSKEYS, {"name": "P", **fields(device_again)}).status_code == 303
    other = _with_password(site, ada)
    first = asked_by(other.get(CODE).text)
    refused = other.send(BY_PASSKEY, fields(device.get(first, origin="https://evil.example")))
    assert (refused.status_code, "This passkey was not accepted." in refused.text) == (422, True)
    replayed = other.send(BY_PASSKEY, fields(device.get(first)))
    assert (replayed.status_code, "sent already" in replayed.text) == (422, True)
    assert other.get(PROFILE).status_code == 303
    assert other.send(BY_PASSKEY, fields(device.get(asked_by(replayed.text)))).status_code == 303


def test_an_answer_is_nothing_without_the_password(site: Flask, ada: Employee) -> None:
    device = Authenticator()
    _add(sign_in(site, ada), device)
    answer = fields(device.get(asked_by(_with_password(site, ada).get(CODE).text)))
    stranger = client_of(site)
    stranger.get(SIGN_IN)
    assert stranger.send(BY_PASSKEY, answer).location == SIGN_IN
    assert stranger.get(PROFILE).status_code == 303


def test_without_a_script_there_are_the_codes(site: Flask, ada: Employee) -> None:
    client = _with_passkey_only(site, ada, Authenticator())
    codes = second_step.new_recovery_codes(ada.user_id, AT)
    other = _with_password(site, ada)
    page = other.get(CODE)
    assert f"{MISSING} Enter a code instead." in text(page.text)
    assert "<h1>Use your passkey</h1>" in page.text
    assert "One of your recovery codes." in page.text
    assert "The six digits" not in page.text
    empty = other.send(BY_PASSKEY)
    assert (empty.status_code, "Passkeys need JavaScript." in empty.text) == (422, True)
    assert other.send(CODE, {"code": ada.code()}).status_code == 422  # the app is gone
    assert other.send(CODE, {"code": codes[0]}).status_code == 303
    unsent = client.send(PASSKEYS, {"name": "Phone"})
    assert (unsent.status_code, "Passkeys need JavaScript." in unsent.text) == (422, True)
    unnamed = client.send(PASSKEYS, {"name": " "})
    assert (unnamed.status_code, "Name of the passkey is required." in unnamed.text) == (422, True)


def test_who_has_an_app_only_sees_nothing_of_passkeys(site: Flask, ada: Employee) -> None:
    page = _with_password(site, ada).get(CODE).text
    assert "<h1>Enter your code</h1>" in page
    assert MISSING not in page


def test_below_an_ip_address_the_pages_say_why_there_are_none(lite_app: Flask, ada: Employee) -> None:
    client = sign_in(lite_app, ada)
    page = client.get(NEW)
    assert "they need a domain name" in page.text
    assert "data-options" not in page.text
    answer = fields(Authenticator().create(passkeys.ask_to_add(passkeys.relying_party(ORIGIN), ada.user_id, AT)))
    refused = client.send(PASSKEYS, {"name": "Phone", **answer})
    assert (refused.status_code, "they need a domain name" in refused.text) == (422, True)
    # Somebody whose passkeys are from before a move to an address without a name.
    passkeys.add(
        passkeys.relying_party(ORIGIN), ada.user_id,
        Authenticator().create(passkeys.ask_to_add(passkeys.relying_party(ORIGIN), ada.user_id, AT)), "P", AT, first=False,
    )  # fmt: skip
    for there in (_with_password(lite_app, ada).get(CODE), client.get(PROOF)):
        assert "they need a domain name" in there.text
        assert "data-options" not in there.text


def test_a_passkey_can_be_the_first_second_step(site: Flask, ada: Employee) -> None:
    with transaction() as session:
        second_step.remove(session, ada.user_id)
    client, thief = _with_password(site, ada), _with_password(site, ada)
    device, page = Authenticator(), client.get(SETUP)
    assert 'value="A browser"' in page.text
    unnamed = client.send(f"{SETUP}/passkey", {"name": ""})
    assert (unnamed.status_code, "Name of the passkey is required." in unnamed.text) == (422, True)
    lured = client.send(
        f"{SETUP}/passkey", {"name": "P", **fields(device.create(asked_by(page.text), host="evil.example"))}
    )
    assert (lured.status_code, "This passkey was not accepted." in lured.text) == (422, True)
    late = asked_by(thief.get(SETUP).text)
    done = client.send(f"{SETUP}/passkey", {"name": "Phone", **fields(device.create(asked_by(lured.text)))})
    assert done.text.count("<li><code>") == 10
    assert client.get(PROFILE).status_code == 200
    assert (
        thief.send(f"{SETUP}/passkey", {"name": "Mine", **fields(Authenticator().create(late))}).location
        == "/dashboard"
    )
    assert [one.name for one in passkeys.of_user(ada.user_id)] == ["Phone"]
    other = _with_password(site, ada)
    assert other.send(BY_PASSKEY, fields(device.get(asked_by(other.get(CODE).text)))).status_code == 303


def test_the_only_second_step_cannot_be_removed(site: Flask, ada: Employee) -> None:
    client, device = sign_in(site, ada), Authenticator()
    alone = client.send(f"{APP}/removal")
    assert (alone.status_code, "Add a passkey first." in alone.text) == (422, True)
    _add(client, device)
    assert client.send(f"{APP}/removal").status_code == 303
    (row,) = passkeys.of_user(ada.user_id)
    last = client.send(f"{PASSKEYS}/{row.id}/removal")
    assert (last.status_code, "This is your only second step." in last.text) == (422, True)
    assert "Set up an app" in client.get(PROFILE).text


def test_an_app_is_set_up_beside_a_passkey(site: Flask, ada: Employee) -> None:
    client = _with_passkey_only(site, ada, Authenticator())
    page = client.get(APP)
    secret = page.text.partition("type <code>")[2].partition("</code>")[0].replace(" ", "")
    wrong = client.send(APP, {"code": "000000"})
    assert (wrong.status_code, "This code is wrong." in wrong.text) == (422, True)
    new = Employee(ada.user_id, ada.email, secret)
    assert client.send(APP, {"code": new.code()}).status_code == 303
    assert second_step.of_user(ada.user_id) == second_step.SetUp(has_app=True, has_passkey=True)
    assert client.get(APP).location == PROFILE


def test_adding_and_removing_ask_who_it_is(site: Flask, ada: Employee) -> None:
    client, device = sign_in(site, ada), Authenticator()
    _add(client, device)
    (row,) = passkeys.of_user(ada.user_id)
    with time_machine.travel(AT + 15 * 60 + 1, tick=False):
        assert client.get(NEW).location == f"{PROOF}?next={NEW}"
        for there in (PASSKEYS, f"{PASSKEYS}/{row.id}/removal", APP, f"{APP}/removal"):
            assert client.send(there).location == PROOF
        asked = asked_by(client.get(PROOF).text)
        stolen = device.get(asked_by(_with_password(site, ada).get(CODE).text))
        refused = client.send(f"{PROOF}/passkey", {"next": NEW, **fields(stolen)})  # made for the sign-in
        assert (refused.status_code, "This passkey was not accepted." in refused.text) == (422, True)
        assert client.send(f"{PROOF}/passkey", {"next": NEW, **fields(device.get(asked))}).location == NEW
        assert client.get(NEW).status_code == 200


def test_with_a_passkey_only_the_old_codes_of_the_app_are_worth_nothing(site: Flask, ada: Employee) -> None:
    _with_passkey_only(site, ada, Authenticator())
    with transaction() as session:
        user = session.get_one(User, ada.user_id)
        assert (user.totp_secret, user.totp_confirmed_at, user.totp_last_step) == (None, None, None)
