"""Billing is in UTC: neither a machine's time zone nor a rule that a country changes moves what is due, only how it is shown."""

import time
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

import portal_site
from portal_site.billing.models import Account, InvoiceLineItem
from portal_site.web.rendering import filters
from tests import world
from tests.client import text
from tests.conftest import enter
from tests.scenarios.history import History
from tests.world import reading


def _periods(history: History) -> list[Any]:
    with reading() as reader:
        columns = InvoiceLineItem.period_start, InvoiceLineItem.period_end, InvoiceLineItem.amount
        mine = InvoiceLineItem.account_id == history.shop.customer.account_id
        return [tuple(row) for row in reader.execute(select(*columns).where(mine).order_by(*columns))]


def _lived(app: Flask) -> History:
    history = History.start(app)
    history.advance_to("2026-05-17")
    history.change_plan("team", 3)
    history.advance_to("2026-12-02")
    return history


@pytest.mark.case("F18")
@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/St_Johns", "Asia/Beirut"])
def test_the_machines_time_zone_moves_no_period(lite_app: Flask, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    expected = _periods(_lived(lite_app))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert _periods(_lived(lite_app)) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.case("F18")
def test_a_new_rule_of_a_country_moves_what_is_shown_and_not_what_is_stored(
    lite_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = _lived(lite_app)
    before = _periods(history)
    assert "January 1, 2027" in _page(lite_app, history, "Europe/Riga")
    changed = timezone(timedelta(hours=-2))
    monkeypatch.setattr(filters, "zone", lambda _name: changed)
    assert "December 31, 2026" in _page(
        lite_app, history, "Europe/Riga with its new rule"
    )  # pages remember dates by zone
    assert _periods(history) == before


def _page(app: Flask, history: History, zone: str) -> str:
    with world.transaction() as session:
        session.execute(update(Account).where(Account.id == history.shop.customer.account_id).values(timezone=zone))
    return text(enter(app, history.shop.customer).get(f"/subscriptions/{history.subscription.id}").text)


@pytest.mark.case("F18")
def test_the_engine_asks_for_no_time_zone() -> None:
    words = ("zoneinfo", "astimezone(", "localtime", "mktime", "tzlocal")
    files = (Path(portal_site.__file__).parent / "billing").rglob("*.py")
    assert [path for path in files if any(word in path.read_text() for word in words)] == []
