"""Imports after the first one: what changed there is brought, what changed here stays, and an import that was cut goes on."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.importing.writing import writer
from portal_site.billing.models import (
    Customer,
    Discount,
    Event,
    Invoice,
    InvoiceLineItem,
    PaymentAttempt,
    Subscription,
    SubscriptionItem,
)
from portal_site.db.transactions import transaction
from tests.billing.exports import CUSTOMER, DAY, EXPORT, INVOICE, LINE, NOW, Place, changed
from tests.world import reading

HERE = {"unscoped": "the test's only rows"}
PAID = [
    (("invoice", 0, "status"), "paid"),
    (("invoice", 0, "amount_paid"), 504),
    (("invoice", 0, "amount_remaining"), 0),
    (("invoice", 0, "status_transitions", "paid_at"), NOW + DAY),
]
ITEM_OF_IT: Place = ("subscription", 0, "items", "data", 0)


def _take(document: Any = EXPORT, **options: bool) -> ImportReport:
    return importer.import_objects(json.dumps(document).encode(), NOW, options=Options(**options))


def _again(*changes: tuple[Place, Any], **options: bool) -> ImportReport:
    return _take(changed(changes), **options)


def _here(statement: Any) -> None:
    with transaction() as session:
        session.execute(statement, execution_options=HERE)


def _row(*columns: Any, where: Any = True) -> tuple[Any, ...]:
    with reading() as connection:
        return tuple(connection.execute(select(*columns).where(where)).one())


def _conflicts(report: ImportReport) -> Sequence[str]:
    return [finding.id for finding in report.findings() if finding.result == "conflict"]


def test_an_invoice_that_was_paid_there_is_paid_here(app: Flask) -> None:
    _take()
    report = _again(*PAID)
    assert (report.added, report.updated) == ({}, {"invoices": 1})
    assert _row(Invoice.status, Invoice.amount_remaining, Invoice.paid_at, Invoice.next_payment_attempt) == (
        "paid", 0, NOW + DAY, None,
    )  # fmt: skip
    assert _again(*PAID).updated == {}


def test_imports_emit_no_events(app: Flask) -> None:
    _take(EXPORT, renew=True)
    assert _again(*PAID).updated == {"invoices": 1}
    with reading() as connection:
        assert connection.execute(select(Event.id).execution_options(**HERE)).all() == []


def test_columns_that_changed_on_one_side_only_are_merged(app: Flask) -> None:
    _take()
    _here(update(Customer).values(email="new@here.example"))
    report = _again((("customer", 0, "name"), "Renamed There"), (("customer", 0, "balance"), -900))
    assert _row(Customer.email, Customer.name, Customer.balance) == ("new@here.example", "Renamed There", -900)
    assert _conflicts(report) == []


def test_what_changed_on_both_sides_stays_and_is_reported_each_time(app: Flask) -> None:
    _take()
    _here(update(Customer).values(email="new@here.example"))
    for _ in range(2):
        report = _again((("customer", 0, "email"), "new@there.example"))
        assert _conflicts(report) == ["cus_one"]
        assert _row(Customer.email) == ("new@here.example",)


def test_the_same_change_on_both_sides_is_none(app: Flask) -> None:
    _take()
    _here(update(Customer).values(name="Same"))
    assert _conflicts(_again((("customer", 0, "name"), "Same"))) == []


def test_items_and_discounts_follow(app: Flask) -> None:
    _take()
    moved = [
        ((*ITEM_OF_IT, "quantity"), 9),
        ((*ITEM_OF_IT, "current_period_end"), NOW + 55 * DAY),
        (("subscription", 0, "items", "data", 1, "id"), "si_new"),
        (("subscription", 0, "discounts"), []),
    ]
    report = _again(*moved)
    assert report.updated["subscriptions"] == 1
    assert _row(SubscriptionItem.quantity, where=SubscriptionItem.id == "si_one") == (9,)
    with reading() as connection:
        assert set(connection.scalars(select(SubscriptionItem.id))) == {"si_one", "si_new"}
        assert set(connection.scalars(select(Discount.id))) == {"di_whole"}


def test_a_subscription_that_is_billed_here_is_not_the_other_systems_any_more(app: Flask) -> None:
    _take(EXPORT, renew=True)
    report = _again((("subscription", 0, "status"), "canceled"), (("subscription", 0, "ended_at"), NOW))
    assert _conflicts(report) == ["sub_one"]
    assert _row(Subscription.status) == ("active",)


def test_an_invoice_that_is_being_paid_here_is_left_alone(app: Flask) -> None:
    _take()
    owner = {"account_id": "acct_one", "customer_id": "cus_one", "invoice_id": "in_one", "payment_method_id": "pm_one"}
    attempt = {"id": "pa_1", **owner,
               "created": NOW, "amount": 504, "currency": "eur", "status": "unknown", "idempotency_key": "k"}  # fmt: skip
    with transaction() as session:
        session.add(PaymentAttempt(**attempt))
    assert _conflicts(_again(*PAID)) == ["in_one"]
    assert _row(Invoice.status) == ("open",)


def test_a_draft_gets_its_final_lines(app: Flask) -> None:
    draft = [(("invoice", 0, "status"), "draft"), (("invoice", 0, "number"), None)]
    _again(*draft)
    more = [LINE, {**LINE, "id": "il_two", "parent": None, "amount": 100, "discount_amounts": [], "taxes": []}]
    _again((("invoice", 0, "lines", "data"), more), (("invoice", 0, "total"), 604))
    assert _row(Invoice.status, Invoice.number) == ("open", "ONE-0001")
    with reading() as connection:
        assert set(connection.scalars(select(InvoiceLineItem.id))) == {"il_one", "il_two"}


def test_a_pending_item_that_was_invoiced_there_does_not_wait_here(app: Flask) -> None:
    item = {"id": "ii_one", "object": "invoiceitem", "customer": "cus_one", "amount": 700, "currency": "eur", "date": NOW,
            "description": "Training", "discountable": False, "invoice": None, "livemode": False,
            "period": {"start": NOW, "end": NOW}, "quantity": 1, "subscription": "sub_one"}  # fmt: skip
    _take({**EXPORT, "invoiceitem": [item]})
    pending = InvoiceLineItem.invoice_id.is_(None)
    # 20 % tax of the subscription is added to what waits.
    assert _row(InvoiceLineItem.id, InvoiceLineItem.total, where=pending) == ("ii_one", 840)
    line = {**LINE, "id": "il_training", "amount": 700, "parent": None, "discount_amounts": [], "taxes": []}
    billed = {**INVOICE, "id": "in_two", "number": "ONE-0002", "lines": [line]}
    _take({**EXPORT, "invoice": [INVOICE, billed], "invoiceitem": [{**item, "invoice": "in_two"}]})
    with reading() as connection:
        assert set(connection.scalars(select(InvoiceLineItem.id))) == {"il_one", "il_training"}


def test_numbers_go_on_after_those_of_a_second_import(app: Flask) -> None:
    _take()
    assert _row(Customer.next_invoice_sequence) == (2,)
    more = [INVOICE, {**INVOICE, "id": "in_nine", "number": "ONE-0009", "lines": []}]
    _take({**EXPORT, "invoice": more})
    assert _row(Customer.next_invoice_sequence) == (10,)
    clash = {**INVOICE, "id": "in_other", "lines": []}
    report = _take({**EXPORT, "invoice": [INVOICE, clash]})
    assert [finding.id for finding in report.findings() if finding.result == "left out"] == ["in_other"]


def test_a_dry_run_tells_the_same_and_writes_nothing(app: Flask) -> None:
    report = _take(EXPORT, dry_run=True, renew=True)
    assert report.added["subscriptions"] == 1
    assert report.sentence().startswith("Would import")
    with reading() as connection:
        assert connection.execute(select(Customer.id)).all() == []
    done = _take(EXPORT)
    assert done.added == report.added


def test_an_import_that_was_cut_goes_on(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch has whole customers, and those of earlier ones are there when a later one fails."""
    others = [{**CUSTOMER, "id": f"cus_{n}", "discount": None, "invoice_settings": {}} for n in range(6)]
    bills = [{**INVOICE, "id": f"in_{n}", "customer": f"cus_{n}", "parent": None, "lines": []} for n in range(6)]
    document = {"customer": others, "invoice": bills}
    monkeypatch.setattr(importer, "BATCH", 4)
    store, calls = writer.store, []

    def killed(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return store(*args)

    monkeypatch.setattr(writer, "store", killed)
    with pytest.raises(KeyboardInterrupt):
        _take(document)
    with reading() as connection:
        there = set(connection.scalars(select(Customer.id)))
        assert set(connection.scalars(select(Invoice.customer_id))) == there
    assert 0 < len(there) < 6
    monkeypatch.setattr(writer, "store", store)
    report = _take(document)
    assert report.added == {"customers": 6 - len(there), "invoices": 6 - len(there)}
    assert report.present == 2 * len(there)


def test_a_very_large_customer_is_taken_in_parts(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "LARGEST", 12)
    monkeypatch.setattr(importer, "BATCH", 5)
    bills = [{**INVOICE, "id": f"in_{n}", "number": f"ONE-{n:04}", "lines": []} for n in range(60)]
    document = {**EXPORT, "invoice": [*bills, INVOICE | {"number": "ONE-0099"}]}
    report = _take(document, dry_run=True, renew=True)
    assert (report.added["invoices"], report.renewed, list(report.findings())) == (61, 1, [])
    report = _take(document, renew=True)
    assert (report.added["invoices"], report.renewed, list(report.findings())) == (61, 1, [])
    assert _row(Subscription.latest_invoice_id) == ("in_one",)
    assert _row(Customer.next_invoice_sequence) == (100,)


def test_lists_inside_of_a_customer_that_go_on_are_named(lite_app: Flask) -> None:
    sources = {"object": "list", "data": [], "has_more": True}
    report = _take({"customer": [{**CUSTOMER, "discount": None, "invoice_settings": {}, "sources": sources}]})
    assert [finding.result for finding in report.findings()] == ["cut short"]
    assert report.added == {"customers": 1}
