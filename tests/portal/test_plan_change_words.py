"""Texts of the plan change page: with few choices, with pending payments, and for the calculation of amounts."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site import clock
from portal_site.billing.errors import GatewayUnavailable
from portal_site.billing.models import Invoice, SubscriptionItem
from portal_site.billing.subscriptions import subscription_items
from portal_site.ids import new_id
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal.changing import HALF, address, confirm, quote, state
from tests.world import reading


@HALF
def test_deferred_lines_add_up_on_the_page(app: Flask) -> None:
    vat = [{"id": "txr_vat", "display_name": "VAT", "percentage": "20", "inclusive": False}]
    shop = world.shop(tax=vat, policy={"proration_behavior": "create_prorations"})
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        made.discount(session.merge(shop.subscription), made.coupon("Half", percent_off="50"), None)
    shown = text(quote(enter(app, shop.customer), shop, quantity=3).text)
    # Team was paid in full before the coupon came: -5.00 and -1.00 tax back; three of it for half a month at half the price.
    assert "Added to your next invoice" in shown
    for words in ("Discount −€7.50", "Tax VAT 20% €0.50", "Total €3.00"):
        assert words in shown


@HALF
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"currency": "usd"}, "The available plans are in a different currency from your subscription."),
        ({"tax_behavior": "inclusive"}, "Tax is calculated differently for the available plans and for yours."),
    ],
)
def test_plans_that_cannot_be_chosen_say_why(app: Flask, members: dict[str, str], words: str) -> None:
    shop = world.shop()
    with world.transaction() as session:
        for name in ("year", "solo"):
            row = session.get(world.Price, shop.prices[name].id)
            assert row
            for member, value in members.items():
                setattr(row, member, value)
        team = session.get(world.Price, shop.prices["team"].id)
        assert team
        team.tax_behavior = "exclusive"
    assert words in text(enter(app, shop.customer).get(address(shop)).text)


@HALF
def test_customers_who_pay_by_invoice_are_told_to_contact_the_merchant_first(app: Flask) -> None:
    shop = world.shop(collection_method="send_invoice")
    with world.transaction() as session:
        mine = Invoice.customer_id == shop.customer.id
        session.execute(update(Invoice).where(mine).values(status="open", amount_remaining=1000))
    assert "You pay this subscription by invoice." in text(enter(app, shop.customer).get(address(shop)).text)


@HALF
@pytest.mark.case("F2")
def test_a_payment_without_an_answer_is_being_checked_and_not_made_again(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    page = quote(client, shop, quantity=3)
    gateway = app.extensions["gateways"].shared("sandbox")

    def lose(*given: Any) -> Any:
        raise GatewayUnavailable("lost")

    monkeypatch.setattr(gateway, "charge", lose)
    done = client.get(confirm(client, shop, page).location)
    shown = text(done.text)
    assert "We are checking the payment for your change with the bank." in shown
    assert "Undo this change" not in shown
    assert "Pay €10.00" not in shown
    monkeypatch.undo()
    client.get(f"/subscriptions/{shop.subscription.id}/plan-change/return")
    item, invoices, charges = state(shop)
    assert (item.quantity, invoices, charges) == (3, 2, 1)


@HALF
@pytest.mark.both_databases
def test_two_parts_cannot_become_the_same_plan(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
        extra = made.product("Extra")
        price = made.price(extra, 200, "eur")
        item = subscription_items.load_items(session, session.merge(shop.subscription))[0]
        known = {
            "account_id": item.account_id,
            "subscription_id": item.subscription_id,
            "tax_rates": [],
            "created": world.START,
        }
        period = {"current_period_start": world.START, "current_period_end": world.END}
        row = SubscriptionItem(id=new_id("si"), price_id=price.id, quantity=1, **known, **period)
        session.add(row)
        offered = (*shop.features.products, {"product": extra.id, "prices": [price.id]})
        features = replace(world.EVERYTHING, subscription_update=replace(shop.features, products=offered))
        of_shop = world.PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(world.PortalConfiguration).where(of_shop).values(features=features.as_document()))
    solo = shop.prices["solo"].id
    both = {
        f"price-{shop.item_id}": solo,
        f"quantity-{shop.item_id}": "1",
        f"price-{row.id}": solo,
        f"quantity-{row.id}": "1",
    }
    page = enter(app, shop.customer).get(address(shop), query_string=both)
    assert page.status_code == 422
    assert "Another item of your subscription already has this plan." in text(page.text)


@pytest.mark.both_databases
def test_paying_the_last_debt_announces_the_new_period(app: Flask) -> None:
    scene = world.scene(last="open")
    with world.transaction() as session:
        session.merge(scene.subscription).status = "unpaid"
        mine = SubscriptionItem.account_id == scene.account_id
        session.execute(update(SubscriptionItem).where(mine).values(current_period_end=clock.now() - 86_400))
    with reading() as reader:
        invoice = reader.scalar(select(Invoice.id).where(Invoice.status == "open"))
    shown = text(enter(app, scene.customer).get(f"/invoices/{invoice}/payment").text)
    assert "a new period starts and is billed then. The time in between is not billed." in shown
