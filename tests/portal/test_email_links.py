"""Links in e-mails: for one purpose on one object, for weeks; opening one changes nothing, and no other page follows from it."""

import re
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.customers import billing_information, payment_methods
from portal_site.billing.models import Customer, Event, Invoice, PaymentMethod, PortalSession, PortalVisit, Subscription
from portal_site.billing.portal_access import email_links, portal_sessions
from portal_site.billing.portal_access.email_links import Purpose
from portal_site.billing.rules.portal.flows import Completion, Flow, WantedItem
from portal_site.notices import settings as notice_settings
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal import changing
from tests.portal.email_link_visits import browser, link_to, open_invoice
from tests.portal.logging_in import AT, NOW, mail_is_on, mails  # noqa: F401
from tests.world import reading

DAY = 24 * 60 * 60


def _state() -> list[int]:
    """How many rows there are of whatever a page could write."""
    kinds = (PortalSession, PortalVisit, Event, Invoice, Subscription, PaymentMethod)
    with reading() as reader:
        return [reader.scalar(select(func.count()).select_from(kind)) or 0 for kind in kinds]


@pytest.mark.case("A3")
@pytest.mark.case("C2")
def test_opening_a_link_changes_nothing(lite_app: Flask, owing: Any) -> None:
    _scene, _invoice, there = owing
    before, client = _state(), browser(lite_app)
    for method in ("get", "head", "options", "get"):
        assert getattr(client, method)(there).status_code == 200
    assert client.get(f"{there}/invoice.pdf").data.startswith(b"%PDF")
    assert _state() == before


def test_the_link_of_an_invoice_shows_that_and_not_the_account(lite_app: Flask, owing: Any) -> None:
    scene, invoice, there = owing
    page = browser(lite_app).get(there)
    assert f"Invoice {invoice.number}" in text(page.text)
    assert "€24.00" in page.text
    for secret in ("4242", scene.customer.email, "Visa", "/subscriptions", 'href="/invoices'):
        assert secret not in page.text
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.both_databases
def test_the_invoice_is_paid_after_one_click_and_the_rest_stays_closed(app: Flask) -> None:
    scene = world.scene(last="open")
    invoice = open_invoice(scene)
    with time_machine.travel(AT, tick=False):
        there, client = link_to(app, Purpose.INVOICE, scene, invoice.id), browser(app)
        client.get(there)
        client.get(client.send(there).location)
        page = client.get(f"/invoices/{invoice.id}/payment")
        assert "Pay €24.00" in text(page.text)
        for elsewhere in ("/", "/invoices", "/payment-methods", f"/subscriptions/{scene.subscription.id}",
                          "/billing-information/edit"):  # fmt: skip
            assert client.get(elsewhere).location == f"/invoices/{invoice.id}/payment"
        with reading() as reader:
            other = reader.scalar(
                select(Invoice.id).where(Invoice.customer_id == scene.customer.id, Invoice.id != invoice.id).limit(1)
            )
        assert client.get(f"/invoices/{other}").location == f"/invoices/{invoice.id}/payment"
        form = {"amount": invoice.amount_remaining, "payment_method": scene.method.id}
        done = client.send(f"/invoices/{invoice.id}/payment", form)
        assert "Thank you. The invoice is paid." in text(client.get(done.location).text)
        assert client.get("/").location == "/flow/end"
        again = client.get(there)
        assert "Paid" in text(again.text)
        assert "Pay €24.00" not in text(again.text)
        assert client.send(there).location == there


def test_only_the_method_that_is_charged_anyway_is_offered(lite_app: Flask, owing: Any) -> None:
    scene, invoice, there = owing
    with world.transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, scene.account_id))
        made.method(scene.customer, world.MASTERCARD)
    client = browser(lite_app)
    client.get(there)
    client.send(there)
    page = client.get(f"/invoices/{invoice.id}/payment")
    assert page.text.count('name="payment_method"') == 1


@pytest.mark.parametrize("days", [28, 400])
def test_a_link_that_is_too_old_shows_nothing_and_goes_on_with_a_code(lite_app: Flask, owing: Any, days: int) -> None:
    scene, invoice, _there = owing
    old, client = link_to(lite_app, Purpose.INVOICE, scene, invoice.id, AT - days * DAY), browser(lite_app)
    page = client.get(old)
    assert "This link has expired" in text(page.text)
    assert invoice.number not in page.text
    assert client.get(f"{old}/invoice.pdf").status_code == 404
    assert "we will send a code to h•••@acme.example" in text(page.text)
    replacement = client.send(old).location
    assert replacement.startswith("/p/code/")
    client.get(replacement)
    client.send(replacement)
    ((code, _body),) = mails(lite_app)
    entered = client.send(f"{replacement}/code", {"code": code})
    assert entered.location == f"/invoices/{invoice.id}"
    assert client.get(f"/invoices/{invoice.id}").status_code == 200


def test_the_merchant_says_for_how_long_links_work(lite_app: Flask, owing: Any) -> None:
    scene, invoice, _there = owing
    notice_settings.set_link_days(scene.account_id, 7)
    old = link_to(lite_app, Purpose.INVOICE, scene, invoice.id, AT - 8 * DAY)
    assert "This link has expired" in text(browser(lite_app).get(old).text)


@pytest.mark.parametrize("how", ["revoked", "another address", "an import", "deleted", "bent", "of another purpose"])
@pytest.mark.case("B2")
def test_a_link_leads_nowhere_once_it_is(lite_app: Flask, owing: Any, how: str) -> None:
    scene, invoice, there = owing
    if how == "revoked":
        email_links.revoke(scene.customer.id, AT + 1)
    if how == "another address":
        billing_information.update_billing_information(scene.customer.id, {"email": "new@acme.example"}, AT + 1)
    if how == "an import":  # or whatever else writes another address
        with world.transaction() as session:
            mine = update(Customer).where(Customer.account_id == scene.account_id, Customer.id == scene.customer.id)
            session.execute(mine.values(email="new@acme.example"))
    if how == "deleted":
        with world.transaction() as session:
            mine = update(Customer).where(Customer.account_id == scene.account_id, Customer.id == scene.customer.id)
            session.execute(mine.values(deleted_at=AT))
    there = {
        "bent": f"{there[:-9]}{there[-9:].swapcase()}",
        "of another purpose": link_to(lite_app, Purpose.SUBSCRIPTION, scene, invoice.id),
    }.get(how, there)
    client = browser(lite_app)
    page = client.get(there)
    assert page.status_code == 403
    assert "This link is no longer valid" in text(page.text)
    assert invoice.number not in page.text
    assert client.get(f"{there}/invoice.pdf").status_code == 403


@pytest.mark.case("B2")
def test_an_object_of_somebody_else_has_no_link(lite_app: Flask, owing: Any) -> None:
    _scene, invoice, _there = owing
    other = world.scene("Other")
    page = browser(lite_app).get(link_to(lite_app, Purpose.INVOICE, other, invoice.id))
    assert page.status_code == 403


@NOW
def test_a_card_is_replaced_without_a_code_and_the_link_is_done_with(lite_app: Flask) -> None:
    shop = world.shop()
    assert shop.method is not None
    there, client = link_to(lite_app, Purpose.PAYMENT_METHOD, shop, shop.method.id), browser(lite_app)
    assert "Update your payment method" in text(client.get(there).text)
    client.get(client.send(there).location)
    assert client.get("/").location == "/payment-methods/new"
    with world.transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, shop.customer.account_id))
        newer = made.method(shop.customer, world.MASTERCARD)
    payment_methods.make_default(shop.customer.id, newer.id, AT)
    assert "Another payment method has taken its place." in text(browser(lite_app).get(there).text)


@NOW
def test_who_has_no_method_is_asked_for_one_until_there_is(lite_app: Flask) -> None:
    shop = world.shop(card=None)
    there = link_to(lite_app, Purpose.PAYMENT_METHOD, shop, "")
    assert 'data-testid="confirm"' in browser(lite_app).get(there).text
    with world.transaction() as session:
        made = world.Merchant(session, AT, session.get(world.Account, shop.customer.account_id))
        made.method(shop.customer, world.VISA)
    assert "Already done" in text(browser(lite_app).get(there).text)


@NOW
def test_a_cancellation_is_taken_back_with_one_click(lite_app: Flask) -> None:
    shop = world.shop()
    inside = enter(lite_app, shop.customer)
    cancellation = f"/subscriptions/{shop.subscription.id}/cancellation"
    quote = re.search(r'name="quote" value="([^"]+)"', inside.get(f"{cancellation}/end").text)
    inside.send(cancellation, {"quote": quote[1]})  # type: ignore[index]
    there, client = link_to(lite_app, Purpose.KEEP, shop, shop.subscription.id), browser(lite_app)
    assert "Your subscription to Team ends on May 1, 2026." in text(client.get(there).text)
    assert client.send(there).location == there
    assert "Your subscription to Team continues." in text(client.get(there).text)
    assert client.send(there).location == there
    with reading() as reader:
        row = reader.execute(
            select(Event.type, Event.actor_type).order_by(Event.created.desc(), Event.id.desc())
        ).first()
    assert row == ("customer.subscription.updated", "customer")
    assert client.get("/").status_code == 403


@NOW
def test_managing_a_subscription_asks_for_more_than_the_link_grants(lite_app: Flask) -> None:
    shop = world.shop()
    there, client = link_to(lite_app, Purpose.SUBSCRIPTION, shop, shop.subscription.id), browser(lite_app)
    page = text(client.get(there).text)
    assert "Team" in page
    assert "€10.00 per month" in page
    replacement = client.send(there).location
    client.get(replacement)
    client.send(replacement)
    ((code, _body),) = mails(lite_app)
    entered = client.send(f"{replacement}/code", {"code": code})
    assert entered.location == f"/subscriptions/{shop.subscription.id}"
    assert client.get("/payment-methods").status_code == 200


@NOW
def test_who_is_in_already_needs_no_code(lite_app: Flask) -> None:
    shop = world.shop()
    client = enter(lite_app, shop.customer)
    there = link_to(lite_app, Purpose.SUBSCRIPTION, shop, shop.subscription.id)
    client.get(there)
    assert client.send(there).location == f"/subscriptions/{shop.subscription.id}"
    assert client.get("/").status_code == 200


@NOW
@pytest.mark.case("A14")
def test_a_link_in_the_browser_of_somebody_else_lets_only_its_own_in(lite_app: Flask) -> None:
    shop, scene = world.shop(), world.scene("Other", last="open")
    client = enter(lite_app, shop.customer)
    there = link_to(lite_app, Purpose.INVOICE, scene, open_invoice(scene).id)
    client.get(there)
    client.get(client.send(there).location)
    assert client.get(f"/subscriptions/{shop.subscription.id}").status_code == 303
    assert shop.customer.email not in client.get("/flow/end", follow_redirects=True).text


@NOW
def test_a_change_is_confirmed_by_a_link_of_weeks(lite_app: Flask) -> None:
    shop = world.shop()
    flow = Flow(
        "subscription_update_confirm", subscription_id=shop.subscription.id,
        items=(WantedItem(shop.item_id, None, 3),),
    )  # fmt: skip
    made = portal_sessions.open_session(shop.customer.id, AT - 20 * DAY, flow=flow)
    there, client = link_to(lite_app, Purpose.FLOW, shop, made.id, AT - 20 * DAY), browser(lite_app)
    assert "Confirm your new plan" in text(client.get(there).text)
    client.get(client.send(there).location)
    page = client.get(changing.address(shop))
    assert "3 seats" in text(page.text)
    changing.confirm(client, shop, page)
    assert changing.state(shop)[0].quantity == 3
    later = browser(lite_app)
    assert "Already done" in text(later.get(there).text)


@NOW
def test_a_flow_that_ends_at_the_overview_does_not_open_it_for_who_has_the_email(lite_app: Flask) -> None:
    shop = world.shop()
    flow = Flow("subscription_update_confirm", Completion("portal_homepage"), shop.subscription.id,
                (WantedItem(shop.item_id, None, 3),))  # fmt: skip
    made = portal_sessions.open_session(shop.customer.id, AT, flow=flow)
    there, client = link_to(lite_app, Purpose.FLOW, shop, made.id), browser(lite_app)
    client.get(there)
    client.get(client.send(there).location)
    changing.confirm(client, shop, client.get(changing.address(shop)))
    assert client.get("/").location == "/flow/end"
    assert client.get("/payment-methods").location == "/flow/end"


@NOW
def test_a_change_that_has_become_impossible_says_so(lite_app: Flask) -> None:
    shop = world.shop()
    flow = Flow("subscription_update_confirm", subscription_id=shop.subscription.id,
                items=(WantedItem(shop.item_id, None, 3),))  # fmt: skip
    made = portal_sessions.open_session(shop.customer.id, AT, flow=flow)
    there, client = link_to(lite_app, Purpose.FLOW, shop, made.id), browser(lite_app)
    with world.transaction() as session:
        session.get_one(Subscription, shop.subscription.id).status = "canceled"
    client.get(there)
    refused = client.send(there)
    assert refused.status_code == 409
    assert "This is not possible any more." in text(refused.text)


@NOW
@pytest.mark.parametrize("kind", ["subscription_cancel", "customer_update", "subscription_pause"])
def test_what_shows_or_ends_more_needs_a_code(lite_app: Flask, kind: str) -> None:
    shop = world.shop()
    subscription_id = shop.subscription.id if kind.startswith("subscription") else None
    made = portal_sessions.open_session(shop.customer.id, AT, flow=Flow(kind, subscription_id=subscription_id))
    there, client = link_to(lite_app, Purpose.FLOW, shop, made.id), browser(lite_app)
    assert "we will send a code to h•••@acme.example" in text(client.get(there).text)
    assert client.send(there).location.startswith("/p/code/")
    assert client.get("/").status_code == 403


@NOW
def test_reminders_are_stopped_by_their_reader(lite_app: Flask) -> None:
    shop = world.shop()
    there, client = link_to(lite_app, Purpose.REMINDERS, shop, "card_expiring", AT - 300 * DAY), browser(lite_app)
    assert "Stop the emails before a card expires?" in text(client.get(there).text)
    client.send(there)
    assert "You will get no more emails before a card expires." in text(client.get(there).text)
    with reading() as reader:
        muted = reader.scalar(select(Customer.muted_notices).where(Customer.id == shop.customer.id))
    assert muted == ["card_expiring"]
    client.send(there)  # a second click on the same button
    assert "You will get no more emails before a card expires." in text(client.get(there).text)
    client.send(there, {"state": "muted"})
    assert "Stop the emails before a card expires?" in text(client.get(there).text)
    receipt = link_to(lite_app, Purpose.REMINDERS, shop, "receipt")
    assert client.get(receipt).status_code == 404


@NOW
@pytest.mark.case("C1")
def test_the_button_needs_its_token(lite_app: Flask) -> None:
    shop = world.shop()
    there = link_to(lite_app, Purpose.REMINDERS, shop, "card_expiring")
    client = browser(lite_app)
    client.token = "none"
    assert client.send(there).status_code in (400, 403)
    with reading() as reader:
        assert reader.scalar(select(Customer.muted_notices).where(Customer.id == shop.customer.id)) == []


@NOW
@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_page_speaks_the_customers_language(lite_app: Flask, language: str) -> None:
    shop = world.shop(customer={"preferred_locales": [language]})
    page = browser(lite_app).get(link_to(lite_app, Purpose.SUBSCRIPTION, shop, shop.subscription.id))
    assert f'<html lang="{language}' in page.text
