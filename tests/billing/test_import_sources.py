"""What people have: files of each form, folders of them, lists with further pages, tables; all mean the same."""

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal_site.billing.errors import ImportRefused
from portal_site.billing.importing import importer
from portal_site.billing.importing.importer import Options
from portal_site.billing.importing.reading import json_records
from portal_site.billing.importing.reading.json_records import Found
from portal_site.billing.importing.report import ImportReport
from portal_site.billing.models import (
    Customer,
    Invoice,
    InvoiceLineItem,
    PaymentMethod,
    Price,
    Subscription,
    SubscriptionItem,
)
from tests.billing.exports import CUSTOMER, EXPORT, INVOICE, LINE, NOW, PRICE, PRODUCT
from tests.world import reading

URLS = {
    "account": "/v1/accounts",
    "billing_portal.configuration": "/v1/billing_portal/configurations",
    "tax_id": "/v1/tax_ids",
}


def _take(source: Path | bytes, **options: bool) -> ImportReport:
    return importer.import_objects(source, NOW, options=Options(**options))


def _list(kind: str, objects: list[Any], has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "url": URLS.get(kind, f"/v1/{kind}s"), "has_more": has_more, "data": objects}


def _by_type(folder: Path) -> None:
    for kind, objects in EXPORT.items():
        (folder / f"{kind}s.json").write_text(json.dumps(objects))


def _lines(folder: Path) -> None:
    rows = [one for objects in EXPORT.values() for one in objects]
    random.Random(7).shuffle(rows)
    (folder / "everything.jsonl").write_text("\n".join(map(json.dumps, rows)))


def _answers(folder: Path) -> None:
    """One object on each page, each page a file."""
    for kind, objects in EXPORT.items():
        for number, one in enumerate(objects):
            page = _list(kind, [one], has_more=number + 1 < len(objects))
            (folder / f"{kind}-{number}.json").write_text(json.dumps(page, indent=2))


def _answers_in_one(folder: Path) -> None:
    pages = [json.dumps(_list(kind, objects), indent=2) for kind, objects in reversed(EXPORT.items())]
    (folder / "all.json").write_text("\n".join(pages))


def _packed(folder: Path) -> None:
    (folder / "export.json.gz").write_bytes(gzip.compress(json.dumps(EXPORT).encode()))


def _with_a_mark(folder: Path) -> None:
    (folder / "export.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(EXPORT, ensure_ascii=False).encode())


@pytest.mark.parametrize("write", [_by_type, _lines, _answers, _answers_in_one, _packed, _with_a_mark])
def test_each_form_brings_the_same(lite_app: Flask, tmp_path: Path, write: Any) -> None:
    write(tmp_path)
    (tmp_path / "notes.txt").write_text("not for the import")
    report = _take(tmp_path, strict=True)
    assert (report.unknown_objects, report.unknown_members) == (0, 0)
    again = _take(json.dumps(EXPORT).encode())
    assert (again.added, again.updated) == ({}, {})


def test_a_list_that_goes_on_is_named_until_its_last_page_is_there(lite_app: Flask, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps(_list("customer", [{"id": "cus_a", "object": "customer"}], has_more=True))
    )
    found = [finding for finding in _take(tmp_path).findings() if finding.result == "cut short"]
    assert [finding.id for finding in found] == ["cus_a"]
    assert "stripe get /v1/customers --limit 100 --starting-after cus_a" in found[0].sentence
    with pytest.raises(ImportRefused, match="goes on after cus_a"):
        _take(tmp_path, strict=True)
    (tmp_path / "b.json").write_text(json.dumps(_list("customer", [{"id": "cus_b", "object": "customer"}])))
    assert [finding.result for finding in _take(tmp_path, strict=True).findings()] == []


@pytest.mark.parametrize("named", [{"invoice": "in_one"}, {}], ids=["lines name their invoice", "their list does"])
def test_lines_that_are_cut_short_are_completed_from_their_own_list(
    lite_app: Flask, tmp_path: Path, named: dict[str, str]
) -> None:
    lines = [{**LINE, "id": f"il_{n}", "amount": 100, "discount_amounts": [], "taxes": [], "parent": None, **named}
             for n in range(14)]  # fmt: skip
    first = {
        "object": "list",
        "data": lines[:10],
        "has_more": True,
        "total_count": 14,
        "url": "/v1/invoices/in_one/lines",
    }
    document = {**EXPORT, "invoice": [{**INVOICE, "lines": first}]}
    (tmp_path / "export.json").write_text(json.dumps(document))
    report = _take(tmp_path)
    assert [finding.id for finding in report.findings() if finding.result == "cut short"] == ["in_one"]
    rest = {"object": "list", "url": "/v1/invoices/in_one/lines", "has_more": False, "data": lines[5:]}
    (tmp_path / "lines.json").write_text(json.dumps(rest))
    assert _take(tmp_path, strict=True).added["invoice line items"] == 14
    with reading() as connection:
        assert sum(connection.scalars(select(InvoiceLineItem.amount))) == 1400


def test_an_object_on_two_pages_is_taken_once(lite_app: Flask, tmp_path: Path) -> None:
    pages = [_list("customer", [CUSTOMER], has_more=True), _list("customer", [{**CUSTOMER, "name": "Later"}])]
    (tmp_path / "export.json").write_text("\n".join(map(json.dumps, pages)))
    report = _take(tmp_path)
    assert next(finding.result for finding in report.findings() if finding.id == "cus_one") == "repeated"
    with reading() as connection:
        assert connection.scalar(select(Customer.name)) == "Later"


def test_tables_are_read_where_they_carry_enough(lite_app: Flask, tmp_path: Path) -> None:
    tables = {
        "customers": [
            ("id", "Email", "Name", "Created (UTC)", "Currency", "Account Balance", "Address City", "Card ID", "Card Last4",
             "Card Brand", "Card Exp Month", "Card Exp Year"),
            ("cus_1", "ann@example.com", "Ann, the first", "2026-02-01 10:00", "eur", "-5.00", "Lyon", "card_1", "0005",
             "American Express", "9", "2031"),
        ],
        "prices": [
            ("Price ID", "Product ID", "Product Name", "Amount", "Currency", "Interval", "Interval Count", "Created (UTC)"),
            ("price_1", "prod_1", "Studio", "30.00", "eur", "month", "1", "2026-02-01 10:00"),
        ],
        "subscriptions": [
            ("id", "Customer ID", "Plan", "Quantity", "Currency", "Status", "Created (UTC)", "Start (UTC)",
             "Current Period Start (UTC)", "Current Period End (UTC)"),
            ("sub_1", "cus_1", "price_1", "2", "eur", "active", "2026-09-01 00:00", "2026-09-01 00:00", "2026-09-01 00:00",
             "2026-10-01 00:00"),
        ],
        "invoices": [
            ("id", "customer_id", "subscription_id", "number", "status", "currency", "date", "period_start", "period_end",
             "subtotal", "total", "amount_due", "amount_paid", "amount_remaining"),
            ("in_1", "cus_1", "sub_1", "A-0001", "paid", "eur", "2026-09-01 00:00:00", "2026-09-01 00:00:00",
             "2026-09-01 00:00:00", "6000", "6000", "6000", "6000", "0"),
        ],
        "invoice_line_items": [
            ("id", "invoice_id", "amount", "currency", "description", "period_start", "period_end", "price_id", "quantity",
             "subscription"),
            ("il_1", "in_1", "6000", "eur", "2 × Studio", "2026-09-01 00:00:00", "2026-10-01 00:00:00", "price_1", "2", "sub_1"),
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        with (tmp_path / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    report = _take(tmp_path)
    assert list(report.findings()) == []
    with reading() as connection:
        rows = [
            connection.execute(select(Customer.name, Customer.balance, Customer.default_payment_method_id)).one(),
            connection.execute(select(PaymentMethod.brand, PaymentMethod.last4)).one(),
            connection.execute(select(Price.unit_amount, Price.interval)).one(),
            connection.execute(select(SubscriptionItem.quantity, Subscription.start_date).join(Subscription)).one(),
            connection.execute(select(Invoice.total, InvoiceLineItem.price_id).join(Invoice)).one(),
        ]  # fmt: skip
    assert list(map(tuple, rows)) == [
        ("Ann, the first", -500, "card_1"), ("amex", "0005"), (3000, "month"), (2, 1_788_220_800), (6000, "price_1"),
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    objects=st.lists(
        st.dictionaries(
            st.text(max_size=4), st.integers() | st.text(max_size=6) | st.lists(st.integers(), max_size=3), max_size=3
        ),
        min_size=1,
        max_size=6,
    ),
    chunk=st.integers(1, 40),
    small=st.integers(1, 60),
)
def test_the_place_of_each_object_is_its_place(objects: list[Any], chunk: int, small: int) -> None:
    text = json.dumps(
        {"customer": objects, "price": {"data": objects, "has_more": True}}, ensure_ascii=False, indent=1
    ).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "CHUNK", chunk)
        patch.setattr(json_records, "SMALL", small)
        found = [one for one in json_records.read(io.BytesIO(text)) if isinstance(one, Found)]
    assert [one.document for one in found] == objects * 2
    assert [json.loads(text[one.offset : one.offset + one.length]) for one in found] == objects * 2


def test_the_report_is_a_table(lite_app: Flask, tmp_path: Path) -> None:
    report = _take(json.dumps({"price": [PRICE], "product": [], "customer": [{**CUSTOMER, "discount": None}]}).encode())
    path = tmp_path / "new" / "report.csv"
    assert report.write(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["result", "type", "id", "customer", "cause", "what it means"]
    assert [row[:4] for row in rows[1:]] == [
        ["left out", "price", "price_one", ""], ["missing", "customer", "cus_one", "cus_one"],
    ]  # fmt: skip
    assert all(row[5].endswith(".") for row in rows[1:])
    assert len(report.summary()) == 2
    assert not _take(json.dumps({"product": [PRODUCT]}).encode()).write(tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.case("C15")
@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(1)", "\t=1", "＝1"])
def test_no_cell_of_the_report_is_a_formula(lite_app: Flask, tmp_path: Path, name: str) -> None:
    report = _take(json.dumps({"price": [{**PRICE, "id": name, "product": "gone"}], "product": []}).encode())
    assert [finding.id for finding in report.findings()] == [name]
    assert report.write(tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1][2] == f"'{name}"
