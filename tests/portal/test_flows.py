"""A visit for one thing only: what it shows, where it leads, and that it ends once."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.errors import BillingError
from portal_site.billing.models import Discount, Invoice, PortalSession, Subscription, SubscriptionItem
from portal_site.billing.rules.portal import flows
from portal_site.billing.rules.portal.flows import Completion, Flow, WantedItem
from portal_site.portal.flows import ROUTES
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.portal.billing_form import submit
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)
ENDINGS = {
    "hosted_confirmation": Completion("hosted_confirmation", "See you soon <b>& thanks</b>"),
    "portal_homepage": Completion("portal_homepage"),
    "redirect": Completion("redirect", return_url="https://shop.example/done?a=1&b=é"),
}
LINKS = re.compile(r'<a [^>]*href="(/[^"#]*)"')


def _flow(shop: world.Shop, type_: str, completion: Completion | None = None, **members: Any) -> Flow:
    subscription_id = shop.subscription.id if type_ in flows.OF_SUBSCRIPTIONS else None
    if type_ == flows.SUBSCRIPTION_UPDATE_CONFIRM:
        members.setdefault("items", (WantedItem(shop.item_id, None, 3),))
    return Flow(type_, completion or Completion(), subscription_id, **members)


def _begin(app: Flask, shop: world.Shop, type_: str, completion: Completion | None = None, **members: Any) -> Any:
    """The client in the flow, and its first page."""
    client = enter(app, shop.customer, flow=_flow(shop, type_, completion, **members))
    return client, client.get("/", follow_redirects=True)


def _field(page: Any, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]* value="([^"]+)"', page.text)
    assert found, text(page.text)
    return found[1]


def _add_card(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    setup = client.send("/payment-methods", {"to": "/payment-methods/new"}).location
    client.get(setup)
    given = {"kind": "card", "number": "4242424242424242", "expiry": "12/34", "cvc": "123"}
    return client.get(client.send(setup, given).location)


def _update_customer(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    return submit(client, name="Hedda Berg GmbH")


def _cancel(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    there = f"/subscriptions/{shop.subscription.id}/cancellation/reason"
    return client.send(there, {"quote": _field(page, "quote"), "reason": "unused"})


def _pause(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    return client.send(f"/subscriptions/{shop.subscription.id}/pause", {"span": _field(page, "span")})


def _update(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    there = f"/subscriptions/{shop.subscription.id}/plan-change"
    quote = client.get(there, query_string={f"quantity-{shop.item_id}": "3"})
    return client.send(there, {"quote": _field(quote, "quote")})


def _confirm(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    return client.send(f"/subscriptions/{shop.subscription.id}/plan-change", {"quote": _field(page, "quote")})


# What the customer does, and what the last page says.
DONE: dict[str, tuple[Callable[..., Any], str]] = {
    "payment_method_update": (_add_card, "Your payment method was added"),
    "customer_update": (_update_customer, "Your billing information was updated"),
    "subscription_cancel": (_cancel, "Your subscription ends on May 1, 2026"),
    "subscription_pause": (_pause, "Your subscription is paused"),
    "subscription_update": (_update, "You now have 3 seats"),
    "subscription_update_confirm": (_confirm, "You now have 3 seats"),
}


@HALF
@pytest.mark.both_databases
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("type_", DONE)
def test_each_flow_ends_as_the_merchant_wants(app: Flask, type_: str, ending: str) -> None:
    shop = world.shop()
    client, page = _begin(app, shop, type_, ENDINGS[ending])
    assert page.status_code == 200
    act, words = DONE[type_]
    answer = act(client, shop, page)
    assert answer.status_code == 303
    last = client.get(answer.location, follow_redirects=True)
    if ending == "redirect":
        assert last.request.path == "/flow/end"
        assert last.headers["Refresh"] == "0; url=https://shop.example/done?a=1&b=%C3%A9"
        assert 'href="https://shop.example/done?a=1&amp;b=é"' in last.text
        return
    if ending == "portal_homepage":
        assert "Back to overview" in last.text or last.request.path == "/"
        assert client.get("/").status_code == 200
        assert client.get("/invoices").status_code == 200
        return
    assert words in text(last.text)
    assert "See you soon &lt;b&gt;&amp; thanks&lt;/b&gt;" in last.text
    assert client.get("/").location == "/flow/end"
    assert client.get("/flow/end").status_code == 200


@HALF
@pytest.mark.parametrize("type_", DONE)
def test_it_shows_no_way_elsewhere(lite_app: Flask, type_: str) -> None:
    shop = world.shop()
    client, page = _begin(lite_app, shop, type_)
    for address in {link for link in LINKS.findall(page.text) if link not in ("/", "/session-over")}:
        answer = client.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200, f"{address} leads to {answer.location}"
    for elsewhere in ("/", "/invoices", "/subscriptions", "/payment-methods/list", "/payment-methods"):
        assert client.get(elsewhere).location == page.request.path
    assert client.send(f"/subscriptions/{shop.subscription.id}/cancellation/removal").status_code in (303,)


@HALF
@pytest.mark.parametrize("type_", DONE)
def test_it_holds_for_reloads_a_second_tab_and_fragments(lite_app: Flask, type_: str) -> None:
    shop = world.shop()
    client, page = _begin(lite_app, shop, type_)
    assert client.get(page.request.path).status_code == 200
    assert client.get("/", follow_redirects=True).request.path == page.request.path
    fragment = client.get("/payment-methods/list", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["HX-Redirect"]) == (204, page.request.path)


@HALF
@pytest.mark.parametrize("type_", DONE)
def test_it_ends_once(lite_app: Flask, type_: str) -> None:
    shop = world.shop()
    client, page = _begin(lite_app, shop, type_)
    act, _words = DONE[type_]
    act(client, shop, page)
    with reading() as reader:
        mine = PortalSession.customer_id == shop.customer.id
        completed = reader.execute(select(PortalSession.flow_completed_at).where(mine)).scalar()
    assert completed == world.HALF
    assert client.get(page.request.path).location == "/flow/end"
    again = client.send("/payment-methods", {"to": "/payment-methods/new"})
    assert again.status_code == 303


@HALF
@pytest.mark.parametrize("type_", sorted(flows.OF_SUBSCRIPTIONS))
def test_it_is_for_its_own_subscription(lite_app: Flask, type_: str) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        other = made.subscription(session.get(world.Customer, shop.customer.id), [(shop.prices["solo"], 1)], started=10)
    client, page = _begin(lite_app, shop, type_)
    there = page.request.path.replace(shop.subscription.id, other.id)
    assert client.get(there).location == page.request.path


@HALF
@pytest.mark.parametrize("type_", DONE)
def test_a_feature_that_is_switched_off_meanwhile_is_not_there(lite_app: Flask, type_: str) -> None:
    shop = world.shop()
    client, page = _begin(lite_app, shop, type_)
    with world.transaction() as session:
        mine = world.PortalConfiguration.account_id == shop.customer.account_id
        configuration = session.scalars(select(world.PortalConfiguration).where(mine)).one()
        configuration.features = {**configuration.features, flows.FEATURES[type_]: {"enabled": False}}
    assert client.get(page.request.path).status_code == 404


def test_each_type_has_its_routes() -> None:
    assert set(ROUTES) == {*flows.TYPES, flows.INVOICE_PAYMENT}


@HALF
@pytest.mark.both_databases
def test_a_confirmation_is_of_what_the_link_says_and_of_nothing_else(app: Flask) -> None:
    shop = world.shop()
    client, page = _begin(app, shop, "subscription_update_confirm")
    shown = text(page.text)
    assert "2 more seats" in shown
    assert "Due today €10.00" in shown
    assert 'name="price-' not in page.text.split('id="confirmation"')[0]
    assert "Add a promotion code" not in shown
    other = client.get(page.request.path, query_string={f"quantity-{shop.item_id}": "90"})
    assert "Due today €10.00" in text(other.text)
    assert (
        client.send(f"/subscriptions/{shop.subscription.id}/promotion-code", {"promotion_code": "X"}).status_code == 303
    )


@HALF
@pytest.mark.both_databases
@pytest.mark.parametrize("kind", ["coupon", "promotion_code"])
def test_a_confirmation_brings_the_merchants_discount(app: Flask, kind: str) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        coupon = made.coupon("Welcome", percent_off="50")
        name = coupon.id if kind == "coupon" else made.promotion_code("WELCOME", coupon).id
    client, page = _begin(app, shop, "subscription_update_confirm", **{kind: name})
    assert "Discount" in text(page.text)
    answer = _confirm(client, shop, page)
    assert "You now have 3 seats" in text(client.get(answer.location).text)
    with reading() as reader:
        mine = Discount.customer_id == shop.customer.id
        rows = reader.execute(select(Discount.coupon_id, Discount.promotion_code_id).where(mine)).all()
    assert [tuple(row) for row in rows] == [(coupon.id, name if kind == "promotion_code" else None)]


@HALF
def test_a_coupon_that_was_given_once_is_not_given_again(lite_app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        coupon = made.coupon("Welcome", percent_off="50")
    client, page = _begin(lite_app, shop, "subscription_update_confirm", coupon=coupon.id)
    _confirm(client, shop, page)
    items = (WantedItem(shop.item_id, None, 4),)
    with pytest.raises(BillingError, match="already used"):
        enter(lite_app, shop.customer, flow=_flow(shop, "subscription_update_confirm", items=items, coupon=coupon.id))


@HALF
@pytest.mark.both_databases
def test_a_coupon_for_who_cancels_is_offered_before_anything_else(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        coupon = made.coupon("Stay", percent_off="30")
    client, page = _begin(app, shop, "subscription_cancel", retention_coupon=coupon.id)
    offer = client.get(_cancel(client, shop, page).location)
    assert "30%" in text(offer.text)
    there = f"/subscriptions/{shop.subscription.id}/cancellation/offer/acceptance"
    answer = client.send(there, {"quote": _field(offer, "quote")})
    assert "Your subscription continues" in text(client.get(answer.location, follow_redirects=True).text)
    with reading() as reader:
        mine = Subscription.customer_id == shop.customer.id
        assert reader.execute(select(Subscription.cancel_at).where(mine)).scalar() is None


@HALF
def test_a_declined_payment_keeps_the_flow_open_and_says_what_to_do(lite_app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    client, page = _begin(lite_app, shop, "subscription_update_confirm")
    answer = _confirm(client, shop, page)
    shown = client.get(answer.location, follow_redirects=True)
    assert shown.request.path == page.request.path
    assert "takes effect as soon as €10.00 is paid" in text(shown.text)
    invoice = re.search(r'href="(/invoices/[^"]+/payment)"', shown.text)
    assert invoice
    assert client.get(invoice[1]).status_code == 200
    with reading() as reader:
        mine = PortalSession.customer_id == shop.customer.id, PortalSession.flow_completed_at.is_not(None)
        assert reader.execute(select(PortalSession.id).where(*mine)).first() is None
        quantity = select(SubscriptionItem.quantity).where(SubscriptionItem.id == shop.item_id)
        assert reader.execute(quantity).scalar() == 1


@HALF
def test_a_quote_from_another_visit_is_not_confirmed_in_this_one(lite_app: Flask) -> None:
    shop = world.shop()
    wide = enter(lite_app, shop.customer)
    there = f"/subscriptions/{shop.subscription.id}/plan-change"
    other = _field(wide.get(there, query_string={f"quantity-{shop.item_id}": "90"}), "quote")
    client, page = _begin(lite_app, shop, "subscription_update_confirm")
    refused = client.send(there, {"quote": other})
    assert refused.status_code == 409
    assert "Due today €10.00" in text(refused.text)
    assert _confirm(client, shop, page).status_code == 303


@HALF
def test_what_is_left_to_pay_stays_on_the_page_before_the_merchants(lite_app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    with world.transaction() as session:
        session.execute(
            update(Invoice).where(Invoice.customer_id == shop.customer.id).values(status="open", amount_remaining=1000)
        )
    client, page = _begin(lite_app, shop, "subscription_cancel", ENDINGS["redirect"])
    _cancel(client, shop, page)
    end = client.get("/flow/end")
    assert "Refresh" not in end.headers
    invoice = re.search(r'href="(/invoices/[^"]+/payment)"', end.text)
    assert invoice
    assert client.get(invoice[1]).status_code == 200


@HALF
def test_without_a_return_url_there_is_no_way_out_but_with_one_there_is(lite_app: Flask) -> None:
    shop = world.shop()
    _client, page = _begin(lite_app, shop, "subscription_cancel")
    assert "Keep my subscription" not in page.text
    opened = enter(
        lite_app, shop.customer, flow=_flow(shop, "subscription_cancel"), return_url="https://shop.example/account"
    )
    shown = opened.get("/", follow_redirects=True)
    assert re.search(r'href="https://shop.example/account"[^>]*>Keep my subscription', shown.text)
