"""Logging in with a code from an e-mail: who is let in, who is not, and that nothing tells which addresses are known."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site import encryption
from portal_site.billing.models import Customer, LoginRequest, PortalConfiguration
from portal_site.billing.portal_access import logins, portal_sessions
from portal_site.billing.rules.portal.flows import Flow
from portal_site.mail import login_codes, outbox
from portal_site.mail.models import Email
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.portal.billing_form import submit
from tests.world import reading

AT = world.HALF
NOW = time_machine.travel(AT, tick=False)
EMAIL = "hedda@acme.example"


@pytest.fixture(autouse=True)
def _mail_is_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    app = request.getfixturevalue("app" if "app" in request.fixturenames else "lite_app")
    settings = replace(app.config["SETTINGS"], smtp_url="smtp://127.0.0.1:1?tls=none")
    monkeypatch.setitem(app.config, "SETTINGS", settings)


def _page(shop: world.Shop) -> str:
    """The URL of the shop's login page."""
    with reading() as reader:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        configuration_id = reader.execute(select(PortalConfiguration.id).where(mine)).scalar_one()
    return f"/login/{logins.set_page(configuration_id, enabled=True, new_url=False, at=AT)}"


def _ask(app: Flask, page: str, email: str = EMAIL) -> tuple[PortalClient, Any]:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    client.get(page)
    return client, client.send(page, {"email": email})


def _mails(app: Flask) -> list[tuple[str, str]]:
    """Let the worker answer: the codes and texts of the e-mails that wait."""
    with app.test_request_context(base_url="http://127.0.0.1:8000"):
        login_codes.answer_requests(AT)
    with reading() as reader:
        every = select(Email.content, Email.recipients).order_by(Email.created, Email.id)
        rows = reader.execute(every.execution_options(unscoped="a test")).all()
    texts = [json.loads(encryption.decrypt(outbox.PURPOSE, content) or "") for content, _to in rows]
    return [(re.search(r"\b\d{6}\b", subject)[0], body) for subject, body, _html in texts]  # type: ignore[index]


def _enter(client: PortalClient, page: str, code: str) -> Any:
    client.get(f"{page}/code")
    return client.send(f"{page}/code", {"code": code})


@NOW
@pytest.mark.both_databases
def test_a_code_opens_the_portal_once(app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    client, asked = _ask(app, page, " Hedda@ACME.example ")
    assert asked.location == f"{page}/code"
    ((code, body),) = _mails(app)
    assert "Your login code" in body
    assert f"http://127.0.0.1:8000{page}/code?code={code}" in body
    entered = _enter(client, page, f"{code[:3]} {code[3:]}")
    assert entered.location == "/"
    assert "Team" in text(client.get("/").text)
    assert _enter(client, page, code).status_code in (303, 422)
    other: PortalClient = app.test_client()  # type: ignore[assignment]
    assert other.get("/").status_code == 403


@NOW
def test_the_link_fills_the_code_in_but_only_where_it_was_asked_for(lite_app: Flask) -> None:
    page = _page(world.shop())
    client, _asked = _ask(lite_app, page)
    assert 'value="407913"' in client.get(f"{page}/code?code=407913").text
    other = lite_app.test_client()
    elsewhere = other.get(f"{page}/code?code=407913")
    assert elsewhere.status_code == 200
    assert "This is another browser" in text(elsewhere.text)
    assert "407913" not in elsewhere.text


@NOW
@pytest.mark.case("A11")
@pytest.mark.both_databases
def test_the_code_of_one_browser_lets_no_other_in(app: Flask) -> None:
    page = _page(world.shop())
    _ask(app, page)
    ((code, _body),) = _mails(app)
    thief, _asked = _ask(app, page)
    assert _enter(thief, page, code).status_code == 422
    assert thief.get("/").status_code == 403


@NOW
@pytest.mark.case("A7")
@pytest.mark.both_databases
def test_nothing_tells_whether_there_is_such_a_customer(app: Flask) -> None:
    page = _page(world.shop())
    answers = []
    for email in (EMAIL, "nobody@acme.example"):
        client, asked = _ask(app, page, email)
        there = client.get(asked.location)
        wrong = _enter(client, page, "000000")
        pages = [
            re.sub(r'name="csrf_token" value="[^"]+"', "", each.text.replace(email, "")) for each in (there, wrong)
        ]
        answers.append((asked.status_code, asked.location, pages, wrong.status_code))
    assert answers[0] == answers[1]
    with reading() as reader:
        query = select(LoginRequest.email).execution_options(unscoped="a test")
        assert len(reader.scalars(query).all()) == 2  # the same work for both
    assert len(_mails(app)) == 1


@NOW
@pytest.mark.case("A8")
@pytest.mark.both_databases
def test_after_five_tries_the_right_code_is_worth_nothing(app: Flask) -> None:
    page = _page(world.shop())
    client, _asked = _ask(app, page)
    ((code, _body),) = _mails(app)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    said = [text(_enter(client, page, wrong).text) for _ in range(5)]
    assert all("This is not the code that we sent last." in each for each in said[:4])
    assert "This code is no longer valid." in said[4]
    assert _enter(client, page, code).status_code == 422
    assert client.get("/").status_code == 403


@NOW
@pytest.mark.both_databases
def test_a_code_works_for_ten_minutes(app: Flask) -> None:
    page = _page(world.shop())
    client, _asked = _ask(app, page)
    ((code, _body),) = _mails(app)
    with time_machine.travel(AT + 600, tick=False):
        assert "no longer valid" in text(_enter(client, page, code).text)
    with time_machine.travel(AT + 599, tick=False):
        assert _enter(client, page, code).status_code == 303


def _ask_from(app: Flask, page: str, network: str, email: str = EMAIL) -> int:
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    there = {"environ_base": {"REMOTE_ADDR": network}}
    client.get(page, **there)
    return client.send(page, {"email": email}, **there).status_code


@NOW
@pytest.mark.case("A10")
@pytest.mark.both_databases
def test_an_address_gets_three_codes_in_ten_minutes(app: Flask) -> None:
    page = _page(world.shop())
    for _ in range(5):
        assert _ask(app, page)[1].status_code == 303
    assert len(_mails(app)) == 3


@NOW
@pytest.mark.case("A10")
def test_who_asks_for_somebody_elses_code_does_not_keep_it_from_them(lite_app: Flask) -> None:
    page = _page(world.shop())
    for _ in range(5):
        _ask_from(lite_app, page, "203.0.113.9")
    _mails(lite_app)
    client, _asked = _ask(lite_app, page)
    codes = [code for code, _body in _mails(lite_app)]
    assert len(codes) == 4
    assert any(_enter(client, page, code).status_code == 303 for code in codes)


@NOW
@pytest.mark.case("A10")
def test_an_address_gets_ten_codes_in_an_hour_from_wherever(lite_app: Flask) -> None:
    page = _page(world.shop())
    for number in range(12):
        assert _ask_from(lite_app, page, f"203.0.113.{number}") == 303
    assert len(_mails(lite_app)) == logins.MOST_TO_ADDRESS[logins.HOUR]


@NOW
def test_a_network_that_asks_too_often_is_told_to_wait(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_OF_NETWORK", {logins.HOUR: 2, logins.DAY: 3})
    page = _page(world.shop())
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
def test_one_request_that_cannot_be_answered_keeps_nobody_else_out(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = _page(world.shop())
    _ask(lite_app, page)
    broken = world.shop("Broken")
    with world.transaction() as session:
        account = session.get(world.Account, broken.customer.account_id)
        assert account
        account.branding = {"button": "nonsense"}
        session.execute(update(Customer).where(Customer.id == broken.customer.id).values(email=EMAIL))
    client: PortalClient = lite_app.test_client()  # type: ignore[assignment]
    started = logins.ask(logins.find_page(_page(broken).removeprefix("/login/")), EMAIL, "x", None, AT)  # type: ignore[arg-type]
    assert started.request_id
    assert client
    assert len(_mails(lite_app)) == 1
    with reading() as reader:
        query = select(LoginRequest.id).where(LoginRequest.answered_at.is_(None))
        assert reader.execute(query.execution_options(unscoped="a test")).first() is None


@NOW
def test_the_links_of_a_used_code_lead_to_the_overview(lite_app: Flask) -> None:
    page = _page(world.shop())
    client, _asked = _ask(lite_app, page)
    ((code, _body),) = _mails(lite_app)
    _enter(client, page, code)
    assert client.get(f"{page}/code?code={code}").location == "/"


@NOW
def test_who_has_changed_the_address_meanwhile_is_not_let_in(lite_app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    client, _asked = _ask(lite_app, page)
    ((code, _body),) = _mails(lite_app)
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == shop.customer.id).values(email="new@acme.example"))
    assert "no longer valid" in text(_enter(client, page, code).text)


@NOW
@pytest.mark.both_databases
def test_of_several_customers_with_the_address_one_chooses(app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        second = made.customer("Berg & Co", EMAIL.upper(), "x")
        gone = made.customer("Gone", EMAIL, "x")
        gone.deleted_at = AT
    stranger = world.shop("Other")
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == stranger.customer.id).values(email=EMAIL))
    client, _asked = _ask(app, page)
    ((code, _body),) = _mails(app)
    choice = _enter(client, page, code)
    assert "Hedda Berg" in choice.text
    assert "Berg &amp; Co" in choice.text
    assert "Gone" not in choice.text
    checked = re.search(r'name="checked" value="([^"]+)"', choice.text)
    assert checked
    for foreign in (stranger.customer.id, gone.id, ""):
        refused = client.send(f"{page}/customer", {"checked": checked[1], "customer": foreign})
        assert refused.status_code == 422
    unchecked = client.send(f"{page}/customer", {"checked": "x", "customer": second.id})
    assert unchecked.location == page
    done = client.send(f"{page}/customer", {"checked": checked[1], "customer": second.id})
    assert done.location == "/"
    assert "Berg & Co" in text(client.get("/billing-information").text)


@NOW
def test_the_email_address_cannot_be_changed_in_such_a_session(lite_app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    client, _asked = _ask(lite_app, page)
    ((code, _body),) = _mails(lite_app)
    _enter(client, page, code)
    form = client.get("/billing-information/edit").text
    assert 'name="name"' in form
    assert 'name="email"' not in form
    client.send("/billing-information/edit", {"name": "Hedda", "email": "thief@evil.example"})
    with reading() as reader:
        mine = Customer.id == shop.customer.id
        assert reader.execute(select(Customer.email).where(mine)).scalar() == EMAIL


@NOW
@pytest.mark.both_databases
def test_a_new_url_closes_the_old_one(app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    assert app.test_client().get(page).status_code == 200
    with reading() as reader:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        configuration_id = reader.execute(select(PortalConfiguration.id).where(mine)).scalar_one()
    newer = f"/login/{logins.set_page(configuration_id, enabled=True, new_url=True, at=AT)}"
    assert app.test_client().get(page).status_code == 404
    assert app.test_client().get(newer).status_code == 200
    logins.set_page(configuration_id, enabled=False, new_url=False, at=AT)
    assert app.test_client().get(newer).status_code == 404
    assert app.test_client().get("/login/nothing").status_code == 404
    again = logins.set_page(configuration_id, enabled=True, new_url=False, at=AT)
    assert f"/login/{again}" not in (page, newer)


@NOW
def test_a_deactivated_configuration_has_no_login_page(lite_app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(mine).values(active=False))
    assert lite_app.test_client().get(page).status_code == 404


@NOW
def test_the_address_can_be_filled_in_by_the_link(lite_app: Flask) -> None:
    page = _page(world.shop())
    shown = lite_app.test_client().get(page, query_string={"prefilled_email": 'a"><script>@x.example'})
    assert 'value="a&#34;&gt;&lt;script&gt;@x.example"' in shown.text


@NOW
@pytest.mark.parametrize("typed", ["", "nonsense", "a@b@c", "x" * 300 + "@x.example", "a@x.example\0"])
def test_what_is_no_address_is_said_so(lite_app: Flask, typed: str) -> None:
    page = _page(world.shop())
    assert _ask(lite_app, page, typed)[1].status_code in (422, 303)
    with reading() as reader:
        query = select(LoginRequest.email).execution_options(unscoped="a test")
        assert all("\0" not in email for email in reader.scalars(query))


@NOW
@pytest.mark.parametrize("typed", ["", "abc", "12345", "1" * 500, "٣" * 6])
def test_what_is_no_code_counts_but_breaks_nothing(lite_app: Flask, typed: str) -> None:
    page = _page(world.shop())
    client, _asked = _ask(lite_app, page)
    _mails(lite_app)
    assert _enter(client, page, typed).status_code == 422


@NOW
def test_an_ended_session_offers_a_code_and_leads_back_to_the_page(lite_app: Flask) -> None:
    shop = world.shop()
    page = _page(shop)
    client = enter(lite_app, shop.customer)
    with time_machine.travel(AT + 2 * 60 * 60, tick=False):
        over = client.get("/invoices")
        assert over.status_code == 403
        assert f'href="{page}"' in over.text
        client.get(page)
        client.send(page, {"email": EMAIL})
        with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
            login_codes.answer_requests(AT + 2 * 60 * 60)
        ((code, _body),) = _mails(lite_app)
        assert _enter(client, page, code).location == "/invoices"


@NOW
def test_codes_are_stored_as_keyed_hashes(lite_app: Flask) -> None:
    page = _page(world.shop())
    _ask(lite_app, page)
    ((code, _body),) = _mails(lite_app)
    with reading() as reader:
        query = select(LoginRequest.__table__).execution_options(unscoped="a test")
        row = reader.execute(query).one()
    assert code not in str(row)
    assert row.code_hash == login_codes.code_hashes(row.id, code)[0]
    assert row.code_hash != login_codes.code_hashes("login_other", code)[0]


def test_without_a_mail_server_there_is_no_login_page(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    page = _page(world.shop())
    monkeypatch.setitem(lite_app.config, "SETTINGS", replace(lite_app.config["SETTINGS"], smtp_url=""))
    assert lite_app.test_client().get(page).status_code == 404


# --- an expired link, for a customer whose address is known -----------------------------------------------------------------


def _expired(app: Flask, shop: world.Shop, last: int | None = None, **options: Any) -> tuple[PortalClient, Any]:
    """What a browser sees that follows a link an hour too late."""
    after = {"type": "customer_login", "customer_login": {"expires_at": last}}
    opened = portal_sessions.open_session(shop.customer.id, AT - 3600, after_expiration=after, **options)
    client: PortalClient = app.test_client()  # type: ignore[assignment]
    return client, client.get(f"/p/session/{opened.token}?to=/invoices")


def _code_link(page: Any) -> str:
    found = re.search(r'href="(/p/code/[^"]+)"', page.text)
    assert found, text(page.text)
    return found[1]


@NOW
@pytest.mark.both_databases
def test_an_expired_link_is_replaced_with_a_code_and_leads_to_the_same_page(app: Flask) -> None:
    shop = world.shop()
    client, over = _expired(app, shop, return_url="https://shop.example/account")
    assert over.status_code == 403
    there = _code_link(over)
    shown = client.get(there)
    assert "We will send a code to h•••@acme.example" in text(shown.text)
    assert EMAIL not in shown.text
    assert client.send(there).location == f"{there}/code"
    ((code, body),) = _mails(app)
    assert f"http://127.0.0.1:8000{there}/code?code={code}" in body
    assert EMAIL not in client.get(f"{there}/code").text
    entered = client.send(f"{there}/code", {"code": code})
    assert entered.location == "/invoices"
    assert 'href="https://shop.example/account"' in client.get("/invoices").text
    assert 'name="email"' not in client.get("/billing-information/edit").text


@NOW
def test_a_flow_goes_on_after_its_link_has_expired(lite_app: Flask) -> None:
    shop = world.shop()
    flow = Flow("subscription_pause", subscription_id=shop.subscription.id)
    client, over = _expired(lite_app, shop, flow=flow)
    there = _code_link(over)
    client.get(there)
    client.send(there)
    ((code, _body),) = _mails(lite_app)
    client.get(f"{there}/code")
    client.send(f"{there}/code", {"code": code})
    assert client.get("/").location == f"/subscriptions/{shop.subscription.id}/pause"


@NOW
def test_a_code_for_an_expired_link_lets_no_namesake_in(lite_app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        made.customer("Namesake", EMAIL, "x")
    client, over = _expired(lite_app, shop)
    there = _code_link(over)
    client.get(there)
    client.send(there)
    ((code, _body),) = _mails(lite_app)
    client.get(f"{there}/code")
    assert client.send(f"{there}/code", {"code": code}).location in ("/", "/invoices")
    assert "Hedda Berg" in text(client.get("/billing-information").text)


@NOW
def test_an_expired_link_is_not_replaced_after_its_last_moment_or_without_a_word(lite_app: Flask) -> None:
    shop = world.shop()
    _client, over = _expired(lite_app, shop, last=AT)
    assert "/p/code/" not in over.text
    client, before = _expired(lite_app, shop, last=AT + 10)
    there = _code_link(before)
    with time_machine.travel(AT + 10, tick=False):
        assert client.get(there).status_code == 404
    opened = portal_sessions.open_session(shop.customer.id, AT - 3600)
    plain = lite_app.test_client().get(f"/p/session/{opened.token}")
    assert "/p/code/" not in plain.text


@NOW
@pytest.mark.parametrize("ticket", ["x", "x.y", "InNlc3Npb24i.abc"])
def test_a_ticket_that_was_not_signed_is_nothing(lite_app: Flask, ticket: str) -> None:
    assert lite_app.test_client().get(f"/p/code/{ticket}").status_code == 404
    assert lite_app.test_client().post(f"/p/code/{ticket}").status_code == 403


@NOW
@pytest.mark.both_databases
def test_a_flow_that_is_done_is_done_for_all_its_replacements(app: Flask) -> None:
    shop = world.shop()
    flow = Flow("customer_update")

    def entered(client: PortalClient, there: str) -> None:
        before = {code for code, _body in _mails(app)}
        client.get(there)
        client.send(there)
        (code,) = {code for code, _body in _mails(app)} - before
        client.get(f"{there}/code")
        assert client.send(f"{there}/code", {"code": code}).status_code == 303

    client, over = _expired(app, shop, flow=flow)
    there = _code_link(over)
    entered(client, there)
    submit(client, name="Hedda Berg GmbH")
    assert client.get("/").location == "/flow/end"
    second: PortalClient = app.test_client()  # type: ignore[assignment]
    entered(second, there)
    assert second.get("/").location == "/flow/end"
