"""In which order invoices are collected: each once, an account's oldest first, and no account's behind those of another."""

import random
from collections import Counter

import pytest
from flask import Flask
from sqlalchemy import insert, select

from portal_site.billing.billing_run import collection_order, due_pages, runner
from portal_site.billing.billing_run.collection_order import CollectionOrder
from portal_site.billing.models import Invoice
from portal_site.db.transactions import transaction
from tests import world
from tests.world import END as NOW


def _due(**moments: list[int]) -> dict[str, str]:
    """Accounts with invoices that are due at these instants. The accounts' ids by name."""
    accounts = {}
    for name, instants in moments.items():
        shop = world.shop(name)
        accounts[name] = shop.customer.account_id
        table = Invoice.__table__
        with transaction() as session:
            mine = table.c.customer_id == shop.customer.id, table.c.account_id == shop.customer.account_id
            row = dict(session.execute(select(table).where(*mine)).mappings().one())
            row |= {"number": None, "status": "open", "cycle_at": None}
            due = enumerate(instants)
            session.execute(
                insert(Invoice), [{**row, "id": f"in_{name}_{n:04}", "next_payment_attempt": at} for n, at in due]
            )
    return accounts


def _order() -> CollectionOrder:
    return CollectionOrder(runner.due_invoices(NOW, None))


def test_an_account_with_very_many_keeps_no_other_waiting(app: Flask) -> None:
    """Of a thousand invoices of one account and a few later ones of others, the others' are among the first."""
    _due(Large=[NOW - 900] * 1000, Middle=[NOW - 500] * 60, Small=[NOW - 100] * 3)
    order = _order()
    first = [invoice.split("_")[1] for _, invoice in order.take(16, {})]
    assert Counter(first) == {"Large": 7, "Middle": 6, "Small": 3}
    for _ in range(7):
        first += [invoice.split("_")[1] for _, invoice in order.take(16, {})]
    assert Counter(first) == {"Large": 65, "Middle": 60, "Small": 3}


def test_who_has_the_fewest_payments_under_way_comes_next(app: Flask) -> None:
    accounts = _due(First=[NOW - 900] * 9, Second=[NOW - 100] * 9)
    taken = _order().take(6, {accounts["First"]: 5})
    assert [invoice.split("_")[1] for _, invoice in taken] == ["Second"] * 5 + ["First"]


@pytest.mark.parametrize("seed", range(4))
def test_each_is_taken_once_and_an_accounts_oldest_first(
    app: Flask, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(due_pages, "PAGE", 12)
    monkeypatch.setattr(collection_order, "LARGE", 5)
    sizes = [dice.choice((1, 3, 8, 40, 90)) for _ in range(7)]
    moments = {f"A{n}": [NOW - dice.randrange(60) for _ in range(size)] for n, size in enumerate(sizes)}
    accounts = list(_due(**moments).values())
    order, taken, most = _order(), list[str](), 0
    under_way = Counter[str]()
    while some := order.take(dice.randrange(1, 9), under_way):
        taken += [invoice for _, invoice in some]
        under_way = Counter({dice.choice(accounts): dice.randrange(9) for _ in range(3)})
        most = max(most, sum(map(len, order._read.values())))
    assert len(taken) == len(set(taken)) == sum(sizes)
    due = {f"in_{name}_{n:04}": moment for name, instants in moments.items() for n, moment in enumerate(instants)}
    for name in moments:
        own = [(due[invoice], invoice) for invoice in taken if invoice.startswith(f"in_{name}_")]
        assert own == sorted(own)
    assert most <= 12 * (2 + 7)  # two pages of all together, and one of each account
