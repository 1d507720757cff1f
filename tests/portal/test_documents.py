"""Documents: invoices, receipts and credit notes as PDF, with the amounts of their pages, printed once and kept."""

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal_site.billing.models import Account, Customer, Invoice, InvoiceLineItem, PrintedDocument
from portal_site.documents import typesetting
from portal_site.portal.documents import contents, stored
from tests import pdf, world
from tests.client import parse
from tests.conftest import Visit, enter
from tests.portal.printing import invoice_ids, of_scene, set_members, stored_ids
from tests.scenarios.history import History
from tests.world import reading

VAT = {"id": "txr_vat", "display_name": "VAT", "percentage": "20", "inclusive": False}
CITY = {"id": "txr_city", "display_name": "City tax", "percentage": "1.5", "inclusive": True}
MONEY = re.compile(r"[-−]?(?:US\$|€|[A-Z]{3} ?)[\d,.]+\d|[-−]?(?<!\d)\d{1,3}(?:[   ]\d{3})*,\d{2} (?:€|\$US)")
LYON = {
    "line1": "14 rue du Tilleul",
    "line2": None,
    "city": "Lyon",
    "state": None,
    "postal_code": "69001",
    "country": "FR",
}


def _amounts(words: str) -> set[str]:
    return {found.replace("\u202f", " ").replace("\xa0", " ") for found in MONEY.findall(words)}


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
    assert len(invoice_ids()) == 4
    for invoice in invoice_ids():
        page = client.get(f"/invoices/{invoice}")
        table = next(parse(page.text).iter("table"))
        shown = " ".join(" ".join(cell.itertext()) for cell in table.iter("td"))
        document = pdf.text(client.get(f"/invoices/{invoice}/pdf").data)
        assert _amounts(pdf.unicodedata.normalize("NFKC", shown))
        assert _amounts(pdf.unicodedata.normalize("NFKC", shown)) <= _amounts(document)
        receipt = client.get(f"/invoices/{invoice}/receipt.pdf")
        assert receipt.status_code == 200 or "Amount remaining" in page.text or "Reste à payer" in page.text
        if receipt.status_code == 200:
            assert _amounts(pdf.text(receipt.data)) == _amounts(document)
        for label in table.iter("th"):
            named = [word for word in " ".join(label.itertext()).split() if word.isalpha()]
            assert set(named) <= set(re.findall(r"\w+", document)), named


def test_it_names_both_parties_the_dates_and_the_means_of_payment(visit: Visit) -> None:
    scene = world.scene(address=LYON, tax_ids=[{"type": "eu_vat", "value": "FR61954506077"}], last="open")
    newest = invoice_ids()[0]
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
    words = pdf.text(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data)
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
    set_members(Invoice, of_scene(scene), **values)
    assert said in pdf.text(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data)


def test_why_there_is_no_tax_is_said(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    set_members(
        Invoice,
        of_scene(scene),
        customer_tax_exempt="reverse",
        footer="Late payment: 12 %.",
        description="For the school",
    )
    words = pdf.text(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data)
    for part in ("Reverse charge: the recipient accounts for the VAT", "Late payment: 12 %.", "For the school"):
        assert part in words


@pytest.mark.both_databases
def test_a_credit_note_names_its_invoice_its_taxes_and_where_it_went(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    invoice = invoice_ids()[0]
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
    world.credit_note(invoice_ids()[0], "cn_one")
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
    set_members(Invoice, of_scene(scene), amount_refunded=500)
    assert "We refunded €5.00 of your payment." in pdf.text(
        visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data
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
    world.credit_note(invoice_ids()[0], "cn_one")
    places = {name: f"/invoices/{invoice_ids()[0]}/{name}" for name in ("pdf", "receipt.pdf")} | {
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
    set_members(Invoice, of_scene(scene), customer_address={"country": customer} if customer else None)
    assert pdf.size(visit(scene.customer).get(f"/invoices/{invoice_ids()[0]}/pdf").data) == size


def test_it_is_a_download_with_a_name_that_every_system_takes(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    client = visit(scene.customer)
    for number, name in (
        ("A-1", "Invoice-A-1.pdf"),
        ('été/../\r\n"x"', "Invoice-t-..-x.pdf"),
        ("x" * 500, f"Invoice-{'x' * 80}.pdf"),
    ):
        set_members(Invoice, of_scene(scene), number=number)
        response = client.get(f"/invoices/{invoice_ids()[0]}/pdf")
        assert response.mimetype == "application/pdf"
        assert response.headers["Content-Disposition"] == f"attachment; filename={name}"


# --- printed once -----------------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_it_is_kept_as_it_was_whatever_the_program_would_print_today(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = world.scene(invoices=1)
    client = visit(scene.customer)
    place = f"/invoices/{invoice_ids()[0]}/pdf"
    first = client.get(place).data
    assert len(stored_ids()) == 1
    set_members(Account, Account.id == scene.account_id, branding={"button": "#ff0000", "font": "serif"})
    monkeypatch.setattr(typesetting, "render", None)
    assert client.get(place).data == first
    monkeypatch.undo()
    set_members(Invoice, of_scene(scene), post_payment_credit_notes_amount=500)
    second = client.get(place).data
    assert second != first
    assert len(stored_ids()) == 2


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
    newest = invoice_ids()[0]
    client = visit(scene.customer)
    first = client.get(f"/invoices/{newest}/pdf").data
    client.send(f"/invoices/{newest}/payment", client.form(f"/invoices/{newest}/payment"))
    assert "Use another payment method" in client.get(f"/invoices/{newest}").text
    assert client.get(f"/invoices/{newest}/pdf").data == first


@pytest.mark.both_databases
def test_what_cannot_be_stored_is_the_same_all_the_same(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = world.scene(invoices=1)
    client = visit(scene.customer)
    place = f"/invoices/{invoice_ids()[0]}/pdf"
    client.get("/")
    with world.transaction() as session:
        session.execute(update(Customer).where(Customer.id == scene.customer.id).values(balance=0))
        first = client.get(place).data  # on SQLite the transaction holds the database
    assert client.get(place).data == first
    assert len(stored_ids()) == 1


def test_documents_of_two_customers_are_two(visit: Visit) -> None:
    scene, other = world.scene(invoices=1), world.scene("Other", invoices=1)
    for one in (scene, other):
        with reading() as connection:
            invoice = connection.scalar(select(Invoice.id).where(of_scene(one)))
        assert one.customer.name in pdf.text(visit(one.customer).get(f"/invoices/{invoice}/pdf").data)
    with reading() as connection:
        owners = set(connection.scalars(select(PrintedDocument.customer_id)))
    assert owners == {scene.customer.id, other.customer.id}


@pytest.fixture
def app_context(lite_app: Flask) -> Any:
    """A request's context."""
    with lite_app.test_request_context(base_url="http://127.0.0.1:8000") as context:
        yield context
