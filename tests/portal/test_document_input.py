"""Documents of whatever people type: any script, length and logo."""

import io

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select, update

from portal_site.billing.models import BrandAsset, Customer, Invoice, InvoiceLineItem
from portal_site.demo import northlight
from portal_site.documents import fonts
from tests import pdf, world
from tests.conftest import Visit, enter
from tests.portal.printing import invoice_ids, of_scene, set_members, stored_ids

REGRET = "Some characters of this document could not be printed. They are shown as “?”."
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
    set_members(
        Invoice,
        of_scene(scene),
        customer_name=name.replace("\x00", ""),
        footer=name.replace("\x00", ""),
        number=name[:60].replace("\x00", ""),
    )
    set_members(
        InvoiceLineItem, InvoiceLineItem.customer_id == scene.customer.id, product_name=name.replace("\x00", "")
    )
    response = visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf")
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
    assert len(stored_ids()) == 1


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
    assert stored_ids() == []


def test_an_invoice_of_2000_lines_is_whole(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    with world.transaction() as session:
        line = session.scalars(select(InvoiceLineItem).where(InvoiceLineItem.customer_id == scene.customer.id)).one()
        columns = {column.name: getattr(line, column.name) for column in InvoiceLineItem.__table__.columns}
        rows = [{**columns, "id": f"il_{at}", "position": at, "product_name": f"Part {at}"} for at in range(1, 2000)]
        session.execute(InvoiceLineItem.__table__.insert(), rows)
        session.execute(update(Invoice).where(of_scene(scene)).values(total=99_999_999_999, amount_paid=99_999_999_999))
    client = visit(scene.customer)
    page = client.get(f"/invoices/{invoice_ids()[0]}")
    assert page.text.count("<tr") >= 2000
    data = client.get(f"/invoices/{invoice_ids()[0]}/pdf").data
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
    words = pdf.text(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data)
    assert "Hedda Berg" in words
    assert bool(stored_ids()) == drawn


def test_an_uploaded_picture_is_printed(visit: Visit) -> None:
    scene = world.scene(invoices=1, logo='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>')
    buffer = io.BytesIO()
    Image.new("RGBA", (300, 120), (200, 30, 60, 128)).save(buffer, "PNG")
    values = {"data": buffer.getvalue(), "content_type": "image/png", "width": 300, "height": 120}
    set_members(BrandAsset, BrandAsset.account_id == scene.account_id, **values)
    assert pdf.pixels(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data) == {(300, 120)}
    assert len(stored_ids()) == 1


def test_a_logo_that_is_broken_is_left_out(visit: Visit) -> None:
    scene = world.scene(
        invoices=1, logo='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><path d="M0 0h9v9z"/></svg>'
    )
    for kind in ("image/png", "image/svg+xml"):
        set_members(BrandAsset, BrandAsset.account_id == scene.account_id, data=b"no picture", content_type=kind)
        response = visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf")
        assert "Hedda Berg" in pdf.text(response.data)


@pytest.mark.parametrize("language", ["xx", "tlh-KX", "zh", "", "../../etc"])
def test_a_language_that_nobody_has_is_english(lite_app: Flask, language: str) -> None:
    scene = world.scene(invoices=1)
    set_members(Customer, Customer.id == scene.customer.id, preferred_locales=[language])
    data = enter(lite_app, scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data
    assert pdf.claims(data)["language"].split("-")[0] == "en"


def test_twelve_lines_are_small(visit: Visit) -> None:
    scene = world.scene(invoices=1, logo=northlight.LOGO)
    with world.transaction() as session:
        line = session.scalars(select(InvoiceLineItem).where(InvoiceLineItem.customer_id == scene.customer.id)).one()
        columns = {column.name: getattr(line, column.name) for column in InvoiceLineItem.__table__.columns}
        rows = [{**columns, "id": f"il_{at}", "position": at} for at in range(1, 12)]
        session.execute(InvoiceLineItem.__table__.insert(), rows)
    assert len(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data) < 60_000
