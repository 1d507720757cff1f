"""Invoices: fast pagination of long histories, an invoice as it was issued, and payment of open invoices."""

import re
import time

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy import text as sql

from portal_site.billing.models import Customer, Invoice, PaymentAttempt, PaymentMethod
from portal_site.db import db
from portal_site.db.page_query import PageQuery
from portal_site.portal.reads import invoice_history, overview
from tests import world
from tests.client import PortalClient, parse, text
from tests.conftest import Visit
from tests.world import reading


def _open_invoice() -> str:
    with reading() as connection:
        return str(connection.scalar(select(Invoice.id).where(Invoice.status == "open")))


def _pay(client: PortalClient, invoice_id: str, **changed: str) -> "object":
    address = f"/invoices/{invoice_id}/payment"
    return client.send(address, {**client.form(address), **changed})


@pytest.mark.both_databases
def test_the_invoice_history(visit: Visit) -> None:
    client = visit(world.scene(invoices=3).customer)
    page = text(client.get("/invoices").text)
    assert re.findall(r"(-000\d) €[\d.]+ Paid", page) == ["-0003", "-0002", "-0001"]
    assert "There are no older invoices." not in page


@pytest.mark.both_databases
def test_a_long_history_comes_page_by_page_each_invoice_once(visit: Visit) -> None:
    with world.merchant() as made:
        product = made.product("Backups")
        price = made.price(product, 40, "usd", "day")
        customer = made.customer("Fjord", "fjord@acme.example", "long")
        subscription = made.subscription(customer, [(price, 1)], started=99)
        made.history(customer, subscription, [(product, price, 1)], most=100)
    client = visit(customer)
    seen: list[str] = []
    address: str | None = "/invoices"
    pages = 0
    while address:
        html = client.get(address).text
        seen += re.findall(r'class="quiet-text">([A-Z0-9]{8}-\d{4})<', html)
        following = [a.get("href") for a in parse(html).iter("a") if "after=" in a.get("href", "")]
        address = following[0] if following else None
        pages += 1
    assert len(seen) == len(set(seen)) == 100
    assert seen == sorted(seen, reverse=True)
    assert pages == 5


@pytest.mark.both_databases
def test_invoices_of_one_instant_are_not_lost_between_pages(visit: Visit) -> None:
    scene = world.scene(invoices=1)
    with reading() as connection:
        one = connection.execute(select(Invoice.__table__)).one()._mapping
    with world.transaction() as session:
        session.execute(
            Invoice.__table__.insert(),
            [{**one, "id": f"in_{n:03}", "number": f"N-{n:03}", "cycle_at": None} for n in range(60)],
        )
    scope = {"account_id": scene.account_id, "customer_id": scene.customer.id, "on_behalf_of": None}
    found, after = [], None
    while (page := invoice_history.find(scope, invoice_history.InvoiceFilter(), "UTC", after)) is not None:
        found += [invoice.id for invoice in page.invoices]
        after = page.next_cursor
        if after is None:
            break
    assert len(found) == len(set(found)) == 61


@pytest.mark.parametrize(
    "cursor", ["x", "", "1", "-1_in", "99999999999999999999_in_x", "1_", "é_in", "1_" + "x" * 5000]
)
@pytest.mark.both_databases
def test_an_invalid_cursor_is_not_found(visit: Visit, cursor: str) -> None:
    response = visit(world.scene().customer).get("/invoices", query_string={"after": cursor})
    assert response.status_code in (200, 404)


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"q": "LEWCTMBS-0002"}, ["0002"]),
        ({"q": " lewctmbs-0002 "}, ["0002"]),
        ({"q": "2"}, ["0002"]),
        ({"q": "0003"}, ["0003"]),
        ({"q": "€24.00"}, ["0003", "0002", "0001"]),
        ({"q": "24"}, ["0003", "0002", "0001"]),
        ({"q": "24.01"}, []),
        ({"q": "' OR 1=1 --"}, []),
        ({"q": "\u0662"}, ["0002"]),
        ({"q": "２"}, ["0002"]),
        ({"q": "9" * 60}, []),
        ({"year": "1999"}, []),
        ({"year": "nonsense"}, ["0003", "0002", "0001"]),
        ({"status": "unpaid"}, ["0003"]),
        ({"status": "nonsense"}, ["0003", "0002", "0001"]),
    ],
)
def test_an_invoice_is_found_by_year_state_number_or_amount(
    visit: Visit, asked: dict[str, str], found: list[str]
) -> None:
    scene = world.scene(last="open", invoices=3)
    client = visit(scene.customer)
    with world.transaction() as session:
        mine = Customer.account_id == scene.account_id, Customer.id == scene.customer.id
        session.execute(update(Customer).where(*mine).values(invoice_prefix="LEWCTMBS", currency="eur"))
    page = text(client.get("/invoices", query_string=asked).text)
    assert re.findall(r"LEWCTMBS-(\d{4}) €24", page) == found


def test_the_years_of_the_invoices_are_a_click_away(visit: Visit) -> None:
    client = visit(world.scene(invoices=3).customer)
    with reading() as reader:
        newest = reader.scalar(select(func.max(Invoice.created)))
    year = time.gmtime(newest).tm_year
    shown = client.get("/invoices").text
    assert f'href="/invoices?year={year}"' in shown
    assert "-0003" in text(client.get(f"/invoices?year={year}").text)
    assert 'aria-current="true">' in client.get(f"/invoices?year={year}").text


@pytest.mark.case("D22")
@pytest.mark.both_databases
def test_a_long_history_is_read_from_the_right_place_of_the_right_index(app: Flask) -> None:
    """No sort and no scan on either database, as the portal itself asks: so the last page costs what the first does."""
    scene = world.scene(invoices=3)
    with reading() as connection:
        row = connection.execute(select(Invoice.__table__)).first()
        assert row is not None
    with world.transaction() as session:
        rows = [
            {**row._mapping, "id": f"in_x{n}", "number": f"X-{n}", "cycle_at": None, "created": n * 1000}
            for n in range(3000)
        ]
        session.execute(Invoice.__table__.insert(), rows)
    bound = {"account_id": scene.account_id, "customer_id": scene.customer.id, "on_behalf_of": None, "at": 0}
    bound |= {"after_created": 500_000, "after_id": "in_x5"}
    bound |= {"since": 100_000, "until": 900_000, "amount": 7, "number": "X-5"}
    index = {"all": "ix_invoices_history", "year": "ix_invoices_history", "unpaid": "ix_invoices_open"}
    for (kind, after), query in invoice_history.PAGES.items():
        assert _plan(query, "invoices", bound) >= {index.get(kind, "ix_invoices_amount")}, (kind, after)
    for end in ("newest", "oldest"):
        assert _plan(invoice_history.ENDS, end, bound) == {"ix_invoices_history"}
    assert _plan(overview._OVERVIEW, "invoices", bound) >= {"ix_invoices_history", "ix_invoices_open"}


@pytest.mark.case("D22")
def test_how_open_invoices_are_being_paid_is_read_from_the_end_of_an_index(app: Flask) -> None:
    scene = world.scene(last="open", invoices=3)
    attempt = {
        "account_id": scene.account_id, "customer_id": scene.customer.id, "invoice_id": _open_invoice(), "amount": 1,
        "payment_method_id": scene.method.id, "livemode": False, "currency": "eur", "status": "declined",
    }  # fmt: skip
    with world.transaction() as session:
        rows = [
            {
                **attempt,
                "id": f"payatt_{n}",
                "created": n,
                "idempotency_key": f"k{n}",
                "settled_at": n,
                "automatic": True,
            }
            for n in range(3000)
        ]
        session.execute(PaymentAttempt.__table__.insert(), rows)
    bound = {"account_id": scene.account_id, "customer_id": scene.customer.id, "on_behalf_of": None, "at": 0}
    used = _plan(overview._OVERVIEW, "invoices", bound, "payment_attempts")
    assert used == {"ix_payment_attempts_newest", "uq_payment_attempts_under_way"}


def test_the_overview_finds_pending_lines_and_open_invoices_among_many(lite_app: Flask) -> None:
    """On SQLite, which knows no sizes: it reads neither the pending lines of all merchants nor all invoices of the customer."""
    scene = world.scene()
    bound: dict[str, object] = {"account_id": scene.account_id, "customer_id": scene.customer.id, "at": 0}
    lines = _plan(overview._OVERVIEW, "lines", bound, "invoice_line_items")
    assert lines == {"ix_invoice_line_items_pending", "uq_invoice_line_items_position"}
    assert _plan(overview._OVERVIEW, "lines", bound) == {"ix_invoices_open"}


def _plan(reads: PageQuery, name: str, bound: dict[str, object], table: str = "invoices") -> set[str]:
    """The indexes of a table that a select goes by; it must neither sort nor scan it."""
    explain = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    query = reads.selects[name]
    compiled = query.compile(dialect=db.engine.dialect)
    given = {**compiled.params, **{key: value for key, value in bound.items() if key in compiled.params}}
    order = getattr(compiled, "positiontup", None)
    with reading() as connection:
        if db.engine.dialect.name == "postgresql":
            connection.execute(sql(f"ANALYZE {table}"))
        parameters = tuple(given[key] for key in order) if order is not None else given
        plan = "\n".join(str(line) for line in connection.exec_driver_sql(explain + str(compiled), parameters))
    assert "TEMP B-TREE" not in plan, plan
    assert f"SCAN {table}" not in plan, plan
    assert f"Seq Scan on {table}" not in plan, plan
    return set(re.findall(rf"(?:ix|uq)_{table}_\w+", plan))


def test_an_invoice_shows_who_when_what_and_how_much(visit: Visit) -> None:
    client = visit(world.scene(last="open").customer)
    page = text(client.get(f"/invoices/{_open_invoice()}").text)
    for shown in (
        "Acme",
        "Hedda Berg",
        "75002 Paris",
        "hedda@acme.example",
        "2 seats × Team",
        "Amount remaining €24.00",
    ):
        assert shown in page


@pytest.mark.both_databases
def test_drafts_are_not_shown(visit: Visit) -> None:
    scene = world.scene(last="draft", invoices=2)
    client = visit(scene.customer)
    with reading() as connection:
        draft = connection.scalar(select(Invoice.id).where(Invoice.status == "draft"))
    assert "Draft" not in client.get("/invoices").text
    assert client.get(f"/invoices/{draft}").status_code == 404


@pytest.mark.both_databases
def test_an_open_invoice_is_paid(visit: Visit) -> None:
    client = visit(world.scene(last="open").customer)
    invoice = _open_invoice()
    assert "You will be charged €24.00 now." in text(client.get(f"/invoices/{invoice}/payment").text)
    response = _pay(client, invoice)
    assert response.location == f"/invoices/{invoice}/paid?what=invoice"  # type: ignore[attr-defined]
    done = text(client.get(f"/invoices/{invoice}/paid?what=invoice").text)
    assert "Thank you. The invoice is paid. €24.00 was charged to Visa •••• 4242 on" in done
    page = text(client.get(f"/invoices/{invoice}").text)
    assert "Amount due" not in page
    assert "with Visa •••• 4242 €24.00" in page
    assert "Pay €" not in page
    assert "is unpaid" not in text(client.get("/").text)
    assert client.get(f"/invoices/{invoice}/payment").location == f"/invoices/{invoice}"


def test_a_declined_card_says_so_and_leaves_it_open(visit: Visit) -> None:
    client = visit(world.scene(last="open", card=world.FAILS).customer)
    invoice = _open_invoice()
    assert _pay(client, invoice).location == f"/invoices/{invoice}/payment"  # type: ignore[attr-defined]
    page = text(client.get(f"/invoices/{invoice}/payment").text)
    assert "Nothing was charged." in page
    assert "Pay €24.00" in page


@pytest.mark.parametrize(
    ("answer", "said"), [("complete", "The invoice is paid."), ("fail", "could not verify your identity")]
)
def test_paying_an_invoice_with_authentication(visit: Visit, answer: str, said: str) -> None:
    client = visit(world.scene(last="open", card=world.ASKS).customer)
    invoice = _open_invoice()
    challenge = _pay(client, invoice).location  # type: ignore[attr-defined]
    assert "/sandbox/charges/" in challenge
    assert "Your bank needs you" in text(client.get(f"/invoices/{invoice}").text)
    assert "€24.00" in client.get(challenge).text
    back = client.send(challenge, {"answer": answer})
    after = client.get(back.location)
    assert said in text(client.get(after.location).text)


@pytest.mark.case("B6")
@pytest.mark.parametrize("amount", ["0", "-1", "1", "2401", "1e3", "٢٤٠٠", "24.00", "", "9" * 30, "<script>"])
def test_another_amount_than_the_one_shown_is_never_charged(visit: Visit, amount: str) -> None:
    client = visit(world.scene(last="open").customer)
    invoice = _open_invoice()
    response = _pay(client, invoice, amount=amount)
    assert response.status_code == 409  # type: ignore[attr-defined]
    assert "The amount of this invoice has changed." in text(response.text)  # type: ignore[attr-defined]
    assert _open_invoice() == invoice


@pytest.mark.both_databases
def test_a_strangers_card_pays_nothing(visit: Visit) -> None:
    client = visit(world.scene(last="open").customer)
    invoice = _open_invoice()
    with world.merchant("Other") as other:
        stranger = other.customer("Else", "else@other.example", "stranger")
        method = other.method(stranger, world.VISA)
    for chosen in (method.id, "", "pm_none"):
        response = _pay(client, invoice, payment_method=chosen)
        assert response.status_code == 422  # type: ignore[attr-defined]
        assert "Choose one of your payment methods." in text(response.text)  # type: ignore[attr-defined]


def test_without_a_payment_method_one_can_be_added(visit: Visit) -> None:
    scene = world.scene(last="open")
    with world.transaction() as session:
        session.execute(
            PaymentMethod.__table__.update().where(PaymentMethod.customer_id == scene.customer.id).values(detached_at=1)
        )
    page = text(visit(scene.customer).get(f"/invoices/{_open_invoice()}/payment").text)
    assert "Add a payment method to pay this invoice." in page


LYON = {
    "line1": "14 rue du Tilleul",
    "line2": None,
    "city": "Lyon",
    "state": None,
    "postal_code": "69001",
    "country": "FR",
}


@pytest.mark.both_databases
def test_the_seller_has_the_address_of_the_invoices_day(visit: Visit) -> None:
    scene = world.scene(address=LYON, invoices=1)
    with reading() as connection:
        address = f"/invoices/{connection.scalar(select(Invoice.id))}"
    client = visit(scene.customer)
    assert "Acme 14 rue du Tilleul 69001 Lyon France" in text(client.get(address).text)
    with world.transaction() as session:
        row = session.get(world.Account, scene.account_id)
        assert row is not None
        row.address = {**LYON, "line1": "2 quai Neuf"}
    assert "14 rue du Tilleul" in client.get(address).text
    with world.transaction() as session:
        session.execute(
            Invoice.__table__.update().where(Invoice.customer_id == scene.customer.id).values(account_address=None)
        )
    assert "2 quai Neuf" in client.get(address).text


@pytest.mark.both_databases
@pytest.mark.parametrize(("kept", "name"), [("Platform", "Platform for The Shop"), ("The Shop", "The Shop")])
def test_an_invoice_on_behalf_of_another_names_both(visit: Visit, kept: str, name: str) -> None:
    with world.merchant("Platform") as platform:
        shop = world.Account(id="acct_shop", platform_id=platform.account.id, created=1, business_name="The Shop")
        platform.session.add(shop)
        platform.session.flush()
        product = platform.product("Team")
        price = platform.price(product, 900, "eur")
        customer = platform.customer("Anna", "anna@shop.example", "of the shop")
        subscription = platform.subscription(customer, [(price, 1)], started=10, on_behalf_of="acct_shop")
        platform.history(customer, subscription, [(product, price, 1)])
    with world.transaction() as session:
        values = {"account_name": kept, "on_behalf_of": "acct_shop"}
        session.execute(Invoice.__table__.update().where(Invoice.customer_id == customer.id).values(**values))
    with reading() as connection:
        address = f"/invoices/{connection.scalar(select(Invoice.id))}"
    assert f"From {name} To Anna" in text(visit(customer).get(address).text)
