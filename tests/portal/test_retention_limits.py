"""Retention offers that do not exist, have expired, no longer match or were used otherwise: a message, and no change."""

import re
from dataclasses import replace

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.models import Coupon, Discount, Invoice, SubscriptionItem
from portal_site.billing.rules.portal.portal_features import Features, SubscriptionCancel
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.portal.test_retention import (
    HALF,
    TALK,
    _accept,
    _address,
    _attempts,
    _configure,
    _coupon,
    _leave,
    _offering,
    _quote,
    _row,
)
from tests.world import reading


@HALF
@pytest.mark.case("B6", "D1")
@pytest.mark.both_databases
def test_only_the_shown_offer_can_be_accepted(app: Flask) -> None:
    shop, other = world.shop(), world.shop("Other")
    dear = _coupon(shop, percent_off="90")
    _offering(shop, coupon=_coupon(shop))
    _offering(other, coupon=_coupon(other))
    theirs = enter(app, other.customer)
    foreign = theirs.get(_leave(theirs, other, reason="unused").location)
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="unused").location)
    for forged in (_quote(foreign), {"quote": "x"}, {}, {"quote": _quote(page)["quote"] + "x", "coupon": dear}):
        answer = client.send(_address(shop, "/offer/acceptance"), forged)
        assert answer.status_code == 409
        assert "has expired" in text(answer.text)
    swapped = client.send(_address(shop, "/offer/acceptance"), {**_quote(page), "coupon": dear, "percent_off": "100"})
    assert swapped.status_code == 303
    with reading() as reader:
        assert list(reader.scalars(select(Discount.coupon_id))) != [dear]
        assert reader.scalar(select(func.count()).select_from(Discount)) == 1
    assert _accept(client, shop, page).status_code == 303  # a second click finds it taken
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Discount)) == 1
    theirs_attempt = re.search(r'name="attempt" value="([^"]+)"', foreign.text)
    assert theirs_attempt
    assert client.send(_address(shop, "/offer/refusal"), {"attempt": theirs_attempt[1]}).status_code == 404
    assert client.send(_address(shop, "/offer/refusal"), {"attempt": ""}).status_code == 404
    assert _attempts(other) == [("coupon", "shown", None)]


@HALF
def test_an_expired_offer_is_explained_and_changes_nothing(app: Flask) -> None:
    shop = world.shop()
    coupon = _coupon(shop, max_redemptions=1)
    _offering(shop, coupon=coupon)
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="unused").location)
    with time_machine.travel(world.HALF + 31 * 60, tick=False):
        late = _accept(client, shop, page)
        assert late.status_code == 409
        assert "has expired" in text(late.text)
        assert "€8.00 instead of €10.00" in text(late.text)  # shown anew, to be taken after all
    with world.transaction() as session:
        session.execute(update(Coupon).where(Coupon.account_id == shop.customer.account_id).values(times_redeemed=1))
    gone = _accept(client, shop, page)
    assert gone.status_code == 409
    assert "This offer has ended. You can continue with your cancellation." in text(gone.text)
    assert "What happens" in text(gone.text)
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Discount)) == 0
    assert _attempts(shop) == [("coupon", "shown", None)]


@HALF
@pytest.mark.case("A15")
@pytest.mark.both_databases
def test_an_offer_is_gone_once_the_merchant_makes_none(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": TALK})
    client = enter(app, shop.customer)
    where = _leave(client, shop, reason="unused").location
    page = client.get(where)
    _configure(shop, SubscriptionCancel())
    assert "/cancellation/end" in client.get(where).location
    assert _accept(client, shop, page).status_code == 409


@HALF
def test_after_an_offer_was_taken_one_can_still_cancel(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, coupon=_coupon(shop))
    client = enter(app, shop.customer)
    where = _leave(client, shop, reason="unused").location
    end = client.get(_address(shop, "/end?" + where.partition("?")[2]))
    _accept(client, shop, client.get(where))
    assert client.send(_address(shop), _quote(end)).status_code == 303
    # Both were made in the same second, so that no order of theirs means anything.
    assert sorted(_attempts(shop), key=str) == [("coupon", "accepted", "saved"), (None, None, "canceled")]
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Invoice)) == 1


def test_what_may_be_offered_is_off_by_default() -> None:
    assert Features().subscription_cancel.retention.all_rules == ()


@HALF
def test_a_plan_that_does_not_come_in_this_quantity_is_not_offered(app: Flask) -> None:
    shop = world.shop(quantity=5)
    products = [dict(one) for one in shop.features.products]
    products[1]["adjustable_quantity"] = {"enabled": True, "minimum": 1, "maximum": 1}
    shop.features = replace(shop.features, products=tuple(products))
    _offering(shop, {"offer": {"type": "price", "price": shop.prices["solo"].id}}, {"offer": TALK})
    _leave(enter(app, shop.customer), shop, skip="1")
    assert _attempts(shop) == [("contact", "shown", None)]


@HALF
@pytest.mark.both_databases
def test_another_change_does_not_accept_the_offer(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": {"type": "price", "price": shop.prices["solo"].id}})
    client = enter(app, shop.customer)
    attempt = _leave(client, shop, skip="1").location.partition("attempt=")[2]
    there = f"/subscriptions/{shop.subscription.id}/plan-change"
    more = {f"price-{shop.item_id}": shop.prices["team"].id, f"quantity-{shop.item_id}": "5", "attempt": attempt}
    assert client.send(there, _quote(client.get(there, query_string=more))).status_code == 303
    assert _row(shop, SubscriptionItem).quantity == 5
    assert _attempts(shop) == [("price", "shown", None)]


@HALF
@pytest.mark.parametrize(("card", "said"), [(world.VISA, "accepted"), (world.FAILS, "shown")])
def test_an_offered_plan_that_costs_something_is_taken_when_it_is_paid(app: Flask, card: str, said: str) -> None:
    shop = world.shop(card=card)
    _offering(shop, {"offer": {"type": "price", "price": shop.prices["year"].id}})
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, skip="1").location)
    link = re.search(r'href="([^"]+/plan-change\?[^"]+)"', page.text)
    assert link
    client.send(f"/subscriptions/{shop.subscription.id}/plan-change", _quote(client.get(link[1].replace("&amp;", "&"))))
    assert _attempts(shop)[0][1] == said


@HALF
def test_an_ended_trial_is_not_extended(app: Flask) -> None:
    shop = world.shop(status="trialing", trial_start=world.START, trial_end=world.HALF + 600)
    _offering(shop, {"offer": {"type": "trial", "days": 14}})
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, skip="1").location)
    with time_machine.travel(world.HALF + 900, tick=False):
        late = _accept(client, shop, page)
    assert late.status_code == 409
    assert _row(shop).trial_end == world.HALF + 600


@HALF
@pytest.mark.case("D1")
def test_an_offer_with_changed_amounts_is_shown_again(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, coupon=_coupon(shop))
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="unused").location)
    with world.transaction() as session:
        price = session.get(world.Price, shop.prices["team"].id)
        assert price
        price.unit_amount = 1100
    answer = _accept(client, shop, page)
    assert answer.status_code == 409
    assert "€8.80 instead of €11.00" in text(answer.text)
    assert _attempts(shop) == [("coupon", "shown", None)]
