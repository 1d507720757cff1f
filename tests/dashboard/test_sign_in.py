"""Signing in to the dashboard: password, second step, limits, and what ends a session."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Event
from portal_site.db.transactions import reading, transaction
from portal_site.staff import passwords, second_step, sessions, users
from portal_site.staff import sign_in as staff_sign_in
from portal_site.staff.models import RecoveryCode, User, UserSession
from portal_site.staff.sign_in import PasswordAccepted, TooManyTries
from tests import world
from tests.client import PortalClient, text
from tests.dashboard.staff import PASSWORD, Employee, account, client_of, employ, sign_in_by_the_pages

AT = world.HALF
NOW = time_machine.travel(AT, tick=False)
WRONG = "The email address or the password is wrong."


@pytest.fixture
def ada(app: Flask) -> Employee:
    with time_machine.travel(AT - 3600, tick=False):
        return employ(account())


def _password(client: PortalClient, email: str, password: str, network: str = "203.0.113.1") -> tuple[int, str]:
    client.get("/dashboard/sign-in")
    there = {"environ_base": {"REMOTE_ADDR": network}}
    response = client.send("/dashboard/sign-in", {"email": email, "password": password}, **there)
    return response.status_code, text(response.text)


@NOW
def test_a_user_signs_in_and_out(app: Flask, ada: Employee) -> None:
    client = client_of(app)
    wanted = client.get("/dashboard/profile")
    assert (wanted.status_code, wanted.location) == (303, "/dashboard/sign-in?next=/dashboard/profile")
    client.get(wanted.location)
    first = client.send("/dashboard/sign-in", {"email": " Ada@Lumen.example ", "password": PASSWORD})
    assert first.location == "/dashboard/sign-in/code"
    assert client.get("/dashboard/profile").status_code == 303  # the password alone opens nothing
    client.get("/dashboard/sign-in/code")
    second = client.send("/dashboard/sign-in/code", {"code": f"{ada.code()[:3]} {ada.code()[3:]}"})
    assert second.location == "/dashboard/profile"
    cookie = next(value for value in second.headers.getlist("Set-Cookie") if "-dashboard=" in value)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    token = cookie.partition("=")[2].partition(";")[0]
    with reading() as reader:
        assert reader.scalar(select(UserSession.token_hash)) != token  # only its hash is stored
    assert "Ada Byron" in client.get("/dashboard/profile").text
    out = client.send("/dashboard/sign-in/out")
    assert (out.status_code, out.headers["Clear-Site-Data"]) == (303, '"cache", "storage"')
    assert sessions.find(token, AT) is None
    assert client.get("/dashboard/profile").status_code == 303


@NOW
def test_what_is_wrong_is_not_told(app: Flask, ada: Employee) -> None:
    client = client_of(app)
    unknown = _password(client, "nobody@lumen.example", PASSWORD)
    wrong = _password(client, ada.email, "not the password")
    assert unknown == (422, wrong[1].replace(ada.email, "nobody@lumen.example")) == (422, unknown[1])
    assert WRONG in wrong[1]


@NOW
def test_a_network_that_guesses_has_to_wait_and_others_need_not(app: Flask, ada: Employee) -> None:
    client = client_of(app)
    for _ in range(10):
        assert _password(client, ada.email, "a guess")[0] == 422
    status, words = _password(client, ada.email, PASSWORD)
    assert status == 429
    assert "Try again in 15 minutes." in words
    assert _password(client, ada.email, PASSWORD, "198.51.100.7")[0] == 303
    with time_machine.travel(AT + 15 * 60, tick=False):
        assert _password(client, ada.email, PASSWORD)[0] == 303


@NOW
def test_of_many_guesses_at_once_no_more_are_looked_at(app: Flask, ada: Employee) -> None:
    accepted = PasswordAccepted(ada.user_id, AT - 3600, AT)
    start = threading.Barrier(8)

    def guess(_number: int) -> str:
        with app.app_context():
            start.wait()
            try:
                staff_sign_in.check_second_step(accepted, "000000", AT)
            except TooManyTries:
                return "refused"
            except BillingError:
                return "looked at"
            return "let in"

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(guess, range(8)))
    assert found == ["looked at"] * 5 + ["refused"] * 3
    with pytest.raises(TooManyTries):
        staff_sign_in.check_second_step(accepted, ada.code(), AT)


@NOW
def test_a_code_lets_in_once(app: Flask, ada: Employee) -> None:
    accepted = PasswordAccepted(ada.user_id, AT - 3600, AT)
    assert staff_sign_in.check_second_step(accepted, ada.code(AT - 30), AT).id == ada.user_id
    assert staff_sign_in.check_second_step(accepted, ada.code(AT), AT).id == ada.user_id
    for used in (ada.code(AT), ada.code(AT - 30), ada.code(AT - 90), ada.code(AT + 90), "", "1" * 40):
        with pytest.raises(BillingError, match="wrong, or was used already"):
            staff_sign_in.check_second_step(accepted, used, AT)
        staff_sign_in._forget(staff_sign_in._subject("code", ada.user_id))


@NOW
def test_a_code_that_is_typed_twice_at_once_lets_in_once(app: Flask, ada: Employee) -> None:
    accepted, start = PasswordAccepted(ada.user_id, AT - 3600, AT), threading.Barrier(3)

    def enter(_number: int) -> bool:
        with app.app_context():
            start.wait()
            try:
                staff_sign_in.check_second_step(accepted, ada.code(), AT)
            except BillingError:
                return False
            return True

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(enter, range(3))) == [False, False, True]


@NOW
def test_the_second_step_does_not_wait(app: Flask, ada: Employee) -> None:
    with pytest.raises(BillingError, match="took too long"):
        staff_sign_in.check_second_step(PasswordAccepted(ada.user_id, AT - 3600, AT - 601), ada.code(), AT)
    users.change_password(ada.user_id, "another lantern biscuit", AT)
    with pytest.raises(BillingError, match="took too long"):
        staff_sign_in.check_second_step(PasswordAccepted(ada.user_id, AT - 3600, AT), ada.code(), AT)


@NOW
def test_a_recovery_code_lets_in_once(app: Flask, ada: Employee) -> None:
    codes = second_step.new_recovery_codes(ada.user_id, AT)
    assert len(set(codes)) == 10
    accepted = PasswordAccepted(ada.user_id, AT - 3600, AT)
    assert staff_sign_in.check_second_step(accepted, codes[3].upper(), AT).id == ada.user_id
    with pytest.raises(BillingError, match="wrong, or was used already"):
        staff_sign_in.check_second_step(accepted, codes[3], AT)
    assert users.recovery_codes_left(ada.user_id) == 9
    with reading() as reader:
        stored = set(reader.scalars(select(RecoveryCode.code_hash).where(RecoveryCode.user_id == ada.user_id)))
    assert not stored & set(codes)


@NOW
def test_without_a_second_step_nothing_opens_but_its_set_up(app: Flask, ada: Employee) -> None:
    client = sign_in_by_the_pages(app, ada)
    with app.app_context(), transaction() as session:
        second_step.remove(session, ada.user_id)
    there = client.get("/dashboard/profile")
    assert there.location == "/dashboard/sign-in/second-step"
    page = client.get(there.location)
    assert client.get(there.location).text.count("data:image/svg+xml") == 1
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
    assert secret
    wrong = client.send("/dashboard/sign-in/second-step", {"code": "000000"})
    assert (wrong.status_code, "This code is wrong." in wrong.text) == (422, True)
    new = Employee(ada.user_id, ada.email, secret[1].replace(" ", ""))
    done = client.send("/dashboard/sign-in/second-step", {"code": new.code()})
    assert len(re.findall(r"<code>(\w{4}-\w{4}-\w{4})</code>", done.text)) == 10
    assert client.get("/dashboard/profile").status_code == 200
    with reading() as reader:
        assert secret[1].replace(" ", "") not in (reader.scalar(select(User.totp_secret)) or "")


@NOW
def test_a_session_ends_by_itself_and_by_its_user(app: Flask, ada: Employee) -> None:
    with app.app_context():
        token, other = (sessions.open_session(ada.user_id, "Mozilla Firefox", AT, second_step=True) for _ in range(2))
        for at in range(AT, AT + 5 * 86400, 11 * 3600):
            assert sessions.find(token, at)
        assert sessions.find(token, AT + 7 * 86400 + 1) is None
        assert sessions.find(other, AT + 12 * 3600) is None
        keep = sessions.open_session(ada.user_id, "", AT, second_step=True)
        found = sessions.find(keep, AT)
        assert found
        sessions.end(ada.user_id, AT, but=found.session_id)
        assert (sessions.find(token, AT), sessions.find(keep, AT) is not None) == (None, True)
        assert [one.id for one in sessions.of_user(ada.user_id, AT)] == [found.session_id]
        sessions.remove_old_rows(AT + 31 * 86400)
        with reading() as reader:
            assert reader.scalar(select(func.count()).select_from(UserSession)) == 0


@NOW
def test_another_password_ends_all_other_sessions(app: Flask, ada: Employee) -> None:
    client, elsewhere = sign_in_by_the_pages(app, ada), client_of(app)
    with app.app_context(), time_machine.travel(AT + 60, tick=False):
        elsewhere.set_cookie("portal-8000-dashboard", sessions.open_session(ada.user_id, "", AT, second_step=True))
    assert elsewhere.get("/dashboard/profile").status_code == 200
    for weak, words in (
        ("short", "at least 10"),
        ("password1234", "easy to guess"),
        ("ada@lumen.example", "easy to guess"),
    ):
        refused = client.send("/dashboard/profile/password", {"current": PASSWORD, "password": weak})
        assert (refused.status_code, words in refused.text) == (422, True)
    new = {"current": "not it", "password": "another lantern biscuit"}
    wrong = client.send("/dashboard/profile/password", new)
    assert (wrong.status_code, "The password is wrong." in wrong.text) == (422, True)
    assert client.send("/dashboard/profile/password", {**new, "current": PASSWORD}).status_code == 303
    assert client.get("/dashboard/profile").status_code == 200
    assert elsewhere.get("/dashboard/profile").status_code == 303
    assert _password(client_of(app), ada.email, PASSWORD)[0] == 422


@NOW
def test_some_pages_ask_for_the_password_again(app: Flask, ada: Employee) -> None:
    client = sign_in_by_the_pages(app, ada)
    account_id = client.get("/dashboard").location.rpartition("/")[2]
    invitation = f"/dashboard/{account_id}/team/invitations", {"email": "bob@lumen.example", "role": "support"}
    with time_machine.travel(AT + 15 * 60 + 1, tick=False):
        asked = client.send(*invitation)
        assert asked.location == "/dashboard/proof"
        client.get(asked.location)
        wrong = client.send("/dashboard/proof", {"password": "not it"})
        assert (wrong.status_code, "The password is wrong." in wrong.text) == (422, True)
        assert (
            client.send("/dashboard/proof", {"password": PASSWORD, "next": "//evil.example"}).location == "/dashboard"
        )
        there = f"/dashboard/{account_id}/team"
        assert client.send("/dashboard/proof", {"password": PASSWORD, "next": there}).location == there
        assert client.send(*invitation).status_code == 200


@NOW
def test_new_recovery_codes_need_the_password(app: Flask, ada: Employee) -> None:
    client = sign_in_by_the_pages(app, ada)
    assert client.send("/dashboard/profile/recovery-codes", {"password": "not it"}).status_code == 422
    done = client.send("/dashboard/profile/recovery-codes", {"password": PASSWORD})
    assert len(re.findall(r"<code>(\w{4}-\w{4}-\w{4})</code>", done.text)) == 10


@NOW
def test_a_session_with_the_password_alone_ends_when_the_second_step_is_set_up(app: Flask, ada: Employee) -> None:
    """A thief who has the password may be faster than the user, and gets no further."""
    with app.app_context(), transaction() as session:
        second_step.remove(session, ada.user_id)
    thief, mine = client_of(app), client_of(app)
    for client in (thief, mine):
        assert _password(client, ada.email, PASSWORD)[0] == 303
    page = mine.get("/dashboard/sign-in/second-step")
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
    assert secret
    new = Employee(ada.user_id, ada.email, secret[1].replace(" ", ""))
    assert mine.send("/dashboard/sign-in/second-step", {"code": new.code()}).status_code == 200
    assert mine.get("/dashboard/profile").status_code == 200
    assert thief.get("/dashboard/profile").location.startswith("/dashboard/sign-in?")
    with app.app_context():
        late = sessions.open_session(ada.user_id, "", AT, second_step=False)
        assert sessions.find(late, AT) is None


@NOW
def test_a_new_secret_is_shown_to_nobody_else(app: Flask, ada: Employee) -> None:
    with app.app_context(), transaction() as session:
        second_step.remove(session, ada.user_id)
    with time_machine.travel(AT - 60, tick=False):
        eve = employ(account(), email="eve@lumen.example", name="Eve")
    with app.app_context(), transaction() as session:
        second_step.remove(session, eve.user_id)
    client = client_of(app)  # on a computer that both use
    shown = []
    for who in (eve, ada):
        assert _password(client, who.email, PASSWORD)[0] == 303
        shown.append(re.search(r"<code>([A-Z2-7 ]+)</code>", client.get("/dashboard/sign-in/second-step").text))
        client.send("/dashboard/sign-in/out")
    assert len({found[1] for found in shown if found}) == 2


@NOW
def test_codes_are_counted_for_a_day(app: Flask, ada: Employee) -> None:
    for hour in range(4):
        for _ in range(5):
            with pytest.raises(BillingError, match="wrong, or was used"):
                at = AT + hour * 3600
                staff_sign_in.check_second_step(PasswordAccepted(ada.user_id, AT - 3600, at), "000000", at)
    later = AT + 5 * 3600
    with pytest.raises(TooManyTries):
        staff_sign_in.check_second_step(PasswordAccepted(ada.user_id, AT - 3600, later), ada.code(later), later)


@NOW
def test_what_users_do_about_themselves_is_in_the_log(app: Flask, ada: Employee) -> None:
    sign_in_by_the_pages(app, ada)
    users.change_password(ada.user_id, "another lantern biscuit", AT)
    second_step.new_recovery_codes(ada.user_id, AT)
    with reading() as reader:
        types = reader.scalars(
            select(Event.type).where(Event.actor_id == ada.user_id).execution_options(unscoped="mine")
        )
        assert set(types) >= {"user.signed_in", "user.password_changed", "user.recovery_codes_replaced"}


@NOW
def test_an_operator_helps_who_has_lost_everything(app: Flask, ada: Employee) -> None:
    password = users.reset(" Ada@lumen.example", AT)
    client = client_of(app)
    assert _password(client, ada.email, PASSWORD)[0] == 422
    assert _password(client, ada.email, password)[0] == 303
    assert client.get("/dashboard").location == "/dashboard/sign-in/second-step"
    with pytest.raises(BillingError, match="no user"):
        users.reset("nobody@lumen.example", AT)


def test_passwords_are_judged_quickly_whatever_their_length() -> None:
    passwords.check("ä" * 5 + "correct horse battery staple" * 6, ["ada"])
    with pytest.raises(BillingError, match="at most 200"):
        passwords.check("x1!" * 100_000, [])


def test_a_hash_that_is_none_lets_nobody_in() -> None:
    assert not passwords.is_right("", "")
    assert not passwords.is_right("$argon2id$broken", "x")
    assert not passwords.is_right(None, "the password of nobody")
