"""Portal sessions: following a link, staying logged in, and logging out."""

import logging

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.models import Customer, PortalConfiguration
from portal_site.billing.portal_access import portal_sessions
from portal_site.db.transactions import transaction
from portal_site.web.servers import access_log
from tests import world
from tests.client import PortalClient, parse, text
from tests.conftest import Visit, enter

AT = 1_790_000_000
EDIT = "/billing-information/edit"


@pytest.mark.case("A1")
@pytest.mark.both_databases
def test_a_link_becomes_a_cookie_and_a_clean_address(app: Flask) -> None:
    opened = portal_sessions.open_session(world.scene().customer.id, clock.now())
    client = app.test_client()
    response = client.get(f"/p/session/{opened.token}")
    assert (response.status_code, response.location) == (303, "/")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert opened.token not in cookie
    assert response.headers["Cache-Control"] == "no-store"
    again = app.test_client().get(f"/p/session/{opened.token}")
    assert again.status_code == 303


@pytest.mark.case("A1")
@pytest.mark.both_databases
def test_an_old_link_names_the_business_and_leads_back(app: Flask) -> None:
    scene = world.scene(configuration={"default_return_url": "https://acme.example/account"})
    with time_machine.travel(AT, tick=False):
        opened = portal_sessions.open_session(scene.customer.id, AT)
    with time_machine.travel(AT + 300, tick=False):
        response = app.test_client().get(f"/p/session/{opened.token}")
    assert response.status_code == 403
    page = text(response.text)
    assert "This link has expired" in page
    assert "Return to Acme" in page
    assert "https://acme.example/account" in response.text
    assert "Hedda" not in page


@pytest.mark.case("A2")
def test_an_unknown_link_reveals_nothing(lite_app: Flask) -> None:
    response = lite_app.test_client().get("/p/session/nonsense")
    assert response.status_code == 403
    assert "Go back to the site or email" in response.text


@pytest.mark.case("A2")
@pytest.mark.parametrize(("step", "clicks", "status"), [(3500, 11, 200), (3500, 13, 403), (3601, 1, 403)])
@pytest.mark.both_databases
def test_a_session_ends_after_an_idle_hour_or_twelve_hours(app: Flask, step: int, clicks: int, status: int) -> None:
    with time_machine.travel(AT, tick=False) as traveller:
        client = enter(app, world.scene().customer)
        for _ in range(clicks):
            traveller.shift(step)
            response = client.get("/")
    assert response.status_code == status


@pytest.mark.case("A5")
@pytest.mark.both_databases
def test_a_cookie_planted_before_is_thrown_away(app: Flask) -> None:
    planted = app.test_client()
    with planted.session_transaction() as session:
        session.update(visit="planted", locale="fr", csrf_token="planted")
    scene = world.scene()
    opened = portal_sessions.open_session(scene.customer.id, clock.now())
    planted.get(f"/p/session/{opened.token}")
    with planted.session_transaction() as session:
        assert session["visit"] != "planted"
        assert "locale" not in session
        assert session.get("csrf_token") != "planted"


@pytest.mark.case("A14")
@pytest.mark.both_databases
def test_a_tab_left_over_from_another_customer_can_change_nothing(app: Flask) -> None:
    first, second = world.scene("First"), world.scene("Second")
    client = enter(app, first.customer)
    client.get("/billing-information/edit")
    old_tab = client.token
    opened = portal_sessions.open_session(second.customer.id, clock.now())
    client.get(f"/p/session/{opened.token}")
    response = client.post("/billing-information/edit", data={"csrf_token": old_tab, "email": "evil@first.example"})
    assert response.status_code == 403
    with transaction() as session:
        emails = session.scalars(select(Customer.email).execution_options(unscoped="both customers")).all()
    assert sorted(map(str, emails)) == ["hedda@first.example", "hedda@second.example"]


def test_the_page_after_logging_out_keeps_the_language(app: Flask) -> None:
    client = enter(app, world.scene().customer)
    client.get("/")
    client.send("/language", {"language": "fr", "next": "/"})
    client.send("/log-out")
    assert '<html lang="fr"' in client.get("/logged-out").text


@pytest.mark.case("A12")
@pytest.mark.both_databases
def test_logging_out_ends_it_on_the_server(app: Flask) -> None:
    client = enter(app, world.scene().customer)
    stolen = app.test_client()
    with client.session_transaction() as session, stolen.session_transaction() as theirs:
        theirs.update(session)
    assert stolen.get("/").status_code == 200
    client.get("/")
    response = client.send("/log-out")
    assert (response.status_code, response.location) == (303, "/logged-out")
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert "Return to" not in client.get("/logged-out").text
    assert stolen.get("/").status_code == 403
    assert client.get("/").status_code == 403


@pytest.mark.case("A12")
def test_no_page_is_kept_by_the_browser(app: Flask, visit: Visit) -> None:
    client = visit(world.scene().customer)
    for address in ("/", "/invoices", "/billing-information/edit", "/nothing"):
        assert client.get(address).headers["Cache-Control"] == "no-store"


@pytest.mark.case("A4")
def test_the_token_is_in_no_page_no_address_and_no_log(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    opened = portal_sessions.open_session(world.scene().customer.id, clock.now())
    client = app.test_client()
    access_log.log.propagate = True
    with caplog.at_level(logging.DEBUG):
        response = client.get(f"/p/session/{opened.token}", follow_redirects=True)
    assert response.request.path == "/"
    assert opened.token not in response.text
    assert "/p/session/<token>" in caplog.text
    assert opened.token not in caplog.text
    assert response.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.case("A13")
def test_an_action_after_the_end_swaps_nothing_and_leaves_the_page_to_say_how_to_come_back(app: Flask) -> None:
    with time_machine.travel(AT, tick=False) as traveller:
        client = enter(app, world.scene().customer)
        page = client.get("/billing-information/edit").text
        traveller.shift(3601)
        response = client.send("/billing-information/address/fields", headers={"HX-Request": "true"})
    assert (response.status_code, response.data) == (401, b"")
    assert "HX-Request" in response.headers["Vary"]
    assert client.get("/session-over").status_code == 403
    over = next(element for element in parse(page).iter("div") if element.get("id") == "over")
    assert over.get("hidden") is not None
    assert [a.get("href") for a in over.iter("a")] == ["/session-over"]
    assert '"code":"[45]..","swap":false' in page


@pytest.mark.case("A13")
def test_who_comes_back_in_another_tab_sends_the_form_that_was_left_open(app: Flask) -> None:
    scene = world.scene()
    with time_machine.travel(AT, tick=False) as traveller:
        client = enter(app, scene.customer)
        form = client.form(EDIT)
        traveller.shift(3601)
        assert client.post(EDIT, data=form).status_code == 403
        opened = portal_sessions.open_session(scene.customer.id, clock.now())
        client.get(f"/p/session/{opened.token}")
        assert client.post(EDIT, data={**form, "name": "Typed before"}).status_code == 303


WHERE = "/invoices?after=1_in"


@pytest.mark.case("A1")
def test_a_link_leads_to_the_page_that_it_names(app: Flask) -> None:
    opened = portal_sessions.open_session(world.scene().customer.id, clock.now())
    response = app.test_client().get(f"/p/session/{opened.token}", query_string={"to": WHERE})
    assert (response.status_code, response.location) == (303, WHERE)


@pytest.mark.case("A1")
@pytest.mark.case("C8")
@pytest.mark.parametrize(
    "to",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "evil.example/invoices", "", "/nothing",
     "/log-out", "/p/session/x", "/logged-out", "/language", "/theme/x.css", "/sandbox/setups/x", "/invoices\r\nX-Evil: 1",
     "/invoices?" + "a" * 1000, "//evil.example/invoices", "/invoices/../../evil", "/@evil.example", "/.evil.example"],
)  # fmt: skip
def test_a_link_leads_nowhere_but_to_a_page_of_the_customers(lite_app: Flask, to: str) -> None:
    opened = portal_sessions.open_session(world.scene().customer.id, clock.now())
    response = lite_app.test_client().get(f"/p/session/{opened.token}", query_string={"to": to})
    assert (response.status_code, response.location) == (303, "/")


@pytest.mark.case("A1")
@pytest.mark.parametrize("where", [WHERE, "/billing-information/edit", "/payment-methods"])
def test_a_fresh_link_leads_to_where_the_session_ended(app: Flask, where: str) -> None:
    scene = world.scene()
    with time_machine.travel(AT, tick=False) as traveller:
        client = enter(app, scene.customer)
        traveller.shift(3601)
        assert client.get(where).status_code == 403
        assert client.get("/session-over").status_code == 403  # looking at that page again forgets nothing
        assert _comes_back(client, scene) == where
        assert _comes_back(client, scene) == "/"  # once


@pytest.mark.case("A1")
def test_an_expired_link_hands_its_destination_on_to_a_fresh_one(app: Flask) -> None:
    scene = world.scene()
    client = app.test_client()
    with time_machine.travel(AT, tick=False) as traveller:
        opened = portal_sessions.open_session(scene.customer.id, AT)
        traveller.shift(301)
        assert client.get(f"/p/session/{opened.token}?to=/invoices").status_code == 403
        assert _comes_back(client, scene) == "/invoices"


@pytest.mark.case("A14")
@pytest.mark.parametrize("change", ["another customer", "an hour later", "forged"])
def test_nobody_else_and_nobody_tomorrow_is_led_there(app: Flask, change: str) -> None:
    scene = world.scene()
    with time_machine.travel(AT, tick=False) as traveller:
        client = enter(app, scene.customer)
        traveller.shift(3601)
        client.get("/invoices")
        with client.session_transaction() as session:
            assert scene.customer.id not in str(dict(session))
            if change == "forged":
                session["turned_away"] = ["//evil.example", *session["turned_away"][1:]]
        traveller.shift(3601 if change == "an hour later" else 0)
        if change == "another customer":
            scene = world.scene("Other")
        assert _comes_back(client, scene) == "/"


def _comes_back(client: PortalClient, scene: world.Scene) -> str | None:
    opened = portal_sessions.open_session(scene.customer.id, clock.now())
    return client.get(f"/p/session/{opened.token}").location


@pytest.mark.case("A2")
def test_a_stranger_is_given_no_cookie(lite_app: Flask) -> None:
    for where in ("/invoices", "/p/session/x?to=/invoices", "/session-over"):
        assert "Set-Cookie" not in lite_app.test_client().get(where).headers


@pytest.mark.case("A15")
@pytest.mark.parametrize("change", ["deleted", "configuration switched off"])
@pytest.mark.both_databases
def test_what_changed_meanwhile_counts_from_the_next_click(app: Flask, change: str) -> None:
    scene = world.scene()
    client = enter(app, scene.customer)
    assert client.get("/").status_code == 200
    with transaction() as session:
        if change == "deleted":
            session.execute(update(Customer).where(Customer.id == scene.customer.id).values(deleted_at=1))
        else:
            mine = PortalConfiguration.account_id == scene.account_id
            session.execute(update(PortalConfiguration).where(mine).values(active=False))
    assert client.get("/").status_code == 403


@pytest.mark.case("B3")
def test_the_cookie_names_nobody(app: Flask) -> None:
    scene = world.scene()
    client = enter(app, scene.customer)
    client.get("/")
    with client.session_transaction() as session:
        assert set(session) <= {"visit", "csrf_token"}
        session.update(customer_id="cus_other", account_id="acct_other")
    page = text(client.get("/").text)
    assert "Hedda" in page
    assert "Visa" in page


@pytest.mark.parametrize(
    ("options", "preferred", "accepts", "title"),
    [
        ({}, [], "de", "Payment methods"),
        ({}, [], "fr-CA,fr;q=0.9", "Moyens de paiement"),
        ({}, ["fr"], "en", "Moyens de paiement"),
        ({"locale": "en"}, ["fr"], "fr", "Payment methods"),
        ({"locale": "auto"}, ["fr"], "en", "Moyens de paiement"),
        ({"locale": "de"}, [], "fr", "Moyens de paiement"),
    ],
)
def test_the_language_is_the_sessions_then_the_customers_then_the_browsers(
    app: Flask, options: dict[str, str], preferred: list[str], accepts: str, title: str
) -> None:
    scene = world.scene()
    with transaction() as session:
        session.execute(update(Customer).where(Customer.id == scene.customer.id).values(preferred_locales=preferred))
    page = enter(app, scene.customer, **options).get("/", headers={"Accept-Language": accepts}).text
    assert title in page


def test_another_language_can_be_chosen_and_leads_back_to_the_same_page(visit: Visit) -> None:
    client = visit(world.scene().customer)
    client.get("/invoices")
    response = client.send("/language", {"language": "fr", "next": "/invoices"})
    assert response.location == "/invoices"
    assert '<html lang="fr"' in client.get("/invoices").text
    for evil in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "\r\n"):
        assert client.send("/language", {"language": "fr", "next": evil}).location == "/"


@pytest.mark.parametrize(
    ("form", "fields", "page"),
    [
        ("/billing-information/edit", {"email": "no address"}, "/billing-information/edit"),
        ("/subscriptions/{id}/plan-change", {}, "/subscriptions/{id}/plan-change"),
        ("/subscriptions/{id}/promotion-code", {"promotion_code": "NONE"}, "/subscriptions/{id}/plan-change"),
        ("/subscriptions/{id}/cancellation", {}, "/subscriptions/{id}/cancellation"),
    ],
)
def test_a_refused_form_leads_back_to_its_page_in_another_language(
    visit: Visit, form: str, fields: dict[str, str], page: str
) -> None:
    scene = world.scene()
    client = visit(scene.customer)
    client.get("/")
    refused = client.send(form.format(id=scene.subscription.id), fields)
    assert refused.status_code in (409, 422)
    there = next(each.get("value", "") for each in parse(refused.text).iter("input") if each.get("name") == "next")
    assert there == page.format(id=scene.subscription.id)
    assert client.get(there).status_code == 200


@pytest.mark.parametrize("language", ["", "zz", "auto", "fr\0", "x" * 3000])
def test_a_language_that_there_is_none_of_changes_nothing(visit: Visit, language: str) -> None:
    client = visit(world.scene().customer)
    client.get("/")
    assert client.send("/language", {"language": language, "next": "/invoices"}).status_code == 400
    assert '<html lang="en"' in client.get("/").text


@pytest.mark.both_databases
def test_a_connected_accounts_customers_see_its_name_and_only_its_things(app: Flask) -> None:
    with world.merchant("Platform") as platform:
        shop = world.Account(
            id="acct_shop", platform_id=platform.account.id, created=platform.at, business_name="Shop", branding={}
        )
        platform.session.add(shop)
        platform.session.flush()
        products = {name: platform.product(name) for name in ("Own", "Shops")}
        customer = platform.customer("Hedda", "hedda@platform.example", "both")
        for name, behalf in (("Own", None), ("Shops", "acct_shop")):
            price = platform.price(products[name], 1000, "eur")
            subscription = platform.subscription(customer, [(price, 1)], started=40, on_behalf_of=behalf)
            customer.invoice_prefix = name.upper()
            platform.history(customer, subscription, [(products[name], price, 1)])
    page = text(enter(app, customer, on_behalf_of="acct_shop").get("/").text)
    assert "Shops" in page
    assert "SHOPS-0001" in page
    assert "Platform" not in page
    assert "OWN-0001" not in page
    assert "OWN-0001" in text(enter(app, customer).get("/").text)
