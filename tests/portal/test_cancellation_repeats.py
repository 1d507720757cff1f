"""Outdated pages, repeated clicks and unchangeable subscriptions: a confirmed cancellation counts exactly once."""

import pytest
from flask import Flask

from portal_site.billing.models import CancellationAttempt
from portal_site.billing.subscriptions import subscription_items
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal.test_cancellations import HALF, _address, _cancel, _confirm, _row


@HALF
def test_an_old_page_cancels_again_only_with_a_new_confirmation(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    client.get("/")
    end = client.send(_address(shop, "/reason"), {"reason": "unused"}).location
    assert _confirm(client, shop, client.get(end)).status_code == 303
    client.send(_address(shop, "/removal"))
    done = client.get(_confirm(client, shop, client.get(end)).location)
    assert "Your subscription ends on May 1, 2026." in text(done.text)
    assert _row(shop).cancel_at_period_end


@HALF
@pytest.mark.parametrize("kind", ["metered", "on the merchant's schedule", "paid by invoice"])
def test_what_cannot_be_changed_here_can_still_be_cancelled(app: Flask, kind: str) -> None:
    shop = world.shop()
    with world.transaction() as session:
        subscription = session.merge(shop.subscription)
        if kind == "metered":
            price = session.get(world.Price, shop.prices["team"].id)
            assert price
            price.usage_type = "metered"
            subscription_items.load_items(session, subscription)[0].quantity = None
        elif kind == "paid by invoice":
            subscription.collection_method = "send_invoice"
        else:
            made = world.Merchant(session, world.START, session.get(world.Account, shop.customer.account_id))
            made.schedule(subscription, shop.prices["solo"], 1, world.END, origin="merchant")
    client = enter(app, shop.customer)
    client.get("/")
    assert _cancel(client, shop).status_code == 303
    assert _row(shop).cancel_at == world.END


@HALF
@pytest.mark.case("D6")
@pytest.mark.both_databases
def test_a_confirmation_counts_only_once_after_an_undone_cancellation(app: Flask) -> None:
    shop = world.shop()
    client = enter(app, shop.customer)
    end = client.get(_address(shop, "/end"))
    assert _confirm(client, shop, end).status_code == 303
    client.send(_address(shop, "/removal"))
    again = _confirm(client, shop, end)
    assert again.status_code == 409
    assert "have changed since you looked" in text(again.text)
    assert _row(shop).canceled_at is None
    assert _confirm(client, shop, again).status_code == 303


@HALF
@pytest.mark.case("D6")
@pytest.mark.both_databases
def test_a_double_click_after_an_accepted_offer_is_one_cancellation(app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        taken = CancellationAttempt.of(shop.subscription, world.HALF, outcome="saved", closed_at=world.HALF)
        session.add(taken)
    client = enter(app, shop.customer)
    end = client.get(_address(shop, f"/end?attempt={taken.id}"))
    assert [_confirm(client, shop, end).status_code for _ in range(2)] == [303, 303]
    assert _row(shop).cancel_at_period_end
