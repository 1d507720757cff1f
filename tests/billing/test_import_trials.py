"""Imported trials that end without a payment method: their end follows the payment methods, in both directions."""

import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site.billing.billing_run import runner
from portal_site.billing.customers import payment_methods
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import Event, Invoice, PaymentMethod, Subscription
from portal_site.billing.rules.subscriptions.cancellation import end_without_method
from portal_site.db.transactions import transaction
from tests.billing.exports import DAY, METHOD, NOW, Place, changed
from tests.world import reading

END = NOW + 25 * DAY
ITEM: Place = ("subscription", 0, "items", "data", 0)
TRIAL: list[tuple[Place, Any]] = [
    (("subscription", 0, "status"), "trialing"),
    (("subscription", 0, "trial_start"), NOW - 5 * DAY),
    (("subscription", 0, "trial_end"), END),
    (("subscription", 0, "latest_invoice"), None),
    (("subscription", 0, "default_payment_method"), None),
    (("customer", 0, "invoice_settings", "default_payment_method"), None),
    (("payment_method",), []),
    (("invoice",), []),
    (("subscription_schedule",), []),
]


def _take(behavior: str, *more: tuple[Place, Any], renew: bool = True) -> ImportReport:
    settings: tuple[Place, Any] = (
        ("subscription", 0, "trial_settings"),
        {"end_behavior": {"missing_payment_method": behavior}},
    )
    document = changed([*TRIAL, settings, *more])
    return importer.import_objects(json.dumps(document).encode(), NOW, options=Options(renew=renew))


def _row(*columns: Any) -> tuple[Any, ...]:
    with reading() as connection:
        return tuple(connection.execute(select(*columns)).one())


def _own_card() -> None:
    with transaction() as session:
        owner = {"account_id": "acct_one", "customer_id": "cus_one", "livemode": False}
        session.add(PaymentMethod(id="pm_here", **owner, created=NOW, type="card", last4="4242"))


@pytest.mark.parametrize(
    ("behavior", "status", "invoices"), [("cancel", "canceled", 0), ("create_invoice", "past_due", 1)]
)
def test_the_end_of_a_trial_without_a_method(lite_app: Flask, behavior: str, status: str, invoices: int) -> None:
    assert _take(behavior).renewed == 1
    runner.run(lite_app.extensions["gateways"], END + 60, lambda _id: "http://127.0.0.1/back")
    with reading() as connection:
        assert len(connection.execute(select(Invoice.id)).all()) == invoices
    assert _row(Subscription.status) == (status,)


def test_a_trial_that_would_be_paused_is_left_to_the_other_system(lite_app: Flask) -> None:
    report = _take("pause")
    assert report.renewed == 0
    assert any("ends in a pause" in finding.cause for finding in report.findings())


def test_a_method_that_is_named_but_not_exported_counts(lite_app: Flask) -> None:
    named: tuple[Place, Any] = (("customer", 0, "invoice_settings", "default_payment_method"), "pm_elsewhere")
    _take("cancel", named)
    assert _row(Subscription.cancel_at) == (None,)


def test_an_earlier_end_that_the_merchant_set_stays(lite_app: Flask) -> None:
    early = [(("subscription", 0, "cancel_at"), NOW + DAY), (("subscription", 0, "canceled_at"), NOW)]
    _take("cancel", *early)
    _own_card()
    payment_methods.make_default("cus_one", "pm_here", NOW)
    assert _row(Subscription.cancel_at) == (NOW + DAY,)


def test_the_end_is_lifted_with_an_event_when_a_method_comes(app: Flask) -> None:
    _take("cancel")
    assert _row(Subscription.cancel_at) == (END,)
    _own_card()
    payment_methods.make_default("cus_one", "pm_here", NOW)
    assert _row(Subscription.cancel_at, Subscription.due_at) == (None, END)
    with reading() as connection:
        of_it = select(Event.data).where(Event.type == "customer.subscription.updated")
        assert [row[0]["previous_attributes"] for row in connection.execute(of_it)] == [{"cancel_at": END}]


def test_a_further_import_leaves_the_trial_of_who_added_a_method_here(lite_app: Flask) -> None:
    _take("cancel", renew=False)
    brought: tuple[Place, Any] = (("payment_method",), [METHOD])
    report = _take(
        "cancel", brought, (("customer", 0, "invoice_settings", "default_payment_method"), "pm_one"), renew=False
    )
    assert (_row(Subscription.cancel_at), report.updated["subscriptions"]) == ((None,), 1)


@pytest.mark.parametrize(
    ("status", "method", "settings", "end"),
    [
        ("trialing", "charge_automatically", {"end_behavior": {"missing_payment_method": "cancel"}}, END),
        ("trialing", "send_invoice", {"end_behavior": {"missing_payment_method": "cancel"}}, None),
        ("active", "charge_automatically", {"end_behavior": {"missing_payment_method": "cancel"}}, None),
        ("trialing", "charge_automatically", {"end_behavior": {}}, None),
        ("trialing", "charge_automatically", None, None),
    ],
)
def test_only_a_trial_that_is_charged_and_says_so_ends(
    status: str, method: str, settings: dict[str, Any] | None, end: int | None
) -> None:
    assert end_without_method(status, method, END, settings) == end
