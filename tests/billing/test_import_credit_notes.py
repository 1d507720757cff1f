"""Imported credit notes: what was given back of a line there is not credited again here."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal_site import clock
from portal_site.billing.cancellation import cancellations
from portal_site.billing.changes import plan_changes
from portal_site.billing.changes.plan_changes import PlanChangeRequest
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.loading.confirmations import Confirmation
from portal_site.billing.models import CreditNote, CreditNoteLineItem, Invoice
from portal_site.billing.rules.portal import portal_features
from tests.billing.exports import CUSTOMER, DAY, LINE, NOW, PRICE, PRODUCT, SUBSCRIPTION
from tests.billing.exports import INVOICE as OPEN
from tests.world import reading

START, END, HALF = NOW - 5 * DAY, NOW + 25 * DAY, NOW + 10 * DAY
FLAT = {**PRICE, "unit_amount": 3000, "unit_amount_decimal": "3000", "transform_quantity": None, "lookup_key": None}
DEAR = {**FLAT, "id": "price_dear", "unit_amount": 5000, "unit_amount_decimal": "5000"}
PRORATED = {"enabled": True, "proration_behavior": "always_invoice"}
OFFERED = [{"product": "prod_one", "prices": ["price_one", "price_dear"]}]
FEATURES = portal_features.read({
    "subscription_update": {**PRORATED, "default_allowed_updates": ["price"], "products": OFFERED},
    "subscription_cancel": {**PRORATED, "mode": "immediately"},
})  # fmt: skip
PARENT = {"subscription_item_details": {"subscription": "sub_one", "subscription_item": "si_one", "proration": False}}
CHARGE = {**LINE, "amount": 3000, "discount_amounts": [], "taxes": [], "quantity": 1, "parent": PARENT}
PAID = {
    **OPEN, "status": "paid", "subtotal": 3000, "total": 3000, "total_excluding_tax": 3000, "amount_due": 3000,
    "amount_paid": 3000, "amount_remaining": 0, "total_discount_amounts": [], "total_taxes": [], "lines": {"data": [CHARGE]},
}  # fmt: skip
NOTE_LINE = {
    "id": "cnli_one", "object": "credit_note_line_item", "amount": 600, "description": "Team", "discount_amount": 0,
    "discount_amounts": [], "invoice_line_item": "il_one", "livemode": False, "pretax_credit_amounts": [], "quantity": 1,
    "tax_rates": [], "taxes": [], "type": "invoice_line_item", "unit_amount": 600, "unit_amount_decimal": "600",
}  # fmt: skip
CUSTOM = {**NOTE_LINE, "id": "cnli_custom", "type": "custom_line_item", "invoice_line_item": None}


def _note(amount: int, *lines: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "id": "cn_one", "object": "credit_note", "customer": "cus_one", "invoice": "in_one", "status": "issued",
        "number": "ONE-0001-CN-01", "currency": "eur", "amount": amount, "pre_payment_amount": 0, "post_payment_amount": amount,
        "type": "post_payment", "reason": "product_unsatisfactory", "created": NOW, "livemode": False, "memo": None,
        "lines": {"object": "list", "data": list(lines), "has_more": False}, **members,
    }  # fmt: skip


def _export(*notes: dict[str, Any], mode: str = "flexible", **of_invoice: Any) -> dict[str, Any]:
    """A subscription of €30.00 a month, whose invoice is paid, and was reduced by what the notes that are not void say."""
    given = [note for note in notes if note["status"] == "issued"]
    sums = {f"{when}_credit_notes_amount": sum(note[f"{when}_amount"] for note in given)
            for when in ("pre_payment", "post_payment")}  # fmt: skip
    item = {**SUBSCRIPTION["items"]["data"][0], "price": FLAT, "quantity": 1, "tax_rates": []}
    subscription = {**SUBSCRIPTION, "billing_mode": {"type": mode}, "discounts": [], "default_tax_rates": [],
                    "default_payment_method": None, "items": {"data": [item]}}  # fmt: skip
    customer = {**CUSTOMER, "balance": 0, "discount": None, "invoice_settings": {}}
    return {
        "product": [PRODUCT], "price": [FLAT, DEAR], "customer": [customer], "subscription": [subscription],
        "invoice": [{**PAID, **sums, **of_invoice}], "credit_note": list(notes),
    }  # fmt: skip


def _take(document: dict[str, Any] | Path, **options: bool) -> ImportReport:
    source = document if isinstance(document, Path) else json.dumps(document).encode()
    return importer.import_objects(source, NOW, options=Options(**options))


def _credit(at: int = HALF) -> int:
    """What a change to the dearer plan credits, in minor units with tax. It charges the same in any case."""
    options = plan_changes.options("cus_one", "sub_one", FEATURES.subscription_update, at)
    quote = plan_changes.preview(options, "cus_one", PlanChangeRequest({"si_one": ("price_dear", 1)}), at)
    charges = [line.total for line in quote.invoice.lines if line.amount > 0]
    assert charges == [5000 * (END - at) // (END - START)]
    return -sum(line.total for line in quote.invoice.lines if line.amount < 0)


def _stored(*columns: Any) -> list[tuple[Any, ...]]:
    with reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(columns[0]))]


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def test_without_credit_notes_the_unused_half_is_credited(app: Flask) -> None:
    report = _take(_export())
    assert list(report.findings()) == []
    assert _credit() == 1500


@pytest.mark.parametrize("mode", ["flexible", "classic"])
@pytest.mark.parametrize(
    ("notes", "left"),
    [
        ([_note(600, NOTE_LINE)], 2400),
        ([_note(3000, {**NOTE_LINE, "amount": 3000})], 0),
        ([_note(600, NOTE_LINE), _note(900, {**NOTE_LINE, "id": "cnli_two", "amount": 900}, id="cn_two")], 1500),
        ([_note(600, CUSTOM)], 2400),
        ([_note(1000, NOTE_LINE, {**CUSTOM, "amount": 400})], 2000),
        ([_note(600)], 2400),
        ([_note(600, NOTE_LINE, status="void")], 3000),
        ([_note(600, {**NOTE_LINE, "amount": 800, "discount_amount": 200})], 2400),
        ([_note(600, {**NOTE_LINE, "invoice_line_item": "il_elsewhere"})], 2400),
    ],
    ids=["a line", "all of it", "twice", "no line", "a line and none", "no lines", "void", "discounted", "an unknown line"],
)  # fmt: skip
def test_the_rest_is_credited(app: Flask, mode: str, notes: list[dict[str, Any]], left: int) -> None:
    report = _take(_export(*notes, mode=mode))
    assert list(report.findings()) == []
    assert report.unknown_members == 0
    assert _credit() == left // 2
    assert _credit(START) == left  # never more than what was paid, less what was given back


def test_what_invoices_say_counts_where_the_credit_notes_are_not_in_the_files(lite_app: Flask) -> None:
    _take(_export(post_payment_credit_notes_amount=600))
    assert _credit() == 1200


def test_credit_notes_count_where_the_invoice_stays_as_it_was(lite_app: Flask) -> None:
    _take(_export(_note(600, NOTE_LINE), post_payment_credit_notes_amount=0))
    assert _credit() == 1200


def test_what_names_no_line_is_shared_by_the_lines(lite_app: Flask) -> None:
    other = {**CHARGE, "id": "il_setup", "amount": 1000, "description": "Set-up", "parent": None}
    twice = {
        "lines": {"data": [CHARGE, other]},
        "subtotal": 4000,
        "total": 4000,
        "amount_due": 4000,
        "amount_paid": 4000,
    }
    _take(_export(_note(800, CUSTOM), **twice))
    assert _credit() == (3000 - 600) // 2


def test_a_line_of_another_invoice_is_not_reduced(lite_app: Flask) -> None:
    other = {
        **PAID,
        "id": "in_two",
        "number": "ONE-0002",
        "lines": {"data": [{**CHARGE, "id": "il_two", "parent": None}]},
    }
    document = _export()
    note = _note(600, NOTE_LINE, invoice="in_two")
    _take({**document, "invoice": [*document["invoice"], {**other, "post_payment_credit_notes_amount": 600}],
           "credit_note": [note]})  # fmt: skip
    assert _credit() == 1500


def test_tax_is_given_back_with_its_amount(lite_app: Flask) -> None:
    tax = {
        "amount": 600,
        "tax_behavior": "exclusive",
        "taxable_amount": 3000,
        "tax_rate_details": {"tax_rate": "txr_one"},
    }
    sums = {"total": 3600, "amount_due": 3600, "amount_paid": 3600, "total_taxes": [tax]}
    taxed = {**NOTE_LINE, "amount": 1000, "taxes": [{**tax, "amount": 200, "taxable_amount": 1000}]}
    _take(_export(_note(1200, taxed), lines={"data": [{**CHARGE, "taxes": [tax]}]}, **sums))
    assert _credit() == (3600 - 1200) // 2
    assert _stored(CreditNoteLineItem.id, CreditNoteLineItem.amount, CreditNoteLineItem.total) == [
        ("cnli_one", 1000, 1200)
    ]


def test_an_open_invoice_is_reduced_to_the_used_time_of_what_is_left(app: Flask) -> None:
    note = _note(600, NOTE_LINE, pre_payment_amount=600, post_payment_amount=0)
    unpaid = {"status": "open", "amount_due": 2400, "amount_paid": 0, "amount_remaining": 2400}
    _take(_export(note, **unpaid))
    ending = cancellations.preview("cus_one", "sub_one", FEATURES.subscription_cancel, HALF).ending
    assert ending is not None
    assert [(reduction.owed_less, reduction.to_balance) for reduction in ending.reductions] == [(1200, 0)]
    confirmation = Confirmation(HALF, cancellations.cancellation_fingerprint(ending), "key")
    cancellations.cancel("cus_one", "sub_one", FEATURES.subscription_cancel, confirmation, HALF)
    assert _stored(Invoice.amount_remaining, Invoice.pre_payment_credit_notes_amount) == [(1200, 1800)]
    assert sorted(total for _, total in _stored(CreditNoteLineItem.id, CreditNoteLineItem.total)) == [600, 1200]


def test_a_credit_note_is_stored_as_it_is(lite_app: Flask) -> None:
    report = _take(_export(_note(600, NOTE_LINE)))
    assert (report.added["credit notes"], report.added["credit note line items"]) == (1, 1)
    columns = (
        "id",
        "invoice_id",
        "customer_id",
        "number",
        "amount",
        "pre_payment_amount",
        "post_payment_amount",
        "reason",
    )
    assert _stored(*(getattr(CreditNote, name) for name in columns)) == [
        ("cn_one", "in_one", "cus_one", "ONE-0001-CN-01", 600, 0, 600, "product_unsatisfactory")
    ]


def test_of_older_versions_the_type_says_when_and_the_taxes_are_amounts(lite_app: Flask) -> None:
    amounts = [{"amount": 100, "inclusive": False, "tax_rate": "txr_one"}]
    line = {**NOTE_LINE, "amount": 500, "taxes": None, "tax_amounts": amounts}
    old = {"pre_payment_amount": None, "post_payment_amount": None}
    before = _note(600, {**line, "id": "cnli_two"}, id="cn_two", type="pre_payment", **old)
    document = _export()
    _take({**document, "credit_note": [_note(600, line, **old), before]})
    assert _stored(CreditNote.id, CreditNote.pre_payment_amount, CreditNote.post_payment_amount) == [
        ("cn_one", 0, 600), ("cn_two", 600, 0),
    ]  # fmt: skip
    assert {total for _, total in _stored(CreditNoteLineItem.id, CreditNoteLineItem.total)} == {600}


def test_a_further_import_brings_new_ones_and_takes_void_ones_away(app: Flask) -> None:
    _take(_export())
    assert _take(_export(_note(600, NOTE_LINE))).added == {"credit notes": 1, "credit note line items": 1}
    assert _credit() == 1200
    again = _take(_export(_note(600, NOTE_LINE)))
    assert (again.added, again.updated) == ({}, {})
    void = _export(_note(600, NOTE_LINE, status="void"))
    _take(void, dry_run=True)
    assert _stored(CreditNote.id) == [("cn_one",)]
    _take(void)
    assert (_stored(CreditNote.id), _stored(CreditNoteLineItem.id)) == ([], [])
    assert _credit() == 1500


def test_one_without_its_invoice_is_left_out_by_name(lite_app: Flask) -> None:
    report = _take({**_export(), "credit_note": [_note(600, NOTE_LINE, invoice="in_gone")]})
    assert [(finding.result, finding.id) for finding in report.findings()] == [("left out", "cn_one")]
    assert "credit note cn_one refers to invoice in_gone" in next(report.findings()).sentence


def test_lines_that_go_on_are_taken_from_a_list_of_their_own(lite_app: Flask, tmp_path: Path) -> None:
    second = {**NOTE_LINE, "id": "cnli_two", "amount": 400}
    note = _note(1000, NOTE_LINE)
    note["lines"] |= {"has_more": True, "total_count": 2}
    (tmp_path / "export.json").write_text(json.dumps(_export(note)))
    report = _take(tmp_path, dry_run=True)
    assert [finding.id for finding in report.findings() if finding.result == "cut short"] == ["cn_one"]
    assert "stripe get /v1/credit_notes/cn_one/lines" in next(report.findings()).sentence
    page = {"object": "list", "url": "/v1/credit_notes/cn_one/lines", "has_more": False, "data": [NOTE_LINE, second]}
    (tmp_path / "lines.json").write_text(json.dumps(page))
    assert list(_take(tmp_path).findings()) == []
    assert [name for (name,) in _stored(CreditNoteLineItem.id)] == ["cnli_one", "cnli_two"]
    assert _credit() == 1000


def test_a_large_customers_credit_notes_follow_its_invoices(lite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "LARGEST", 2)
    monkeypatch.setattr(importer, "BATCH", 1)
    document = _export(_note(600, NOTE_LINE))
    report = _take({"credit_note": document.pop("credit_note"), **document})
    assert list(report.findings()) == []
    assert _credit() == 1200
