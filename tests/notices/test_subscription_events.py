"""E-mails about subscriptions: what was done in the portal, or by a billing run, is confirmed with what follows from it."""

import re
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask

from portal_site.billing.models import Account, PortalConfiguration, Subscription
from portal_site.billing.rules.portal.portal_features import read
from tests import world
from tests.client import PortalClient
from tests.conftest import enter
from tests.notices.outgoing import DAY, bill, of_kind, written
from tests.portal import changing
from tests.world import END, HALF

HALF_TIME = time_machine.travel(HALF, tick=False)


def _cancel(client: PortalClient, shop: world.Shop) -> Any:
    there = f"/subscriptions/{shop.subscription.id}/cancellation"
    page = client.get(f"{there}/end")
    return client.send(there, {"quote": re.search(r'name="quote" value="([^"]+)"', page.text)[1]})  # type: ignore[index]


@HALF_TIME
@pytest.mark.case("D24")
def test_a_cancellation_is_acknowledged_with_date_time_and_content(lite_app: Flask) -> None:
    shop = world.shop()
    _cancel(enter(lite_app, shop.customer), shop)
    mail = of_kind(written(lite_app, HALF), "cancellation_confirmed")
    assert mail.subject == "Your cancellation of Team is confirmed"
    assert (
        "We confirm your cancellation: your subscription to Team continues until May 1, 2026, then ends." in mail.text
    )
    assert "It will not renew, and no further invoice will follow." in mail.text
    assert "Date of cancellation: April 16, 2026" in mail.text
    assert "12:00:00" in mail.text.replace("\u202f", " ")
    assert "Keep my subscription:" in mail.text


@HALF_TIME
def test_one_that_was_taken_back_at_once_is_not_acknowledged_any_more(lite_app: Flask) -> None:
    shop = world.shop()
    client = enter(lite_app, shop.customer)
    _cancel(client, shop)
    client.send(f"/subscriptions/{shop.subscription.id}/cancellation/removal")
    (mail,) = written(lite_app, HALF)
    assert (mail.kind, mail.subject) == ("change_confirmed", "Your subscription continues")
    assert "Your next invoice, on May 1, 2026, will be €10.00." in mail.text


@HALF_TIME
def test_a_cancellation_at_once_and_an_end_at_the_period_are_said_once(lite_app: Flask) -> None:
    shop = world.shop()
    with world.transaction() as session:
        mine = session.query(PortalConfiguration).filter_by(account_id=shop.customer.account_id).one()
        features = read(mine.features)
        mine.features = replace(
            features, subscription_cancel=replace(features.subscription_cancel, mode="immediately")
        ).as_document()
    _cancel(enter(lite_app, shop.customer), shop)
    (mail,) = written(lite_app, HALF)
    assert mail.kind == "cancellation_confirmed"
    assert "We confirm your cancellation: your subscription to Team ended on April 16, 2026." in mail.text
    assert "Keep" not in mail.text


@HALF_TIME
def test_the_end_of_a_cancelled_subscription_is_announced(lite_app: Flask) -> None:
    shop = world.shop()
    _cancel(enter(lite_app, shop.customer), shop)
    written(lite_app, HALF)
    bill(lite_app, END)
    ended = of_kind(written(lite_app, END), "subscription_ended")
    assert "Your subscription to Team ended on May 1, 2026." in ended.text
    assert "No further invoice will follow." in ended.text


def test_one_that_ends_unpaid_says_so(lite_app: Flask) -> None:
    shop = world.shop(card=world.FAILS)
    with world.transaction() as session:
        account = session.get_one(Account, shop.customer.account_id)
        account.dunning = {"retry_days": [3], "end": "canceled"}
    for day in range(9):
        bill(lite_app, END + day * DAY)
        mails = written(lite_app, END + day * DAY)
    assert "because it was not paid" in of_kind(mails, "subscription_ended").text


@HALF_TIME
def test_a_changed_plan_is_confirmed_with_what_one_has_now(lite_app: Flask) -> None:
    shop = world.shop()
    client = enter(lite_app, shop.customer)
    changing.confirm(client, shop, changing.quote(client, shop, quantity=3))
    mails = written(lite_app, HALF)
    assert sorted(mail.kind for mail in mails) == ["change_confirmed", "receipt"]
    changed = of_kind(mails, "change_confirmed")
    assert changed.subject == "You now have 3 seats"
    assert "Team: 3 seats · €10.00 each per month" in changed.text
    assert "Your next invoice, on May 1, 2026, will be €30.00." in changed.text


@HALF_TIME
def test_a_planned_change_is_confirmed_and_so_is_its_undoing(lite_app: Flask) -> None:
    shop = world.shop(policy={"schedule_at_period_end": ("decreasing_item_amount",)})
    client = enter(lite_app, shop.customer)
    changing.confirm(client, shop, changing.quote(client, shop, "solo"))
    planned = of_kind(written(lite_app, HALF), "change_confirmed")
    assert planned.subject == "Your plan changes on May 1, 2026"
    assert "Solo: €4.00 per month" in planned.text
    client.send(f"/subscriptions/{shop.subscription.id}/planned-change/removal")
    undone = [mail for mail in written(lite_app, HALF) if mail.subject == "Your plan stays as it is"]
    assert len(undone) == 1


@HALF_TIME
def test_a_pause_is_confirmed_and_its_end_too(lite_app: Flask) -> None:
    shop = world.shop()
    client = enter(lite_app, shop.customer)
    there = f"/subscriptions/{shop.subscription.id}/pause"
    (span, *_others) = re.findall(r'name="span"[^>]* value="([^"]+)"', client.get(there).text)
    client.send(there, {"span": span})
    paused = of_kind(written(lite_app, HALF), "pause_begun")
    assert "Your subscription to Team is paused until" in paused.text
    assert "You pay nothing until then." in paused.text
    with world.reading() as reader:
        row = reader.execute(Subscription.__table__.select().where(Subscription.id == shop.subscription.id)).one()
    bill(lite_app, row.due_at)
    resumed = [mail for mail in written(lite_app, row.due_at) if mail.subject == "Your subscription has resumed"]
    assert len(resumed) == 1


def test_a_renewal_changes_no_plan_and_confirms_none(lite_app: Flask) -> None:
    world.shop()
    bill(lite_app, END)
    assert [mail.kind for mail in written(lite_app, END)] == ["receipt"]
