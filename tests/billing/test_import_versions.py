"""Accounts as API versions from 2013 to 2025 gave them: each is read in its own shape, and means the same."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.reading import adapters
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import (
    Account,
    Customer,
    Discount,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    Price,
    SchedulePhaseItem,
    Subscription,
    SubscriptionItem,
)
from tests.billing.accounts_of_2013 import END, NOW, PLAN, START, V2013, V2015
from tests.billing.accounts_of_2018 import PRICE_OF_2022, V2018, V2022
from tests.client import text
from tests.conftest import enter
from tests.world import reading

ALL = {"2013": V2013, "2015": V2015, "2018": V2018, "2022": V2022}


@pytest.fixture(autouse=True)
def an_hour_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def _take(document: Any, **options: bool) -> ImportReport:
    return importer.import_objects(json.dumps(document).encode(), NOW, options=Options(**options))


def _one(*columns: Any) -> Any:
    with reading() as connection:
        return tuple(connection.execute(select(*columns)).one())


@pytest.mark.parametrize("version", ALL)
def test_everything_of_an_account_is_taken(lite_app: Flask, version: str) -> None:
    report = _take(ALL[version])
    assert [finding for finding in report.findings() if finding.result in ("left out", "missing", "cut short")] == []
    assert report.unknown_members == 0
    assert _one(Customer.id, Customer.email) == ("cus_1", "eva@example.se")
    assert _one(SubscriptionItem.quantity, SubscriptionItem.current_period_start, SubscriptionItem.current_period_end) == (
        1, START, END,
    )  # fmt: skip
    assert _one(Subscription.currency, Subscription.billing_cycle_anchor, Subscription.start_date) == (
        "sek",
        START,
        START,
    )
    assert _one(Price.unit_amount, Price.interval) == (900, "month")
    assert _one(InvoiceLineItem.amount, InvoiceLineItem.price_id)[0] == 900
    assert _one(Invoice.created) == (START,)
    client = enter(lite_app, "cus_1")
    shown = text(client.get("/").text)
    assert "Gold" in shown
    assert "1970" not in shown + text(client.get("/invoices/in_1").text)


@pytest.mark.parametrize("version", ALL)
def test_it_is_the_same_the_second_time(lite_app: Flask, version: str) -> None:
    _take(ALL[version])
    report = _take(ALL[version])
    assert (report.added, report.updated) == ({}, {})
    assert [finding for finding in report.findings() if finding.result == "conflict"] == []


@pytest.mark.parametrize("version", ALL)
def test_the_newest_shape_stays_as_it_is(version: str) -> None:
    document = json.loads(json.dumps(ALL[version]))
    for kind, objects in document.items():
        for one in objects:
            once = json.dumps(adapters.newest(kind, one), sort_keys=True)
            assert json.dumps(adapters.newest("price" if kind == "plan" else kind, one), sort_keys=True) == once


def test_a_card_of_2013_is_the_default(lite_app: Flask) -> None:
    _take(V2013)
    assert _one(PaymentMethod.brand, PaymentMethod.last4) == ("visa", "0077")
    assert "Visa •••• ending in 0077" in text(enter(lite_app, "cus_1").get("/payment-methods").text)
    assert _one(Invoice.status, Invoice.amount_paid, Invoice.amount_remaining) == ("paid", 900, 0)


def test_discount_tax_and_balance_of_2015_decide_the_next_invoice(lite_app: Flask) -> None:
    _take(V2015)
    page = text(enter(lite_app, "cus_1").get("/subscriptions/sub_1").text)
    # 9.00 − 50 % + 25 % tax − 2.00 credit
    assert "SEK 3.62" in page or "SEK 3.63" in page
    shown = text(enter(lite_app, "cus_1").get("/invoices/in_1").text)
    assert all(
        words in shown for words in ("Subtotal SEK 9.00", "Discount −SEK 4.50", "Tax SEK 1.13", "Total SEK 5.63")
    )
    assert _one(Invoice.status, Invoice.amount_remaining) == ("open", 563)
    assert _one(InvoiceLineItem.subscription_id) == ("sub_1",)
    assert _one(Discount.coupon_id, Discount.subscription_id) == ("HALF", "sub_1")


def test_invoices_and_phases_of_2018(lite_app: Flask) -> None:
    _take(V2018)
    assert _one(Subscription.collection_method, Subscription.days_until_due) == ("send_invoice", 14)
    assert _one(Invoice.finalized_at, Invoice.collection_method) == (START + 60, "send_invoice")
    with reading() as connection:
        phases = connection.execute(
            select(SchedulePhaseItem.price_id, SchedulePhaseItem.quantity).order_by(SchedulePhaseItem.id)
        )
        assert [tuple(phase) for phase in phases] == [("gold", 1), ("gold", 3)]


def test_taxes_discounts_and_wallets_of_2022(lite_app: Flask) -> None:
    _take(V2022)
    assert _one(PaymentMethod.label) == ("eva@pay.example",)
    page = text(enter(lite_app, "cus_1").get("/subscriptions/sub_1").text)
    assert "PayPal eva@pay.example" in page
    assert "Next payment SEK 4.50 on" in page
    shown = text(enter(lite_app, "cus_1").get("/invoices/in_1").text)
    assert all(
        words in shown
        for words in ("Subtotal SEK 9.00", "Discount −SEK 4.50", "Included tax Moms 25% SEK 0.90", "Total SEK 4.50")
    )


def test_a_price_counts_more_than_the_plan_that_stands_for_it(lite_app: Flask) -> None:
    plan = {**PLAN, "id": "price_1", "product": "prod_1", "amount": 1}
    both = {"price": [{**PRICE_OF_2022, "active": True}], "plan": [plan], "product": V2022["product"]}
    report = _take(both, strict=True)
    assert report.added["prices"] == 1
    assert _one(Price.unit_amount, Price.active) == (900, True)


def test_an_account_of_before_2019_has_its_names(lite_app: Flask) -> None:
    told = {"business_name": "Gamla AB", "support_email": "hej@example.se", "support_phone": None, "support_url": None}
    _take({"account": [{"id": "acct_1", "object": "account", "country": "SE", **told}]})
    assert _one(Account.business_name, Account.support_email) == ("Gamla AB", "hej@example.se")


def test_a_list_of_2013_told_how_many_there_are(lite_app: Flask) -> None:
    lines = {
        "object": "list",
        "count": 3,
        "url": "/v1/invoices/in_1/lines",
        "data": V2015["invoice"][0]["lines"]["data"],
    }
    report = _take({**V2015, "invoice": [{**V2015["invoice"][0], "lines": lines}]})
    assert [finding.id for finding in report.findings() if finding.result == "cut short"] == ["in_1"]


@pytest.mark.parametrize(
    ("paid", "closed", "forgiven", "attempted", "status"),
    [(True, True, False, True, "paid"), (False, True, True, True, "uncollectible"), (False, True, False, True, "uncollectible"),
     (False, False, False, True, "open"), (False, False, False, False, "draft")],
)  # fmt: skip
def test_the_status_of_an_invoice_follows_from_what_it_was(
    paid: bool, closed: bool, forgiven: bool, attempted: bool, status: str
) -> None:
    invoice = {
        "paid": paid,
        "closed": closed,
        "forgiven": forgiven,
        "attempted": attempted,
        "attempt_count": int(attempted),
    }
    assert adapters.newest("invoice", invoice)["status"] == status
