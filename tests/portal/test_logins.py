"""Logging in with a code from an e-mail: who is let in, who is not, and that nothing tells which addresses are known."""

import re
from dataclasses import replace

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Customer, LoginRequest, PortalConfiguration
from portal_site.mail import login_codes
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.operators import set_login_page
from tests.portal.logging_in import AT, EMAIL, NOW, ask, enter_code, login_page, mail_is_on, mails  # noqa: F401
from tests.world import reading


@NOW
@pytest.mark.both_databases
def test_a_code_opens_the_portal_once(app: Flask) -> None:
    shop = world.shop()
    page = login_page(shop)
    client, asked = ask(app, page, " Hedda@ACME.example ")
    assert asked.location == f"{page}/code"
    ((code, body),) = mails(app)
    assert "Your login code" in body
    assert f"http://127.0.0.1:8000{page}/code?code={code}" in body
    entered = enter_code(client, page, f"{code[:3]} {code[3:]}")
    assert entered.location == "/"
    assert "Team" in text(client.get("/").text)
    assert enter_code(client, page, code).status_code in (303, 422)
    other: PortalClient = app.test_client()  # type: ignore[assignment]
    assert other.get("/").status_code == 403


@NOW
def test_the_link_fills_the_code_in_but_only_where_it_was_asked_for(lite_app: Flask) -> None:
    page = login_page(world.shop())
    client, _asked = ask(lite_app, page)
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
    page = login_page(world.shop())
    ask(app, page)
    ((code, _body),) = mails(app)
    thief, _asked = ask(app, page)
    assert enter_code(thief, page, code).status_code == 422
    assert thief.get("/").status_code == 403


@NOW
@pytest.mark.case("A7")
@pytest.mark.both_databases
def test_nothing_tells_whether_there_is_such_a_customer(app: Flask) -> None:
    page = login_page(world.shop())
    answers = []
    for email in (EMAIL, "nobody@acme.example"):
        client, asked = ask(app, page, email)
        there = client.get(asked.location)
        wrong = enter_code(client, page, "000000")
        pages = [
            re.sub(r'name="csrf_token" value="[^"]+"', "", each.text.replace(email, "")) for each in (there, wrong)
        ]
        answers.append((asked.status_code, asked.location, pages, wrong.status_code))
    assert answers[0] == answers[1]
    with reading() as reader:
        query = select(LoginRequest.email).execution_options(unscoped="a test")
        assert len(reader.scalars(query).all()) == 2  # the same work for both
    assert len(mails(app)) == 1


@NOW
@pytest.mark.both_databases
def test_a_code_works_for_ten_minutes(app: Flask) -> None:
    page = login_page(world.shop())
    client, _asked = ask(app, page)
    ((code, _body),) = mails(app)
    with time_machine.travel(AT + 600, tick=False):
        assert "no longer valid" in text(enter_code(client, page, code).text)
    with time_machine.travel(AT + 599, tick=False):
        assert enter_code(client, page, code).status_code == 303


@NOW
def test_the_links_of_a_used_code_lead_to_the_overview(lite_app: Flask) -> None:
    page = login_page(world.shop())
    client, _asked = ask(lite_app, page)
    ((code, _body),) = mails(lite_app)
    enter_code(client, page, code)
    assert client.get(f"{page}/code?code={code}").location == "/"


@NOW
def test_who_has_changed_the_address_meanwhile_is_not_let_in(lite_app: Flask) -> None:
    shop = world.shop()
    page = login_page(shop)
    client, _asked = ask(lite_app, page)
    ((code, _body),) = mails(lite_app)
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == shop.customer.id).values(email="new@acme.example"))
    assert "no longer valid" in text(enter_code(client, page, code).text)


@NOW
@pytest.mark.both_databases
def test_of_several_customers_with_the_address_one_chooses(app: Flask) -> None:
    shop = world.shop()
    page = login_page(shop)
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        second = made.customer("Berg & Co", EMAIL.upper(), "x")
        gone = made.customer("Gone", EMAIL, "x")
        gone.deleted_at = AT
    stranger = world.shop("Other")
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == stranger.customer.id).values(email=EMAIL))
    client, _asked = ask(app, page)
    ((code, _body),) = mails(app)
    choice = enter_code(client, page, code)
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
    page = login_page(shop)
    client, _asked = ask(lite_app, page)
    ((code, _body),) = mails(lite_app)
    enter_code(client, page, code)
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
    page = login_page(shop)
    assert app.test_client().get(page).status_code == 200
    with reading() as reader:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        configuration_id = reader.execute(select(PortalConfiguration.id).where(mine)).scalar_one()
    newer = f"/login/{set_login_page(configuration_id, enabled=True, new_url=True, at=AT)}"
    assert app.test_client().get(page).status_code == 404
    assert app.test_client().get(newer).status_code == 200
    set_login_page(configuration_id, enabled=False, new_url=False, at=AT)
    assert app.test_client().get(newer).status_code == 404
    assert app.test_client().get("/login/nothing").status_code == 404
    again = set_login_page(configuration_id, enabled=True, new_url=False, at=AT)
    assert f"/login/{again}" not in (page, newer)


@NOW
def test_a_deactivated_configuration_has_no_login_page(lite_app: Flask) -> None:
    shop = world.shop()
    page = login_page(shop)
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(mine).values(active=False))
    assert lite_app.test_client().get(page).status_code == 404


@NOW
def test_the_address_can_be_filled_in_by_the_link(lite_app: Flask) -> None:
    page = login_page(world.shop())
    shown = lite_app.test_client().get(page, query_string={"prefilled_email": 'a"><script>@x.example'})
    assert 'value="a&#34;&gt;&lt;script&gt;@x.example"' in shown.text


@NOW
@pytest.mark.parametrize("typed", ["", "nonsense", "a@b@c", "x" * 300 + "@x.example", "a@x.example\0"])
def test_what_is_no_address_is_said_so(lite_app: Flask, typed: str) -> None:
    page = login_page(world.shop())
    assert ask(lite_app, page, typed)[1].status_code in (422, 303)
    with reading() as reader:
        query = select(LoginRequest.email).execution_options(unscoped="a test")
        assert all("\0" not in email for email in reader.scalars(query))


@NOW
@pytest.mark.parametrize("typed", ["", "abc", "12345", "1" * 500, "٣" * 6])
def test_what_is_no_code_counts_but_breaks_nothing(lite_app: Flask, typed: str) -> None:
    page = login_page(world.shop())
    client, _asked = ask(lite_app, page)
    mails(lite_app)
    assert enter_code(client, page, typed).status_code == 422


@NOW
def test_an_ended_session_offers_a_code_and_leads_back_to_the_page(lite_app: Flask) -> None:
    shop = world.shop()
    page = login_page(shop)
    client = enter(lite_app, shop.customer)
    with time_machine.travel(AT + 2 * 60 * 60, tick=False):
        over = client.get("/invoices")
        assert over.status_code == 403
        assert f'href="{page}"' in over.text
        client.get(page)
        client.send(page, {"email": EMAIL})
        with lite_app.test_request_context(base_url="http://127.0.0.1:8000"):
            login_codes.answer_requests(AT + 2 * 60 * 60)
        ((code, _body),) = mails(lite_app)
        assert enter_code(client, page, code).location == "/invoices"


@NOW
def test_codes_are_stored_as_keyed_hashes(lite_app: Flask) -> None:
    page = login_page(world.shop())
    ask(lite_app, page)
    ((code, _body),) = mails(lite_app)
    with reading() as reader:
        query = select(LoginRequest.__table__).execution_options(unscoped="a test")
        row = reader.execute(query).one()
    assert code not in str(row)
    assert row.code_hash == login_codes.code_hashes(row.id, code)[0]
    assert row.code_hash != login_codes.code_hashes("login_other", code)[0]


def test_without_a_mail_server_there_is_no_login_page(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    page = login_page(world.shop())
    monkeypatch.setitem(lite_app.config, "SETTINGS", replace(lite_app.config["SETTINGS"], smtp_url=""))
    assert lite_app.test_client().get(page).status_code == 404
