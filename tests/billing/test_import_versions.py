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
from tests.client import text
from tests.conftest import enter
from tests.world import reading

START, END = 1_788_220_800, 1_790_812_800  # 1 September to 1 October 2026, UTC
NOW = START + 3600
CARD = {
    "id": "card_1",
    "exp_month": 5,
    "exp_year": 2030,
    "last4": "0077",
    "country": "SE",
    "fingerprint": "f",
    "customer": "cus_1",
}
PLAN = {
    "id": "gold",
    "object": "plan",
    "amount": 900,
    "currency": "sek",
    "interval": "month",
    "interval_count": 1,
    "livemode": False,
    "trial_period_days": None,
}
COUPON = {
    "id": "HALF",
    "object": "coupon",
    "percent_off": 50,
    "duration": "forever",
    "amount_off": None,
    "currency": None,
    "livemode": False,
    "valid": True,
    "times_redeemed": 1,
}
LINE = {
    "amount": 900,
    "currency": "sek",
    "object": "line_item",
    "livemode": False,
    "quantity": 1,
    "period": {"start": START, "end": END},
    "proration": False,
    "description": None,
}
INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "customer": "cus_1",
    "livemode": False,
    "currency": "sek",
    "subtotal": 900,
    "total": 900,
    "amount_due": 900,
    "attempt_count": 1,
    "attempted": True,
    "period_start": START,
    "period_end": START,
    "starting_balance": 0,
    "ending_balance": 0,
    "next_payment_attempt": None,
}

V2013: dict[str, Any] = {  # one subscription without an id of its own, an active card, a plan with a name
    "plan": [{**PLAN, "name": "Gold"}],
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "delinquent": False,
            "account_balance": 0,
            "description": None,
            "discount": None,
            "active_card": {
                "object": "card",
                "type": "Visa",
                **{k: v for k, v in CARD.items() if k not in ("id", "customer")},
            },
            "subscription": {
                "object": "subscription",
                "plan": {**PLAN, "name": "Gold"},
                "quantity": 1,
                "status": "active",
                "start": START,
                "current_period_start": START,
                "current_period_end": END,
                "cancel_at_period_end": False,
                "canceled_at": None,
                "ended_at": None,
                "trial_start": None,
                "trial_end": None,
                "customer": "cus_1",
            },
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "date": START,
            "paid": True,
            "closed": True,
            "charge": "ch_1",
            "discount": None,
            "lines": {
                "invoiceitems": [],
                "prorations": [],
                "subscriptions": [{**LINE, "plan": {**PLAN, "name": "Gold"}}],
            },
        }
    ],
}
V2015: dict[str, Any] = {  # sources, several subscriptions inside the customer, lines named like their subscription
    "plan": [{**PLAN, "name": "Gold", "created": START, "statement_descriptor": None, "metadata": {}}],
    "coupon": [COUPON],
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "delinquent": False,
            "account_balance": -200,
            "default_source": "card_1",
            "currency": "sek",
            "discount": None,
            "metadata": {},
            "shipping": None,
            "sources": {
                "object": "list",
                "has_more": False,
                "total_count": 1,
                "data": [{**CARD, "object": "card", "brand": "American Express", "funding": "credit"}],
            },
            "subscriptions": {
                "object": "list",
                "has_more": False,
                "total_count": 1,
                "data": [
                    {
                        "id": "sub_1",
                        "object": "subscription",
                        "plan": {**PLAN, "name": "Gold"},
                        "quantity": 1,
                        "status": "active",
                        "start": START,
                        "current_period_start": START,
                        "current_period_end": END,
                        "cancel_at_period_end": False,
                        "discount": {
                            "object": "discount",
                            "coupon": COUPON,
                            "customer": "cus_1",
                            "subscription": "sub_1",
                            "start": START,
                            "end": None,
                        },
                        "tax_percent": 25.0,
                        "application_fee_percent": None,
                        "metadata": {},
                        "customer": "cus_1",
                    }
                ],
            },
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "date": START,
            "paid": False,
            "closed": False,
            "forgiven": False,
            "tax": 113,
            "tax_percent": 25.0,
            "total": 563,
            "amount_due": 563,
            "subscription": "sub_1",
            "charge": None,
            "discount": {
                "object": "discount",
                "coupon": COUPON,
                "customer": "cus_1",
                "subscription": "sub_1",
                "start": START,
            },
            "lines": {
                "object": "list",
                "total_count": 1,
                "has_more": False,
                "data": [
                    {
                        **LINE,
                        "id": "sub_1",
                        "type": "subscription",
                        "plan": {**PLAN, "name": "Gold"},
                        "metadata": {},
                        "subscription": None,
                        "discountable": True,
                    }
                ],
            },
        }
    ],
}
_ITEM_2018 = {
    "id": "si_1",
    "object": "subscription_item",
    "created": START,
    "metadata": {},
    "quantity": 1,
    "subscription": "sub_1",
    "plan": {
        **PLAN,
        "product": "prod_1",
        "nickname": "Gold monthly",
        "usage_type": "licensed",
        "tiers": None,
        "tiers_mode": None,
        "billing_scheme": "per_unit",
        "transform_usage": None,
        "aggregate_usage": None,
    },
}
V2018: dict[str, Any] = {  # items with plans of products, billing, status, a schedule with plans
    "product": [
        {
            "id": "prod_1",
            "object": "product",
            "name": "Gold",
            "type": "service",
            "active": True,
            "livemode": False,
            "created": START,
            "attributes": [],
            "metadata": {},
        }
    ],
    "plan": [_ITEM_2018["plan"]],
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "account_balance": 0,
            "default_source": None,
            "invoice_prefix": "EVA",
            "tax_info": None,
            "sources": {"object": "list", "data": [], "has_more": False},
        }
    ],
    "subscription": [
        {
            "id": "sub_1",
            "object": "subscription",
            "customer": "cus_1",
            "status": "active",
            "billing": "send_invoice",
            "days_until_due": 14,
            "billing_cycle_anchor": START,
            "created": START,
            "start": START,
            "current_period_start": START,
            "current_period_end": END,
            "cancel_at_period_end": False,
            "plan": _ITEM_2018["plan"],
            "quantity": 1,
            "livemode": False,
            "items": {"object": "list", "data": [_ITEM_2018], "has_more": False},
            "discount": None,
            "tax_percent": None,
        }
    ],
    "subscription_schedule": [
        {
            "id": "sub_sched_1",
            "object": "subscription_schedule",
            "customer": "cus_1",
            "subscription": "sub_1",
            "status": "active",
            "created": START,
            "livemode": False,
            "renewal_behavior": "release",
            "current_phase": {"start_date": START, "end_date": END},
            "phases": [
                {"start_date": START, "end_date": END, "plans": [{"plan": "gold", "quantity": 1}], "coupon": None},
                {
                    "start_date": END,
                    "end_date": END + 2_592_000,
                    "plans": [{"plan": "gold", "quantity": 3}],
                    "coupon": None,
                    "tax_percent": None,
                },
            ],
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "date": START,
            "finalized_at": START + 60,
            "status": "open",
            "billing": "send_invoice",
            "paid": False,
            "amount_paid": 0,
            "amount_remaining": 900,
            "number": "EVA-0001",
            "subscription": "sub_1",
            "due_date": START + 86400,
            "lines": {
                "object": "list",
                "data": [
                    {
                        **LINE,
                        "id": "sli_1",
                        "type": "subscription",
                        "subscription": "sub_1",
                        "subscription_item": "si_1",
                        "plan": _ITEM_2018["plan"],
                    }
                ],
            },
        }
    ],
}
_PRICE = {
    "id": "price_1",
    "object": "price",
    "active": False,
    "billing_scheme": "per_unit",
    "currency": "sek",
    "product": "prod_1",
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "type": "recurring",
    "unit_amount": 900,
    "unit_amount_decimal": "900",
    "livemode": False,
    "created": START,
    "metadata": {},
}
V2022: dict[str, Any] = {  # prices beside plans, tax rates, tax_amounts, one discount beside ids
    "product": [
        {"id": "prod_1", "object": "product", "name": "Gold", "active": True, "livemode": False, "created": START}
    ],
    "coupon": [],  # deleted, so that only the discount has it
    "customer": [
        {
            "id": "cus_1",
            "object": "customer",
            "created": START,
            "livemode": False,
            "email": "eva@example.se",
            "balance": 0,
            "currency": "sek",
            "invoice_settings": {
                "default_payment_method": {
                    "id": "pm_1",
                    "object": "payment_method",
                    "type": "paypal",
                    "customer": "cus_1",
                    "created": START,
                    "livemode": False,
                    "paypal": {"payer_email": "eva@pay.example", "payer_id": "P"},
                }
            },
        }
    ],
    "subscription": [
        {
            "id": "sub_1",
            "object": "subscription",
            "customer": "cus_1",
            "status": "active",
            "collection_method": "charge_automatically",
            "billing_cycle_anchor": START,
            "created": START,
            "start_date": START,
            "current_period_start": START,
            "currency": "sek",
            "current_period_end": END,
            "cancel_at_period_end": False,
            "livemode": False,
            "discounts": ["di_1"],
            "discount": {
                "id": "di_1",
                "object": "discount",
                "coupon": COUPON,
                "customer": "cus_1",
                "subscription": "sub_1",
                "start": START,
            },
            "default_tax_rates": [
                {"id": "txr_1", "object": "tax_rate", "display_name": "Moms", "percentage": 25.0, "inclusive": True}
            ],
            "items": {
                "object": "list",
                "data": [
                    {
                        "id": "si_1",
                        "object": "subscription_item",
                        "created": START,
                        "price": _PRICE,
                        "plan": {**PLAN, "id": "price_1", "product": "prod_1"},
                        "quantity": 1,
                    }
                ],
            },
        }
    ],
    "invoice": [
        {
            **INVOICE,
            "created": START,
            "status": "paid",
            "amount_paid": 450,
            "amount_remaining": 0,
            "total": 450,
            "amount_due": 450,
            "number": "EVA-0001",
            "subscription": "sub_1",
            "status_transitions": {"paid_at": START, "finalized_at": START},
            "total_discount_amounts": [{"amount": 450, "discount": "di_1"}],
            "tax": 90,
            "total_tax_amounts": [{"amount": 90, "inclusive": True, "tax_rate": "txr_1", "taxable_amount": 360}],
            "lines": {
                "object": "list",
                "data": [
                    {
                        **LINE,
                        "id": "il_1",
                        "type": "subscription",
                        "subscription": "sub_1",
                        "subscription_item": "si_1",
                        "price": _PRICE,
                        "plan": {**PLAN, "id": "price_1"},
                        "discount_amounts": [{"amount": 450, "discount": "di_1"}],
                        "tax_amounts": [{"amount": 90, "inclusive": True, "tax_rate": "txr_1"}],
                    }
                ],
            },
        }
    ],
}
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
    assert "SEK3.62" in page or "SEK3.63" in page
    shown = text(enter(lite_app, "cus_1").get("/invoices/in_1").text)
    assert all(words in shown for words in ("Subtotal SEK9.00", "Discount -SEK4.50", "Tax SEK1.13", "Total SEK5.63"))
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
    assert "for SEK4.50" in page
    shown = text(enter(lite_app, "cus_1").get("/invoices/in_1").text)
    assert all(
        words in shown
        for words in ("Subtotal SEK9.00", "Discount -SEK4.50", "Included tax Moms 25% SEK0.90", "Total SEK4.50")
    )


def test_a_price_counts_more_than_the_plan_that_stands_for_it(lite_app: Flask) -> None:
    plan = {**PLAN, "id": "price_1", "product": "prod_1", "amount": 1}
    both = {"price": [{**_PRICE, "active": True}], "plan": [plan], "product": V2022["product"]}
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
