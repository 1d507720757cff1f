"""What an unpaid invoice says of the retries to come and of their end, tested against what then happens."""

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from portal_site import clock
from portal_site.billing.models import Account, Invoice
from portal_site.db.transactions import transaction
from tests import world
from tests.client import text
from tests.conftest import Visit, enter
from tests.scenarios.history import History


@pytest.mark.parametrize(("days", "alarms"), [(8, 0), (0, 1), (-1, 1)])
def test_an_invoice_is_no_alarm_before_it_is_due(visit: Visit, days: int, alarms: int) -> None:
    scene = world.scene(last="open")
    open_one = Invoice.customer_id == scene.customer.id, Invoice.status == "open"
    with transaction() as session:
        session.execute(update(Invoice).where(*open_one).values(due_date=clock.now() + days * 86_400))
    page = visit(scene.customer).get("/").text
    assert page.count('class="callout callout-bad"') == alarms
    assert page.count("is due on") == 1 - alarms


@pytest.mark.parametrize(
    ("dunning", "day", "said"),
    [
        ({}, "2026-05-02", "We will try again on May 4, 2026. If it stays unpaid, your subscription ends on May 16, 2026."),
        ({}, "2026-05-10", "We will try again on May 16, 2026. If that fails too, your subscription ends."),
        ({"then": "unpaid", "retry_days": [2, 3]}, "2026-05-02",
         "We will try again on May 3, 2026. If it stays unpaid, your subscription is put on hold on May 6, 2026."),
        ({"then": "unpaid", "retry_days": [2, 3]}, "2026-05-04",
         "We will try again on May 6, 2026. If that fails too, your subscription is put on hold."),
        ({"then": "past_due", "retry_days": [2]}, "2026-05-02", "We will try again on May 3, 2026."),
    ],
)  # fmt: skip
def test_an_unpaid_invoice_says_what_is_tried_and_what_then_happens(
    lite_app: Flask, dunning: dict[str, Any], day: str, said: str
) -> None:
    history = History.start(lite_app, card=world.FAILS)
    with transaction() as session:
        session.execute(update(Account).where(Account.id == history.shop.customer.account_id).values(dunning=dunning))
    history.advance_to(day)
    client = enter(lite_app, history.shop.customer)
    for page in ("/", f"/subscriptions/{history.shop.subscription.id}"):
        words = text(client.get(page).text)
        assert said in words
        assert words.count("If ") == said.count("If ")
    for day_of_may in re.findall(r"on May (\d+), 2026", said):
        before = (history.subscription.status, len(history.payments))
        history.advance_to(f"2026-05-{int(day_of_may):02} 23:00:00")
        assert (history.subscription.status, len(history.payments)) != before, (
            "nothing happened on the day that was named"
        )
    if "subscription" in said:
        assert history.subscription.status == ("canceled" if "ends" in said else "unpaid")
