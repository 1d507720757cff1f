"""All documents of a year as an archive, and the list of invoices as a table."""

import csv
import io
import zipfile
from time import gmtime

import pytest
from sqlalchemy import select

from portal_site.billing.models import Invoice
from portal_site.portal.documents import exports, pages
from tests import world
from tests.client import text
from tests.conftest import Visit
from tests.portal.printing import invoice_ids, of_scene, set_members
from tests.world import reading


def _year_of(at: int) -> int:
    return gmtime(at).tm_year


@pytest.mark.both_databases
def test_a_year_is_an_archive_of_the_same_files(visit: Visit) -> None:
    scene = world.scene(invoices=7, last="open")
    world.credit_note(invoice_ids()[0], "cn_one")
    client = visit(scene.customer)
    with reading() as connection:
        rows = connection.execute(select(Invoice.id, Invoice.number, Invoice.status, Invoice.created)).all()
    expected = {}
    for row in rows:
        expected[_year_of(row.created), f"Invoice-{row.number}.pdf"] = client.get(f"/invoices/{row.id}/pdf").data
        if row.status == "paid":
            expected[_year_of(row.created), f"Receipt-{row.number}.pdf"] = client.get(
                f"/invoices/{row.id}/receipt.pdf"
            ).data
    newest = max(rows, key=lambda row: row.created)
    name = f"Credit-note-{newest.number}-CN-01.pdf"
    expected[_year_of(newest.created), name] = client.get("/credit-notes/cn_one/pdf").data
    for year in {year for year, _name in expected}:
        response = client.get(f"/invoices/export/{year}.zip")
        with zipfile.ZipFile(io.BytesIO(response.data)) as file:
            assert file.testzip() is None
            found = {(year, one): file.read(one) for one in file.namelist()}
        assert found == {key: data for key, data in expected.items() if key[0] == year}
    assert client.get("/invoices/export/2001.zip").status_code == 200
    for year in ("0", "1970", "99999", "-1", "x"):
        assert client.get(f"/invoices/export/{year}.zip").status_code == 404


def test_the_archive_names_what_cannot_be_read(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    with reading() as connection:
        row = connection.execute(select(Invoice.number, Invoice.created)).one()
    set_members(Invoice, of_scene(scene), status="strange")
    response = visit(scene.customer).get(f"/invoices/export/{_year_of(row.created)}.zip")
    with zipfile.ZipFile(io.BytesIO(response.data)) as file:
        assert file.namelist() == ["README.txt"]
        assert row.number in file.read("README.txt").decode()


@pytest.mark.both_databases
def test_the_list_is_a_table_with_exact_amounts(visit: Visit) -> None:
    scene = world.scene(invoices=3, last="open")
    lines = visit(scene.customer).get("/invoices/export.csv").data.decode("utf-8-sig").splitlines()
    assert lines[0].startswith("Number,Date,Due date,Status,Currency,Subtotal,Tax,Total,")
    assert [line.split(",")[0][-4:] for line in lines[1:]] == ["0001", "0002", "0003"]
    assert ",Unpaid,EUR,24.00,0.00,24.00,0.00,24.00,," in lines[3]


@pytest.mark.parametrize(
    ("amounts", "status"),
    [
        ({"total": 2400}, "Paid"),
        ({"total": -700, "amount_paid": 0, "ending_balance": -700}, "Credit"),
        ({"total": 40, "amount_due": 0, "amount_paid": 0, "ending_balance": 40}, "Carried over"),
    ],
)
def test_an_invoice_without_a_payment_is_not_called_paid(visit: Visit, amounts: dict[str, int], status: str) -> None:
    scene = world.scene(invoices=1)
    set_members(Invoice, of_scene(scene), **amounts)
    client = visit(scene.customer)
    assert f",{status},EUR," in client.get("/invoices/export.csv").text
    assert status in text(client.get("/invoices").text)
    with reading() as connection:
        invoice_id = connection.scalar(select(Invoice.id))
    page = text(client.get(f"/invoices/{invoice_id}").text)
    assert status in page
    assert ("Paid on" in page) == (status == "Paid")


@pytest.mark.case("C15")
@pytest.mark.parametrize("formula", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_text_of_the_list_is_a_formula(visit: Visit, formula: str) -> None:
    scene = world.scene(invoices=1)
    set_members(Invoice, of_scene(scene), description=formula, number=formula, total=-700)
    with io.StringIO(visit(scene.customer).get("/invoices/export.csv").data.decode("utf-8-sig"), newline="") as file:
        row = list(csv.reader(file))[1]
    assert row[0] == row[-1] == f"'{formula}"
    assert row[7] == "-7.00"
    assert not [cell for cell in row if cell[:1] in ("=", "+", "@", "\t", "\r")]


def test_a_few_archives_at_a_time(visit: Visit) -> None:
    client = visit(world.scene(invoices=1).customer)
    with reading() as connection:
        address = f"/invoices/export/{_year_of(connection.scalar(select(Invoice.created)) or 0)}.zip"
    given_up = client.get(address, buffered=False)
    assert next(given_up.iter_encoded())[:2] == b"PK"
    given_up.close()
    assert client.get(address).status_code == 200
    assert client.head(address).status_code == 200
    for _ in range(pages.MOST_ARCHIVES):  # those of before are given back
        assert pages._few_archives.acquire(blocking=False)
    try:
        refused = client.get(address)
    finally:
        pages._few_archives.release(pages.MOST_ARCHIVES)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert "Please try again in a moment" in refused.text


@pytest.mark.case("F12")
def test_exports_take_no_more_memory_for_more_invoices(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 3)
    monkeypatch.setattr(exports.stored, "invoice", lambda _view: b"x" * 100_000)
    monkeypatch.setattr(exports.stored, "receipt", lambda _view: b"x" * 100_000)
    scene = world.scene(invoices=6)
    with reading() as connection:
        year = _year_of(connection.scalar(select(Invoice.created).limit(1)) or 0)
    response = visit(scene.customer).get(f"/invoices/export/{year}.zip", buffered=False)
    parts = list(response.iter_encoded())
    assert len(parts) > 6
    assert max(map(len, parts)) < 110_000
