"""Documents: invoices, receipts and credit notes as PDF, with the amounts of their pages, printed once and kept."""

import csv
import io
import re
import zipfile
from time import gmtime
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select, update

from portal_site.billing.models import Account, BrandAsset, Customer, Invoice, InvoiceLineItem, PrintedDocument
from portal_site.demo import northlight
from portal_site.documents import fonts, typesetting
from portal_site.portal.documents import contents, exports, pages, stored
from tests import pdf, world
from tests.client import parse
from tests.conftest import Visit, enter
from tests.scenarios.history import History
from tests.world import reading

VAT = {"id": "txr_vat", "display_name": "VAT", "percentage": "20", "inclusive": False}
CITY = {"id": "txr_city", "display_name": "City tax", "percentage": "1.5", "inclusive": True}
MONEY = re.compile(r"[-−]?(?:US\$|€|[A-Z]{3} ?)[\d,.]+\d|[-−]?\d[\d   ]*,\d{2} (?:€|\$US)")
LYON = {
    "line1": "14 rue du Tilleul",
    "line2": None,
    "city": "Lyon",
    "state": None,
    "postal_code": "69001",
    "country": "FR",
}


def _ids() -> list[str]:
    with reading() as connection:
        return list(connection.scalars(select(Invoice.id).order_by(Invoice.created.desc(), Invoice.id.desc())))


def _stored() -> list[str]:
    with reading() as connection:
        return list(connection.scalars(select(PrintedDocument.id)))


def _now_has(model: Any, where: Any, **values: Any) -> None:
    with world.transaction() as session:
        session.execute(update(model).where(where).values(**values))


def _of(scene: world.Scene) -> Any:
    return Invoice.customer_id == scene.customer.id


def _amounts(words: str) -> set[str]:
    return {found.replace("\u202f", " ").replace("\xa0", " ") for found in MONEY.findall(words)}


REGRET = "Some characters of this document could not be printed. They are shown as “?”."


# --- what they say ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("customer", [{}, {"balance": -700}, {"tax_exempt": "reverse"}])
def test_page_and_document_have_the_same_amounts_and_words(lite_app: Flask, language: str, customer: Any) -> None:
    history = History.start(
        lite_app, tax=[VAT, CITY], customer=customer, policy={"proration_behavior": "always_invoice"}
    )
    history.advance_to("2026-04-16")
    history.change_plan("team", 3)
    history.advance_to("2026-06-02")
    client = enter(lite_app, history.shop.customer)
    client.get("/")
    client.send("/language", {"language": language, "next": "/"})
    assert len(_ids()) == 4
    for invoice in _ids():
        page = client.get(f"/invoices/{invoice}")
        table = next(parse(page.text).iter("table"))
        shown = " ".join(" ".join(cell.itertext()) for cell in table.iter("td"))
        document = pdf.text(client.get(f"/invoices/{invoice}/pdf").data)
        assert _amounts(pdf.unicodedata.normalize("NFKC", shown))
        assert _amounts(pdf.unicodedata.normalize("NFKC", shown)) <= _amounts(document)
        receipt = client.get(f"/invoices/{invoice}/receipt.pdf")
        assert receipt.status_code == 200 or "Left to pay" in page.text or "Reste à payer" in page.text
        if receipt.status_code == 200:
            assert _amounts(pdf.text(receipt.data)) == _amounts(document)
        for label in table.iter("th"):
            named = [word for word in " ".join(label.itertext()).split() if word.isalpha()]
            assert set(named) <= set(re.findall(r"\w+", document)), named


def test_it_names_both_parties_the_dates_and_the_means_of_payment(visit: Visit) -> None:
    scene = world.scene(address=LYON, tax_ids=[{"type": "eu_vat", "value": "FR61954506077"}], last="open")
    newest = _ids()[0]
    client = visit(scene.customer)
    fields = client.form(f"/invoices/{newest}/payment")
    before = pdf.text(client.get(f"/invoices/{newest}/pdf").data)
    assert "Not paid yet" in before
    assert client.get(f"/invoices/{newest}/receipt.pdf").status_code == 404
    client.send(f"/invoices/{newest}/payment", fields)
    invoice, receipt = (pdf.text(client.get(f"/invoices/{newest}/{name}").data) for name in ("pdf", "receipt.pdf"))
    for words in (invoice, receipt):
        for part in (
            "Acme",
            "14 rue du Tilleul",
            "69001 Lyon",
            "FR61954506077",
            "Hedda Berg",
            "75002 Paris",
            "Test mode",
        ):
            assert part in words
        assert re.search(r"Paid on \w+ \d+, \d{4} with Visa •••• 4242", words)
        assert "Page 1 of 1" in words
    assert invoice.count("Invoice") > receipt.count("Invoice")
    assert "Receipt" in receipt


def test_lines_have_quantities_and_unit_prices(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    words = pdf.text(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data)
    assert "Unit price" in words
    assert {"€12.00", "€24.00"} <= _amounts(words)
    assert "2 seats" in words
    assert "seats × Team" not in words  # the number stands in a column of its own


@pytest.mark.parametrize(
    ("quantity", "unit", "amount", "shown"),
    [(2, "1200", 2400, "€12.00"), (1000, "0.5", 500, "€0.005"), (2, "1200", 1999, ""), (None, "1200", 1200, ""),
     (2, None, 2400, "")],
)  # fmt: skip
def test_a_unit_price_is_shown_where_it_explains_the_amount(
    app_context: Any, quantity: int | None, unit: str | None, amount: int, shown: str
) -> None:
    line = contents.LineView(None, amount, "eur", quantity, 0, 0, "Team", unit_amount_decimal=unit)
    assert contents.unit_price(line) == shown


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "void", "amount_paid": 0, "amount_remaining": 0}, "Void"),
        (
            {"status": "open", "amount_paid": 0, "amount_remaining": 2400, "due_date": 1_798_000_000},
            "Please pay by December 23, 2026",
        ),
        ({"status": "uncollectible", "amount_paid": 0, "amount_remaining": 2400}, "Not paid yet"),
        ({"total": -700, "amount_due": 0, "amount_paid": 0}, "Credit"),
        ({"total": 40, "amount_due": 0, "amount_paid": 0, "ending_balance": 40}, "Added to a later invoice"),
        (
            {"total": 2400, "amount_due": 0, "amount_paid": 0, "starting_balance": -2400, "ending_balance": 0},
            "Nothing to pay",
        ),
    ],
)
def test_it_says_how_it_stands(visit: Visit, values: dict[str, Any], said: str) -> None:
    scene = world.scene(invoices=1)
    _now_has(Invoice, _of(scene), **values)
    assert said in pdf.text(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data)


def test_why_there_is_no_tax_is_said(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    _now_has(
        Invoice, _of(scene), customer_tax_exempt="reverse", footer="Late payment: 12 %.", description="For the school"
    )
    words = pdf.text(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data)
    for part in ("Reverse charge: the recipient accounts for the VAT", "Late payment: 12 %.", "For the school"):
        assert part in words


@pytest.mark.both_databases
def test_a_credit_note_names_its_invoice_its_taxes_and_where_it_went(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    invoice = _ids()[0]
    world.credit_note(invoice, "cn_one")
    client = visit(scene.customer)
    page = client.get(f"/invoices/{invoice}")
    assert "/credit-notes/cn_one/pdf" in page.text
    words = pdf.text(client.get("/credit-notes/cn_one/pdf").data)
    for part in ("Credit note", "-0001-CN-01", "For invoice", "Unused time: 2 seats × Team", "Tax VAT 20%", "Hedda Berg",
                 "Taken off what was due", "Credited or refunded"):  # fmt: skip
        assert part in words
    assert {"€4.00", "€0.80", "€4.80", "€3.00", "€1.80"} <= _amounts(words)


@pytest.mark.both_databases
def test_a_credit_note_names_lines_of_ours_in_the_language_of_the_page(app: Flask) -> None:
    scene = world.scene(invoices=1)
    world.credit_note(_ids()[0], "cn_one")
    with world.transaction() as session:
        mine = InvoiceLineItem.customer_id == scene.customer.id
        session.execute(update(InvoiceLineItem).where(mine).values(id="il_any"))
    client = enter(app, scene.customer)
    client.get("/")
    client.send("/language", {"language": "fr", "next": "/"})
    words = pdf.text(client.get("/credit-notes/cn_one/pdf").data)
    assert "Temps non utilisé : Team" in words
    assert "Unused time" not in words


def test_what_was_refunded_is_said(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    _now_has(Invoice, _of(scene), amount_refunded=500)
    assert "We refunded €5.00 of your payment." in pdf.text(
        visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data
    )


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "title"), [("en", "Invoice"), ("fr", "Facture")])
def test_it_is_for_archives_and_for_screen_readers(lite_app: Flask, language: str, title: str) -> None:
    scene = world.scene(invoices=1)
    client = enter(lite_app, scene.customer)
    client.get("/")
    client.send("/language", {"language": language, "next": "/"})
    for name, data in _downloads(client):
        told = pdf.claims(data)
        assert told["language"].split("-")[0] == language
        assert (told["archive"], told["accessible"]) == ("2A", "1")
        assert told["marked"]
        assert told["shows_title"]
        assert not told["script"]
        assert pdf.fonts(data)
        assert set(pdf.fonts(data).values()) == {(True, True)}
        roles = pdf.roles(data)
        assert roles["/Table"] == 1
        assert roles["/TH"] >= 2
        assert roles["/H1"] == 1
        if name == "pdf":
            assert told["title"].startswith(title)


def _downloads(client: Any) -> list[tuple[str, bytes]]:
    world.credit_note(_ids()[0], "cn_one")
    places = {name: f"/invoices/{_ids()[0]}/{name}" for name in ("pdf", "receipt.pdf")} | {
        "cn": "/credit-notes/cn_one/pdf"
    }
    return [(name, client.get(place).data) for name, place in places.items()]


@pytest.mark.parametrize(
    ("customer", "account", "size"),
    [
        ("US", "FR", (612, 792)), ("CA", None, (612, 792)), ("MX", "FR", (612, 792)), ("FR", "US", (595, 842)),
        ("us", "FR", (612, 792)), (None, "US", (612, 792)), (None, None, (595, 842)), ("XX", "US", (595, 842)),
    ],
)  # fmt: skip
def test_the_paper_is_that_of_the_country(visit: Visit, customer: Any, account: Any, size: tuple[int, int]) -> None:
    scene = world.scene(invoices=1, country=account)
    _now_has(Invoice, _of(scene), customer_address={"country": customer} if customer else None)
    assert pdf.size(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data) == size


def test_it_is_a_download_with_a_name_that_every_system_takes(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    client = visit(scene.customer)
    for number, name in (
        ("A-1", "Invoice-A-1.pdf"),
        ('été/../\r\n"x"', "Invoice-t-..-x.pdf"),
        ("x" * 500, f"Invoice-{'x' * 80}.pdf"),
    ):
        _now_has(Invoice, _of(scene), number=number)
        response = client.get(f"/invoices/{_ids()[0]}/pdf")
        assert response.mimetype == "application/pdf"
        assert response.headers["Content-Disposition"] == f"attachment; filename={name}"


# --- printed once -----------------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_it_is_kept_as_it_was_whatever_the_program_would_print_today(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = world.scene(invoices=1)
    client = visit(scene.customer)
    place = f"/invoices/{_ids()[0]}/pdf"
    first = client.get(place).data
    assert len(_stored()) == 1
    _now_has(Account, Account.id == scene.account_id, branding={"button": "#ff0000", "font": "serif"})
    monkeypatch.setattr(typesetting, "render", None)
    assert client.get(place).data == first
    monkeypatch.undo()
    _now_has(Invoice, _of(scene), post_payment_credit_notes_amount=500)
    second = client.get(place).data
    assert second != first
    assert len(_stored()) == 2


def test_a_member_that_is_added_later_changes_no_name() -> None:
    before = {"total": 5, "lines": [{"amount": 5}], "seller": {"name": "Acme"}}
    after = {
        **before,
        "added": 0,
        "lines": [{"amount": 5, "new": None}],
        "credit_notes": [1],
        "seller": {"name": "Acme", "x": ""},
    }
    assert stored._filled(after) == stored._filled(before) == before


def test_how_a_payment_is_going_changes_no_document(visit: Visit) -> None:
    scene = world.scene(last="open", card=world.FAILS)
    newest = _ids()[0]
    client = visit(scene.customer)
    first = client.get(f"/invoices/{newest}/pdf").data
    client.send(f"/invoices/{newest}/payment", client.form(f"/invoices/{newest}/payment"))
    assert "Use another payment method" in client.get(f"/invoices/{newest}").text
    assert client.get(f"/invoices/{newest}/pdf").data == first


@pytest.mark.both_databases
def test_what_cannot_be_stored_is_the_same_all_the_same(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = world.scene(invoices=1)
    client = visit(scene.customer)
    place = f"/invoices/{_ids()[0]}/pdf"
    client.get("/")
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == scene.customer.id).values(balance=0))
        first = client.get(place).data  # on SQLite the transaction holds the database
    assert client.get(place).data == first
    assert len(_stored()) == 1


def test_documents_of_two_customers_are_two(visit: Visit) -> None:
    scene, other = world.scene(invoices=1), world.scene("Other", invoices=1)
    for one in (scene, other):
        with reading() as connection:
            invoice = connection.scalar(select(Invoice.id).where(_of(one)))
        assert one.customer.name in pdf.text(visit(one.customer).get(f"/invoices/{invoice}/pdf").data)
    with reading() as connection:
        owners = set(connection.scalars(select(PrintedDocument.customer_id)))
    assert owners == {scene.customer.id, other.customer.id}


# --- whatever people type ---------------------------------------------------------------------------------------------

SCRIPTS = {
    "Latin": "Ærøskøbing Şirketi Ønskæ Ltd ", "Vietnamese": "Công ty Trách nhiệm Hữu hạn Điện ", "Greek": "Εταιρεία Ηλεκτρισμού ",
    "Cyrillic": "Общество с ограниченной ответственностью ", "Arabic": "شركة النور للتجارة ", "Hebrew": "חברת החשמל לישראל ",
    "Thai": "บริษัทไฟฟ้าไทยจำกัด", "Devanagari": "विद्युत वितरण कंपनी ",
}  # fmt: skip
HOSTILE = {
    "markup": '#panic("x") $ a^2 $ *b* _i_ `c` <b>& = head \\ @ref // ', "control": "a\x00\x07\x1b[31m\r\nb\tc\u2028d",
    "directions": "\u202eRLO\u2066iso\u200f", "surrogate": "lone \ud800 end", "unbroken": "W" * 500,
    "unbroken marks": "e\u0301" * 250, "joined": "👩‍👩‍👧 Ltd 🚀", "nothing": "\u200b\ufeff\u00ad", "private": "\ue000\U0010ffff",
}  # fmt: skip


def _named(visit: Visit, name: str) -> bytes:
    scene = world.scene(invoices=1)
    _now_has(
        Invoice,
        _of(scene),
        customer_name=name.replace("\x00", ""),
        footer=name.replace("\x00", ""),
        number=name[:60].replace("\x00", ""),
    )
    _now_has(InvoiceLineItem, InvoiceLineItem.customer_id == scene.customer.id, product_name=name.replace("\x00", ""))
    response = visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf")
    assert response.status_code == 200
    return response.data


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_name_of_500_characters_is_printed_in_its_script(visit: Visit, script: str) -> None:
    name = (SCRIPTS[script] * 40)[:500]
    data = _named(visit, name)
    assert REGRET not in pdf.text(data)
    if script not in (
        "Arabic",
        "Hebrew",
        "Devanagari",
        "Thai",
    ):  # of these a reader gets signs that were joined and turned
        assert " ".join(pdf.unicodedata.normalize("NFKC", name).split())[:60] in pdf.text(data)
    wanted = {sign for sign in pdf.unicodedata.normalize("NFKC", name) if sign.isalpha()}
    assert not wanted - set(pdf.letters(data))
    assert len(_stored()) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_is_typed_keeps_it_from_being_printed(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(fonts, "of_system", lambda _wanted, _country: ((), frozenset()))
    value = HOSTILE[name]
    if name == "surrogate":
        value = "no such text is stored"
    words = pdf.text(_named(visit, value))
    assert "Hedda" not in words
    if name == "markup":
        assert '#panic("x") $ a^2 $ *b* _i_ `c` <b>&' in words
    if name == "unbroken":
        assert words.count("W") >= 1000


def test_what_no_font_has_is_said_and_not_kept(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "of_system", lambda _wanted, _country: ((), frozenset()))
    words = pdf.text(_named(visit, "株式会社 Sakura"))
    assert "???? Sakura" in words
    assert REGRET in words
    assert _stored() == []


def test_an_invoice_of_2000_lines_is_whole(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    with world.transaction() as session:
        line = session.scalars(select(InvoiceLineItem).where(InvoiceLineItem.customer_id == scene.customer.id)).one()
        columns = {column.name: getattr(line, column.name) for column in InvoiceLineItem.__table__.columns}
        rows = [{**columns, "id": f"il_{at}", "position": at, "product_name": f"Part {at}"} for at in range(1, 2000)]
        session.execute(InvoiceLineItem.__table__.insert(), rows)
        session.execute(update(Invoice).where(_of(scene)).values(total=99_999_999_999, amount_paid=99_999_999_999))
    client = visit(scene.customer)
    page = client.get(f"/invoices/{_ids()[0]}")
    assert page.text.count("<tr") >= 2000
    data = client.get(f"/invoices/{_ids()[0]}/pdf").data
    words = pdf.text(data)
    assert all(f"Part {at}" in words for at in (1, 500, 1999))
    assert "€999,999,999.99" in words
    assert f"Page {pdf.pages(data)} of {pdf.pages(data)}" in words


@pytest.mark.parametrize(
    ("logo", "drawn"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 400"><path d="M0 0h1v400H0z"/></svg>', True),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4000 100"><path d="M0 0h4000v100H0z"/></svg>', True),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 40"><text y="20">Αcme 株</text></svg>', False),
        ('<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>', False),
    ],
)
def test_any_logo_is_printed(visit: Visit, logo: str, drawn: bool) -> None:
    scene = world.scene(invoices=1, logo=logo)
    words = pdf.text(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data)
    assert "Hedda Berg" in words
    assert bool(_stored()) == drawn


def test_an_uploaded_picture_is_printed(visit: Visit) -> None:
    scene = world.scene(invoices=1, logo='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>')
    buffer = io.BytesIO()
    Image.new("RGBA", (300, 120), (200, 30, 60, 128)).save(buffer, "PNG")
    values = {"data": buffer.getvalue(), "content_type": "image/png", "width": 300, "height": 120}
    _now_has(BrandAsset, BrandAsset.account_id == scene.account_id, **values)
    assert pdf.pixels(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data) == {(300, 120)}
    assert len(_stored()) == 1


def test_a_logo_that_is_broken_is_left_out(visit: Visit) -> None:
    scene = world.scene(
        invoices=1, logo='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><path d="M0 0h9v9z"/></svg>'
    )
    for kind in ("image/png", "image/svg+xml"):
        _now_has(BrandAsset, BrandAsset.account_id == scene.account_id, data=b"no picture", content_type=kind)
        response = visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf")
        assert "Hedda Berg" in pdf.text(response.data)


@pytest.mark.parametrize("language", ["xx", "tlh-KX", "zh", "", "../../etc"])
def test_a_language_that_nobody_has_is_english(lite_app: Flask, language: str) -> None:
    scene = world.scene(invoices=1)
    _now_has(Customer, Customer.id == scene.customer.id, preferred_locales=[language])
    data = enter(lite_app, scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data
    assert pdf.claims(data)["language"].split("-")[0] == "en"


def test_twelve_lines_are_small(visit: Visit) -> None:
    scene = world.scene(invoices=1, logo=northlight.LOGO)
    with world.transaction() as session:
        line = session.scalars(select(InvoiceLineItem).where(InvoiceLineItem.customer_id == scene.customer.id)).one()
        columns = {column.name: getattr(line, column.name) for column in InvoiceLineItem.__table__.columns}
        rows = [{**columns, "id": f"il_{at}", "position": at} for at in range(1, 12)]
        session.execute(InvoiceLineItem.__table__.insert(), rows)
    assert len(visit(scene.customer).get(f"/invoices/{_ids()[0]}/pdf").data) < 60_000


# --- all of them ------------------------------------------------------------------------------------------------------


def _year_of(at: int) -> int:
    return gmtime(at).tm_year


@pytest.mark.both_databases
def test_a_year_is_an_archive_of_the_same_files(visit: Visit) -> None:
    scene = world.scene(invoices=7, last="open")
    world.credit_note(_ids()[0], "cn_one")
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
    _now_has(Invoice, _of(scene), status="strange")
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
    assert ",Open,EUR,24.00,0.00,24.00,0.00,24.00,," in lines[3]


@pytest.mark.case("C15")
@pytest.mark.parametrize("formula", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_text_of_the_list_is_a_formula(visit: Visit, formula: str) -> None:
    scene = world.scene(invoices=1)
    _now_has(Invoice, _of(scene), description=formula, number=formula, total=-700)
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


@pytest.fixture
def app_context(lite_app: Flask) -> Any:
    """A request's context."""
    with lite_app.test_request_context(base_url="http://127.0.0.1:8000") as context:
        yield context
