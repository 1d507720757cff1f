"""Retention offers: the matching one, once, accepted or declined with one click, and recorded."""

import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal_site.billing.models import (
    Account,
    CancellationAttempt,
    Coupon,
    Discount,
    Event,
    PortalConfiguration,
    Subscription,
    SubscriptionItem,
)
from portal_site.billing.rules.portal.portal_features import (
    CancellationReason,
    Retention,
    RetentionRule,
    SubscriptionCancel,
)
from portal_site.billing.rules.retention.experiment import is_held_out
from portal_site.db import db
from tests import world
from tests.client import PortalClient, text
from tests.conftest import enter
from tests.world import reading

HALF = time_machine.travel(world.HALF, tick=False)
DAY = 24 * 60 * 60
TALK = {"type": "contact", "url": "https://acme.example/talk"}


def _offering(shop: world.Shop, *rules: dict[str, Any], reasons: bool = True, **members: Any) -> None:
    """The shop's portal makes these offers."""
    made = Retention(enabled=True, rules=tuple(map(RetentionRule.of, rules)), **members)
    _configure(shop, SubscriptionCancel(retention=made, cancellation_reason=CancellationReason(enabled=reasons)))


def _configure(shop: world.Shop, cancel: SubscriptionCancel, **others: Any) -> None:
    features = replace(world.EVERYTHING, subscription_update=shop.features, subscription_cancel=cancel, **others)
    with world.transaction() as session:
        mine = PortalConfiguration.account_id == shop.customer.account_id
        session.execute(update(PortalConfiguration).where(mine).values(features=features.as_document()))


def _coupon(shop: world.Shop, **members: Any) -> str:
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, shop.customer.account_id))
        given = {"percent_off": "20", "duration": "repeating", "duration_in_months": 3, **members}
        return str(made.coupon("Stay", given.pop("duration"), **given).id)


def _address(shop: world.Shop, end: str = "") -> str:
    return f"/subscriptions/{shop.subscription.id}/cancellation{end}"


def _leave(client: PortalClient, shop: world.Shop, **given: str) -> Any:
    """The customer says why; where that leads."""
    client.get(_address(shop))
    return client.send(_address(shop, "/reason"), given)


def _quote(page: Any) -> dict[str, str]:
    found = re.search(r'name="quote" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return {"quote": found[1]}


def _accept(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    return client.send(_address(shop, "/offer/acceptance"), _quote(page))


def _decline(client: PortalClient, shop: world.Shop, page: Any) -> Any:
    found = re.search(r'name="attempt" value="([^"]+)"', page.text)
    assert found, text(page.text)
    return client.send(_address(shop, "/offer/refusal"), {"attempt": found[1]})


def _attempts(shop: world.Shop) -> list[tuple[Any, ...]]:
    """(type of the offer, what was said to it, what came of the attempt), in order."""
    with reading() as reader:
        columns = CancellationAttempt.offer, CancellationAttempt.offer_outcome, CancellationAttempt.outcome
        mine = CancellationAttempt.customer_id == shop.customer.id
        rows = reader.execute(
            select(*columns).where(mine).order_by(CancellationAttempt.created, CancellationAttempt.id)
        )
        return [(offer and offer["type"], said, outcome) for offer, said, outcome in rows]


def _row(shop: world.Shop, kind: Any = Subscription) -> Any:
    db.session.remove()
    mine = kind.id == (shop.subscription.id if kind is Subscription else shop.item_id)
    with reading() as reader:
        return reader.execute(select(kind.__table__).where(mine)).one()


def _events(shop: world.Shop) -> list[Any]:
    with reading() as reader:
        mine = Event.account_id == shop.customer.account_id
        return list(reader.execute(select(Event.type, Event.data).where(mine).order_by(Event.created, Event.id)))


@HALF
@pytest.mark.both_databases
def test_a_coupon_is_shown_to_the_cent_and_taken_in_one_click(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, coupon=_coupon(shop))
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="too_expensive").location)
    for words in (
        "20% off for 3 months",
        "Your next invoice, on May 1, 2026, will be €8.00 instead of €10.00.",
        "Your subscription continues",
        "No thanks, continue to cancel",
    ):
        assert words in text(page.text)
    done = client.get(_accept(client, shop, page).location)
    assert "Thank you for staying." in text(done.text)
    assert "Next payment €8.00 on May 1, 2026 (in 15 days)" in text(done.text)
    row = _row(shop)
    assert (row.status, row.cancel_at, row.canceled_at, row.cancellation_details) == ("active", None, None, {})
    with reading() as reader:
        kept = reader.execute(select(Discount.start, Discount.end, Discount.subscription_id)).one()
        assert reader.scalar(select(Coupon.times_redeemed)) == 1
    assert kept == (world.HALF, world.HALF + 91 * DAY, shop.subscription.id)
    told = dict(tuple(event) for event in _events(shop))
    assert sorted(told) == ["customer.discount.created", "customer.subscription.updated"]
    assert told["customer.subscription.updated"]["previous_attributes"] == {"discounts": []}
    assert _attempts(shop) == [("coupon", "accepted", "saved")]


@HALF
def test_declining_is_one_click_and_never_asked_again(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, coupon=_coupon(shop), months_between=1)
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="unused").location)
    end = client.get(_decline(client, shop, page).location)
    assert "continues until May 1, 2026, then ends." in text(end.text)
    assert client.send(_address(shop), _quote(end)).status_code == 303
    assert _row(shop).cancellation_details["feedback"] == "unused"
    client.send(_address(shop, "/removal"))
    with time_machine.travel(world.HALF + 400 * DAY, tick=False):
        client = enter(app, shop.customer)
        assert "/cancellation/end" in _leave(client, shop, reason="unused").location
    assert _attempts(shop) == [("coupon", "declined", "canceled"), (None, None, None)]


@HALF
def test_cancelling_past_an_offer_declines_it(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": TALK})
    client = enter(app, shop.customer)
    attempt = _leave(client, shop, comment="").location.partition("attempt=")[2]
    client.send(_address(shop), _quote(client.get(_address(shop, f"/end?attempt={attempt}"))))
    assert _attempts(shop) == [("contact", "declined", "canceled")]


@HALF
@pytest.mark.case("D5")
@pytest.mark.both_databases
def test_an_offer_is_made_once_in_its_time(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, coupon=_coupon(shop), months_between=6)
    client = enter(app, shop.customer)
    _accept(client, shop, client.get(_leave(client, shop, reason="unused").location))
    assert "/cancellation/end" in _leave(client, shop, reason="too_expensive").location
    with time_machine.travel(world.HALF + 182 * DAY, tick=False):
        assert "/cancellation/end" in _leave(enter(app, shop.customer), shop, reason="unused").location
    with time_machine.travel(world.HALF + 184 * DAY, tick=False):
        assert "/cancellation/offer" in _leave(enter(app, shop.customer), shop, reason="unused").location
    with reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Discount)) == 1


@HALF
@pytest.mark.both_databases
def test_the_same_offer_waits_for_a_day_for_whoever_comes_back(app: Flask) -> None:
    shop = world.shop()
    _offering(
        shop, {"offer": TALK, "when": {"reasons": ["unused"]}}, {"offer": {"type": "pause"}}, coupon=_coupon(shop)
    )
    client = enter(app, shop.customer)
    first = _leave(client, shop, reason="unused").location
    assert _leave(client, shop, reason="unused").location == first
    assert "Talk to us first" in text(client.get(first).text)
    assert _attempts(shop) == [("contact", "shown", None)]
    with time_machine.travel(world.HALF + DAY, tick=False):
        client = enter(app, shop.customer)
        assert "/cancellation/end" in client.get(first).location
        assert "/cancellation/end" in _leave(client, shop, reason="unused").location


@HALF
def test_another_reason_brings_its_own_offer_unless_one_was_declined(app: Flask) -> None:
    shop = world.shop()
    _offering(
        shop,
        {"offer": TALK, "when": {"reasons": ["unused"]}},
        {"offer": {"type": "pause"}, "when": {"reasons": ["too_expensive"]}},
    )
    client = enter(app, shop.customer)
    first = _leave(client, shop, reason="too_expensive").location
    assert _attempts(shop) == [("pause", "shown", None)]
    assert _leave(client, shop, reason="unused").location == first
    assert _attempts(shop) == [("contact", "shown", None)]
    assert "/cancellation/end" in _leave(client, shop, reason="low_quality").location
    assert _attempts(shop) == [(None, None, None)]
    page = client.get(_leave(client, shop, reason="unused").location)
    attempt = re.search(r'name="attempt" value="([^"]+)"', page.text)
    assert attempt
    client.send(f"/subscriptions/{shop.subscription.id}/cancellation/offer/refusal", {"attempt": attempt[1]})
    assert "/cancellation/end" in _leave(client, shop, reason="too_expensive").location
    assert _attempts(shop) == [("contact", "declined", None)]


@HALF
@pytest.mark.both_databases
def test_accepting_a_pause_offer(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": {"type": "pause"}, "when": {"reasons": ["unused"]}})
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="unused").location)
    link = re.search(r'href="([^"]+/pause\?attempt=[^"]+)"', page.text)
    assert link
    span = re.search(r'name="span"[^>]* value="([^"]+)"', client.get(link[1]).text)
    assert span
    client.send(f"/subscriptions/{shop.subscription.id}/pause", {"span": span[1]})
    assert _row(shop).status == "paused"
    assert _attempts(shop) == [("pause", "accepted", "saved")]


@HALF
@pytest.mark.both_databases
def test_accepting_a_cheaper_plan(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": {"type": "price", "price": shop.prices["solo"].id}})
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="too_expensive").location)
    assert "It costs €4.00 per month instead of €10.00 per month." in text(page.text)
    link = re.search(r'href="([^"]+/plan-change\?[^"]+)"', page.text)
    assert link
    quote = client.get(link[1].replace("&amp;", "&"))
    assert "Kept as credit €3.00" in text(quote.text)
    assert 'name="attempt"' in quote.text
    answer = client.send(f"/subscriptions/{shop.subscription.id}/plan-change", _quote(quote))
    assert answer.status_code == 303
    assert _row(shop, SubscriptionItem).price_id == shop.prices["solo"].id
    assert _attempts(shop) == [("price", "accepted", "saved")]


@HALF
def test_a_monthly_plan_in_place_of_a_yearly_one_is_compared_for_a_year(app: Flask) -> None:
    shop = world.shop(quantity=3)
    with world.transaction() as session:
        mine = SubscriptionItem.account_id == shop.customer.account_id
        yearly = {"price_id": shop.prices["year"].id, "current_period_end": world.START + 365 * DAY}
        session.execute(update(SubscriptionItem).where(mine).values(yearly))
        made = world.Merchant(session, world.START, session.get(Account, shop.customer.account_id))
        made.discount(shop.subscription, made.coupon("Loyal", percent_off="20"))
    _offering(shop, {"offer": {"type": "price", "price": shop.prices["solo"].id}})
    client = enter(app, shop.customer)
    page = text(client.get(_leave(client, shop, reason="too_expensive").location).text)
    assert "It costs €9.60 per month (€115.20 per year) instead of €240.00 per year." in page
    assert "Your discount is taken off both, as long as it lasts." in page
    wanted = {f"price-{shop.item_id}": shop.prices["solo"].id, f"quantity-{shop.item_id}": "3"}
    change = text(client.get(f"/subscriptions/{shop.subscription.id}/plan-change", query_string=wanted).text)
    assert "Solo €4.00 per month each €12.00 per month for × 3 · €144.00 per year in all" in change


@HALF
def test_accepting_a_longer_trial(app: Flask) -> None:
    shop = world.shop(status="trialing", trial_start=world.START, trial_end=world.END)
    _offering(shop, {"offer": {"type": "trial", "days": 14}})
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, reason="missing_features").location)
    assert "Your free trial will last until May 15, 2026 instead of May 1, 2026" in text(page.text)
    done = client.get(_accept(client, shop, page).location)
    assert "Free until May 15, 2026" in text(done.text)
    end = world.END + 14 * DAY
    row, item = _row(shop), _row(shop, SubscriptionItem)
    assert (row.trial_end, row.billing_cycle_anchor, row.due_at, item.current_period_end) == (end, end, end, end)
    kind, data = _events(shop)[-1]
    assert (kind, data["previous_attributes"]["trial_end"]) == ("customer.subscription.updated", world.END)


@HALF
def test_a_contact_offer_has_the_merchants_message(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": {**TALK, "message": "We read every <b>answer</b>."}})
    client = enter(app, shop.customer)
    page = client.get(_leave(client, shop, comment="").location)
    assert 'href="https://acme.example/talk"' in page.text
    assert "We read every <b>answer</b>." in text(page.text)
    assert _accept(client, shop, page).status_code == 303
    assert _attempts(shop) == [("contact", "accepted", "saved")]


@HALF
@pytest.mark.parametrize(
    ("offer", "why"),
    [
        ({"type": "coupon", "coupon": "no such coupon"}, "it does not exist"),
        ({"type": "price", "price": "price_none"}, "it is not sold"),
        ({"type": "trial", "days": 7}, "no trial runs"),
        ({"type": "contact"}, "nobody can be reached"),
    ],
)
def test_an_offer_that_cannot_be_accepted_is_skipped(app: Flask, offer: dict[str, Any], why: str) -> None:
    shop = world.shop()
    _offering(shop, {"offer": offer}, {"offer": {"type": "pause"}})
    assert "/cancellation/offer" in _leave(enter(app, shop.customer), shop, comment="").location, why
    assert _attempts(shop) == [("pause", "shown", None)]


@HALF
@pytest.mark.parametrize(
    "members",
    [
        {"valid": False},
        {"redeem_by": world.HALF},
        {"max_redemptions": 2, "times_redeemed": 2},
        {"amount_off": 500, "currency": "usd", "percent_off": None},
        {"applies_to_products": ["prod_other"]},
    ],
)
def test_a_coupon_that_takes_nothing_off_is_not_offered(app: Flask, members: dict[str, Any]) -> None:
    shop = world.shop()
    _offering(shop, coupon=_coupon(shop, **members))
    assert "/cancellation/end" in _leave(enter(app, shop.customer), shop, reason="unused").location


@HALF
def test_a_coupon_that_runs_already_is_not_offered(app: Flask) -> None:
    shop = world.shop()
    coupon = _coupon(shop)
    _offering(shop, coupon=coupon)
    with world.transaction() as session:
        made = world.Merchant(session, world.START, session.get(Account, shop.customer.account_id))
        made.discount(shop.subscription, session.get(Coupon, (shop.customer.account_id, coupon)), None)
    assert "/cancellation/end" in _leave(enter(app, shop.customer), shop, reason="unused").location


@HALF
def test_an_offer_may_follow_where_no_reason_is_asked(app: Flask) -> None:
    shop = world.shop()
    _offering(shop, {"offer": TALK}, reasons=False)
    client = enter(app, shop.customer)
    page = client.get(_address(shop))
    assert "Why do you want to cancel?" not in text(page.text)
    assert "Why do you want to cancel?" not in page.text
    assert client.send(_address(shop, "/reason"), {"reason": "unused"}).status_code == 422
    answer = client.send(_address(shop, "/reason"), {"comment": "sent all the same"})
    assert "/cancellation/offer" in answer.location
    with reading() as reader:
        assert reader.execute(select(CancellationAttempt.feedback, CancellationAttempt.comment)).one() == (None, None)


@HALF
@pytest.mark.both_databases
def test_the_hold_out_group_gets_no_offer_but_it_is_recorded(app: Flask) -> None:
    shop = world.shop()
    shops = [shop, *(world.neighbour(shop, number) for number in range(7))]
    _offering(shop, coupon=_coupon(shop), holdout_percent=50)
    for one in shops:
        held = is_held_out(one.customer.id, 50)
        where = _leave(enter(app, one.customer), one, reason="unused").location
        assert ("/cancellation/end" in where) is held
        with reading() as reader:
            mine = CancellationAttempt.customer_id == one.customer.id
            found = reader.execute(
                select(CancellationAttempt.held_out, CancellationAttempt.offer, CancellationAttempt.offer_outcome)
                .where(mine)
            ).one()  # fmt: skip
        assert (found.held_out, found.offer["type"]) == (held, "coupon")
        assert found.offer_outcome == (None if held else "shown")
    one = next((one for one in shops if is_held_out(one.customer.id, 50)), None)
    if one is not None:
        client = enter(app, one.customer)
        attempt = _leave(client, one, reason="unused").location.partition("attempt=")[2]
        assert "/cancellation/end" in client.get(_address(one, f"/offer?attempt={attempt}")).location
