"""The search for customers: what it finds, in which order, and by which indexes."""

import pytest
from flask import Flask
from sqlalchemy import insert, select

from portal_site.billing.models import Customer, Event, Invoice
from portal_site.dashboard.customers import history, search
from portal_site.dashboard.customers.search import Ways
from portal_site.db.transactions import transaction
from tests import world
from tests.plans import plan
from tests.world import reading

NAMES = {
    "cus_ada": ("Ada Osei", "Ada@Osei.example", "+442079460958"),
    "cus_hedda": ("Hedda Berg", "hedda@acme.example", None),
    "cus_neil": ("Bergman, O'Neil", "neil_b@acme.example", None),
    "cus_fjord": ("100% Fjord_", None, None),
    "cus_elodie": ("Élodie Ünal", "elodie%x@acme.example", None),
    "cus_rtl": ("שרה לוי", None, None),
    "cus_emoji": ("🦊 Fox", None, None),
}


def _fill(account_id: str, people: dict[str, tuple[str | None, str | None, str | None]], **members: object) -> None:
    rows = [
        {
            "id": name, "account_id": account_id, "created": 1000 + number, "name": person[0], "email": person[1],
            "phone": person[2], "metadata_": {}, "invoice_prefix": f"PRE{number}", **members,
        }
        for number, (name, person) in enumerate(people.items())
    ]  # fmt: skip
    with transaction() as session:
        session.execute(insert(Customer), rows)


@pytest.fixture
def account_id(app: Flask) -> str:
    """A merchant with these customers, beside another one with the same names."""
    with world.merchant() as made:
        pass
    with world.merchant("Other") as other:
        pass
    _fill(made.account.id, NAMES)
    _fill(other.account.id, {f"{name}_other": person for name, person in NAMES.items()})
    _fill(made.account.id, {f"{name}_live": person for name, person in NAMES.items()}, livemode=True)
    return str(made.account.id)


def _found(account_id: str, query: str) -> list[str]:
    return [one.id.removeprefix("cus_") for one in search.find(account_id, False, search.normal(query), None).customers]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("hedda", ["hedda"]),
        ("HEDDA", ["hedda"]),
        ("berg", ["neil", "hedda"]),
        ("  berg   hed ", ["hedda"]),
        ("berg osei", []),
        ("o'neil", ["neil"]),
        ("100%", ["fjord"]),
        ("%", []),
        ("_", []),
        ("fjord_", ["fjord"]),
        ("neil_b", ["neil"]),
        ("elodie%", ["elodie"]),
        ("élodie", ["elodie"]),
        ("ÜNAL", ["elodie"]),
        ("שרה", ["rtl"]),
        ("🦊", ["emoji"]),
        ("ada@osei", ["ada"]),
        ("+44 20 7946 0958", ["ada"]),
        ("+4420", ["ada"]),
        ("cus_fjord", ["fjord"]),
        ("cus_fjord_other", []),
        ("cus_fjord_live", []),
        ("hed\0da", ["hedda"]),
        ("\0", ["emoji", "rtl", "elodie", "fjord", "neil", "hedda", "ada"]),
        ("'; DROP TABLE customers --", []),
        ("x" * 10_000, []),
        ("\ud800 \u202e", []),
    ],
)
def test_what_is_typed_finds_whom_one_means(account_id: str, query: str, names: list[str]) -> None:
    assert _found(account_id, query) == names


def test_a_subscription_and_an_invoice_lead_to_their_customer(app: Flask) -> None:
    scene, other = world.scene(), world.scene("Other")
    with reading() as reader:
        mine = select(Invoice.number).where(Invoice.customer_id == scene.customer.id)
        number = reader.scalars(mine).first()
    for query in (scene.subscription.id, number or "", (number or "").lower(), scene.customer.id):
        assert [one.id for one in search.find(scene.account_id, False, query, None).customers] == [scene.customer.id]
        # The other's customers have the same numbers.
        assert scene.customer.id not in [one.id for one in search.find(other.account_id, False, query, None).customers]
        assert search.find(scene.account_id, True, query, None).customers == []


def test_no_page_misses_or_repeats_anybody_while_customers_are_added(account_id: str) -> None:
    _fill(account_id, {f"cus_{number:03}": (f"Zoe {number}", None, None) for number in range(60)})
    for query in ("", "zoe"):
        first = search.find(account_id, False, query, None)
        _fill(account_id, {f"cus_new{query}": ("Zoe New", None, None)})
        with transaction() as session:  # the newest of all
            mine = Customer.account_id == account_id, Customer.id == f"cus_new{query}"
            session.scalars(select(Customer).where(*mine)).one().created = 5000
        ids, page = [one.id for one in first.customers], first.next_page
        for _ in range(10):
            if page is None:
                break
            found = search.find(account_id, False, query, search.read_place(page))
            ids, page = ids + [one.id for one in found.customers], found.next_page
        zoes = [name for name in ids if name[4:].isdigit()]
        assert zoes == sorted(zoes, reverse=True)
        assert len(zoes) == len(set(zoes)) == 60


def test_what_many_have_in_common_is_looked_at_within_bounds(account_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOKED_AT", 10)
    people = {f"cus_{number:03}": ("Zoe Many" if number % 2 else "Zoella Many", None, None) for number in range(60)}
    _fill(account_id, {**people, "cus_rare": ("Zoe Rare", None, None)})
    some = search.find(account_id, False, "zoe", None)
    assert some.is_cut
    assert some.customers[0].id == "cus_rare"
    assert _found(account_id, "zoe rare") == ["rare"]
    both = search.find(account_id, False, "zoe many", None)
    assert both.is_cut
    assert both.customers[0].id == "cus_059"


def test_each_way_goes_by_an_index(account_id: str) -> None:
    _fill(account_id, {f"cus_{number:04}": (f"P {number}", f"p{number}@x.example", None) for number in range(500)})
    noted = [
        {
            "id": f"evt_{number}", "account_id": account_id, "created": 1, "type": "customer.updated", "data": {},
            "sequence": number + 1, "customer_id": f"cus_{number:04}",
        }
        for number in range(500)
    ]  # fmt: skip
    with transaction() as session:
        session.execute(insert(Event), noted)
    ways = Ways(account_id, False)
    for query, table, index in (
        (ways.newest((1200, "cus_x")), "customers", "ix_customers_list"),
        (ways.by_word("zoe"), "customer_terms", "ix_customer_terms"),
        (ways.by_email("p17"), "customers", "ix_customers_account_id_lower_email_bytes"),
        (ways.by_number("PRE3-0001"), "invoices", "uq_invoices_customer_id_number"),
        (history.newest(account_id, "cus_0007", 400), "events", "ix_events_customer"),
    ):
        found = plan(query, table, unused=True)
        assert index in found, found
        assert "SCAN customer" not in found
        assert "Seq Scan" not in found


@pytest.mark.parametrize("place", ["x", "1-\0", "99999999999999999-cus", "-", "é-1"])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="not a place"):
        search.read_place(place)
